"""A checkpoint that was moved, or restored from a backup in another place, goes on there.

Of all that Spark 4.2 keeps in a checkpoint one thing is absolute: where the schema of a state lies, in the metadata of
its operator (`state/<operator>/_metadata/v2/<batch>`). It lies in the checkpoint itself.
"""

import json
import os
from pathlib import Path

from fraud_domain.object_store import is_local

_STATE = "/state/"


def follow_move(checkpoint: str) -> list[Path]:
    """Let the operators of a local checkpoint name the schemas that lie in it; returns the files that were changed.

    A schema that is not there is left as it is named: then Spark says what it misses.
    """
    if not is_local(checkpoint):
        return []
    root = Path(checkpoint)
    return [
        file for file in sorted(root.glob("state/*/_metadata/v2/*")) if file.name.isdigit() and _rewrite(file, root)
    ]


def _rewrite(file: Path, root: Path) -> bool:
    version, _, body = file.read_text(encoding="utf-8").partition("\n")
    document = json.loads(body)
    changed = False
    for store in document["stateStoreInfo"]:
        named = store.get("stateSchemaFilePaths", [])
        store["stateSchemaFilePaths"] = here = [_below(root, each) for each in named]
        changed |= here != named
    if changed:
        # Hadoop's sum is of the old content; a file without one is read as it is.
        file.with_name(f".{file.name}.crc").unlink(missing_ok=True)
        fresh = file.with_name(f".{file.name}.moved")
        fresh.write_text(f"{version}\n{json.dumps(document, separators=(',', ':'))}", encoding="utf-8")
        os.replace(fresh, file)
    return changed


def _below(root: Path, named: str) -> str:
    path = root.absolute() / "state" / named.rpartition(_STATE)[2]
    return f"file:{path}" if path.is_file() else named
