"""Rule sets to compare: a directory, or the rules of a revision in git."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from fraud_domain.rules import Catalogue, RuleError, load_texts, read_texts
from medallion_services.errors import UserError


@dataclass(frozen=True, slots=True)
class RuleSet:
    """A catalogue with the texts it was made of, to be handed to other processes."""

    name: str
    texts: dict[str, str]
    catalogue: Catalogue


def rule_set(where: str, rules: Path) -> RuleSet:
    """The rules in a directory, else those that the revision `where` had in the place of `rules`.

    Raises:
        UserError: it is neither, or the rules are wrong.
    """
    directory = Path(where)
    try:
        texts = read_texts(directory) if directory.is_dir() else _revision(where, rules)
        return RuleSet(directory.resolve().name if directory.is_dir() else where, texts, load_texts(texts))
    except RuleError as error:
        raise UserError(f"the rules of {where} are wrong.\n{error}") from error


def _revision(revision: str, rules: Path) -> dict[str, str]:
    if revision.startswith("-"):
        raise UserError(f"'{revision}' is neither a directory nor a revision")
    listing = _git(rules, revision, "ls-tree", "--name-only", revision, "./")
    names = [name for name in listing.splitlines() if name.endswith(".yaml")]
    if not names:
        raise UserError(f"revision {revision} has no rule files in {rules.name}")
    return {f"{rules.name}/{name}": _git(rules, revision, "show", f"{revision}:./{name}") for name in names}


def _git(directory: Path, revision: str, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(directory), *words], capture_output=True, text=True, check=False)  # noqa: S607
    except OSError as error:
        raise UserError(f"git is needed to compare with a revision: {error}") from error
    if done.returncode:
        what = done.stderr.strip().splitlines()[-1:] or ["git failed"]
        raise UserError(f"'{revision}' is neither a directory nor a revision: {what[0]}")
    return done.stdout
