"""A newcomer's path, from a clone of what is committed to an alert of a rule of his own, typed as the pages say.

The commands, the ports, the rule and the payments are read out of the pages of the clone. Its `make test` is narrowed
to one file with a real PostgreSQL: run whole, it would run this test, too, and take the better part of an hour.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from fraud_domain.settings import PROJECT_ROOT, Settings
from medallion_assets_tests.running_stack import eventually
from medallion_services.embedded.environment import instance_id
from medallion_services.embedded.ports import free_ports
from medallion_services.embedded.processes import end_marked, log_tail, marked
from medallion_services.embedded.up import OWNER_GRACE

NARROWED = "medallion_assets_tests/integration/test_alert_sink.py"
FROM_OUTSIDE = {"MEDALLION_CACHE_DIR", "MEDALLION_IVY_SETTINGS"}
"""What a user's machine may say about where jars come from; all other settings are those of a newcomer, none."""
OF_THIS_RUN = ("COV_", "MAKE", "MEDALLION_", "MFLAGS", "PYSPARK_", "PYTEST_", "SPARK_", "UV_PROJECT_", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody in front of a clone."""

    clone: Path
    environment: dict[str, str]

    def page(self, name: str) -> str:
        """A page, as it was cloned."""
        return (self.clone / name).read_text(encoding="utf-8")

    def blocks(self, name: str, language: str) -> list[str]:
        """What a page shows of one language."""
        return re.findall(rf"```{language}\n(.*?)```", self.page(name), re.DOTALL)

    def types(self, command: str) -> str:
        """Run a command in the environment that the README activates; what it prints."""
        line = f"{ACTIVATE} && {command}"
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.clone, env=self.environment, capture_output=True, text=True,
            check=False, timeout=180,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextmanager
    def running(self, command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        """A command in a terminal of its own, whose Ctrl-C reaches it and what it started; gone at the end."""
        with log.open("wb") as output:
            typed = subprocess.Popen(
                shlex.split(command), cwd=self.clone, env=self.environment, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        try:
            yield typed
        finally:
            if typed.poll() is None:
                ctrl_c(typed)


ACTIVATE = "source .venv/bin/activate"


def ctrl_c(typed: subprocess.Popen[bytes]) -> None:
    """What a terminal does to the process group in its foreground."""
    os.killpg(typed.pid, signal.SIGINT)
    typed.wait(OWNER_GRACE)


def own_environment(ports: dict[str, str]) -> dict[str, str]:
    """This one without what the run of this test put there, and with ports of its own."""
    kept = {
        name: value for name, value in os.environ.items() if name in FROM_OUTSIDE or not name.startswith(OF_THIS_RUN)
    }
    places = [place for place in kept["PATH"].split(os.pathsep) if Path(place) != Path(sys.executable).parent]
    if (PROJECT_ROOT / ".uv" / "bin" / "uv").exists():
        places.insert(0, str(PROJECT_ROOT / ".uv" / "bin"))
    return kept | {"PATH": os.pathsep.join(places), "COLUMNS": "200"} | ports


@pytest.fixture
def newcomer() -> Iterator[Newcomer]:
    """A clone and nothing else; at the end neither files nor processes are left."""
    if not (PROJECT_ROOT / ".git").exists():
        pytest.skip("nothing to clone: this tree was unpacked from an archive")
    # Not in pytest's directory: as root, PostgreSQL runs as somebody who may not enter that.
    home = Path(tempfile.mkdtemp(prefix="medallion-newcomer-")).resolve()
    home.chmod(0o711)
    clone = home / "clone"
    try:
        subprocess.run(["git", "clone", "--quiet", str(PROJECT_ROOT), str(clone)], check=True)
        table = (clone / "docs" / "run.md").read_text(encoding="utf-8")
        variables = re.findall(r"^\| \d+ \| .* \| `(MEDALLION_\w+PORT)` \|$", table, re.MULTILINE)
        ports = dict(zip(variables, map(str, free_ports(len(variables))), strict=True))
        yield Newcomer(clone, own_environment(ports))
    finally:
        left = end_marked(instance_of(clone), grace=10)
        shutil.rmtree(home)
    assert not left


def instance_of(clone: Path) -> str:
    """The name of the stack whose data directory is the default one of a clone."""
    return instance_id(Settings(data_dir=clone / Settings().data_dir.name))


@pytest.mark.timeout(1500)
def test_a_newcomer_gets_from_a_clone_to_an_alert_of_an_own_rule(newcomer: Newcomer) -> None:
    two_commands = newcomer.blocks("README.md", "sh")[0]
    up, test = (line.split("#")[0].strip() for line in two_commands.splitlines())
    assert (up, test) == ("make up", "make test")
    assert f"`{ACTIVATE}`" in newcomer.page("README.md")
    log = newcomer.clone.parent / "up.txt"

    with newcomer.running(up, log) as typed:

        def said(what: str) -> bool:
            assert typed.poll() is None, f"{up} ended:\n{log_tail(log, 40)}"
            return what in log.read_text(encoding="utf-8")

        took = eventually("make up prints the first alert", lambda: said("FIRST ALERT"), 600)
        print(f"from `{up}` in a new clone to the first alert: {took:.0f} s")  # noqa: T201 - a figure for the reader
        assert newcomer.types("medallion alerts tail").count("\n") > 2
        an_own_rule_alerts(newcomer)
        assert marked(instance_of(newcomer.clone))
        ctrl_c(typed)
    assert log.read_text(encoding="utf-8").count("\nstopped\n") == 1, log_tail(log, 40)
    assert not marked(instance_of(newcomer.clone)), "processes are left after Ctrl-C"

    tested = newcomer.clone.parent / "test.txt"
    newcomer.environment["PYTEST_ADDOPTS"] = NARROWED
    with newcomer.running(test, tested) as typed:
        assert typed.wait(300) == 0, log_tail(tested, 40)
    assert re.search(r"^=+ \d+ passed", tested.read_text(encoding="utf-8"), re.MULTILINE), log_tail(tested, 40)


def an_own_rule_alerts(newcomer: Newcomer) -> None:
    """Follow the page on rules: write, check, publish in shadow, put in force, pay, look."""
    page = "docs/add-a-rule.md"
    commands = "".join(newcomer.blocks(page, "sh"))
    validate, publish, tail, show = (line for line in commands.splitlines() if line.startswith("medallion "))
    (rule,) = newcomer.blocks(page, "yaml")
    file = newcomer.clone / "rules" / "cash_out.yaml"
    assert f"`{file.relative_to(newcomer.clone)}`" in newcomer.page(page)
    file.write_text(rule, encoding="utf-8")
    assert "rules are sound" in newcomer.types(validate)
    assert "added: CASH-1" in newcomer.types(publish)
    active = rule.replace("status: shadow", "status: active").replace("version: 1", "version: 2")
    file.write_text(active, encoding="utf-8")
    assert "changed: CASH-1" in newcomer.types(publish)
    (payments,) = (block for block in newcomer.blocks(page, "python") if "Producer" in block)
    script = newcomer.clone.parent / "payments.py"
    script.write_text(payments, encoding="utf-8")
    found: list[str] = []

    def alerted() -> bool:
        newcomer.types(f"python {script}")
        rows = [orjson.loads(line) for line in newcomer.types(f"{tail} --json --lines 200").splitlines()]
        found[:] = [row["alert_id"] for row in rows if row["subject"] == "c-cash-out"]
        return bool(found)

    eventually("an alert about the payments of the page", alerted, 120)
    sheet = " ".join(newcomer.types(show.replace("ALERT_ID", found[0])).split())
    assert "Cash at 3 machines in 1 h (limit 3), 1,500.00 BRL in all" in sheet
