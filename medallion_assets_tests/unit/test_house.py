"""The house stays small: a source file of more than 300 lines has its reason in CONTRIBUTING.md."""

import re
import subprocess

from fraud_domain.settings import PROJECT_ROOT

LIMIT = 300


def long_files() -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.js", "*.sql"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    ours = [name for name in listed if "/vendor/" not in name and (PROJECT_ROOT / name).exists()]
    return {name for name in ours if len((PROJECT_ROOT / name).read_text("utf-8").splitlines()) > LIMIT}


def test_each_long_file_has_its_reason_and_no_other_file_has_one() -> None:
    page = (PROJECT_ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = page.split("## Files of more than 300 lines")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)) == long_files()
