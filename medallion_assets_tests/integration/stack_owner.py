"""An owner process for tests: `medallion up` with the trial code location. Settings come from the environment."""

from pathlib import Path

from fraud_domain.settings import Settings
from medallion_services.cli.console import ConsoleProgress
from medallion_services.embedded import up
from medallion_services.embedded.stack import Extension

DEFINITIONS = "medallion_assets_tests.integration.trial_definitions"

if __name__ == "__main__":
    with ConsoleProgress() as progress:
        up.run(Settings(), progress, Extension(definitions=DEFINITIONS))
    Path("stopped").touch()
