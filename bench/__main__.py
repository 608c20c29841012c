"""`make bench`: what this machine reaches, in about five minutes."""

import json
import sys
from dataclasses import asdict

from bench.alert_lane import Scenario, run


def main() -> int:
    """Measure the alert lane and print the figures as JSON."""
    result = run(Scenario())
    sys.stdout.write(json.dumps(asdict(result), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
