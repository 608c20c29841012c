"""Whether the files of a data directory belong to its owner alone, and whether no secret is lost."""

from collections.abc import Collection
from dataclasses import dataclass

from medallion_services.doctor.finding import Finding, ok, problem, warning
from medallion_services.embedded.secrets import ADMIN

_OTHERS = 0o077
_OTHERS_WRITE = 0o022


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Permission bits and owner of a file."""

    path: str
    mode: int
    uid: int


def judge_private(file: FileFacts, uid: int) -> Finding | None:
    """A secret, or the directory of secrets: readable by its owner only. None when it is."""
    if file.uid != uid:
        what = f"{file.path} belongs to user {file.uid}, not to {uid}"
        return problem("secrets", what, "run as that user, or give it back: chown")
    if file.mode & _OTHERS:
        what = f"{file.path} has mode {file.mode:04o}: others may read it"
        return problem("secrets", what, f"chmod go= {file.path}; if others use this machine, change the secret")
    return None


def judge_data_dir(file: FileFacts, uid: int) -> Finding:
    """The data directory: nobody else writes to it; root may pass through it to PostgreSQL's user."""
    if file.uid != uid:
        return problem("data directory", f"{file.path} belongs to user {file.uid}, not to {uid}", "run as that user")
    if file.mode & _OTHERS_WRITE:
        what = f"{file.path} has mode {file.mode:04o}: others may write to it"
        return problem("data directory", what, f"chmod go-w {file.path}")
    return ok("data directory", f"{file.path}, mode {file.mode:04o}")


def judge_missing(wanted: Collection[str], present: Collection[str], has_data: bool) -> tuple[Finding, ...]:
    """Secrets that are not there; `has_data` when a database or a lake was made with them."""
    found = []
    for name in sorted(set(wanted) - set(present)):
        if has_data and name == ADMIN:
            what = f"{name} is gone, and the database was made with it"
            found.append(problem("secrets", what, "restore the file; a new one would not open the database"))
        elif has_data and name.startswith("token_key_"):
            what = f"{name} is gone, and the lake holds tokens made with it"
            found.append(problem("secrets", what, "restore the file; a new key gives every card another token"))
        else:
            found.append(warning("secrets", f"{name} is missing", "the next `medallion up` makes it"))
    return tuple(found)
