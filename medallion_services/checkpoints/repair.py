"""Carries out what `judging` decided; nothing is deleted, everything replaced is kept beside the checkpoint."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from medallion_services.checkpoints.judging import Finding, Remedy, Sinks, Step
from medallion_services.checkpoints.reading import Checkpoint


def repair(checkpoint: Checkpoint, findings: Iterable[Finding], sinks: Sinks, now: datetime) -> list[str]:
    """Repair what can be repaired; returns what was done, one sentence each."""
    kept = aside_path(checkpoint.path, now)
    done = []
    for finding in dict.fromkeys(f for f in findings if f.remedy is Remedy.REPAIR):
        move_aside(finding.path, checkpoint.path, kept)
        if finding.step is Step.WRITE_ID:
            finding.path.write_text(json.dumps({"id": sinks.generation}), encoding="utf-8")
        elif finding.step is Step.COPY_NEWEST:
            newest = checkpoint.offsets[max(checkpoint.offsets)].path
            finding.path.write_bytes(newest.read_bytes())
        done.append(f"{finding.path}: {finding.step.value if finding.step else ''}")
    return done


def aside_path(checkpoint: Path, now: datetime) -> Path:
    """Where the damaged parts of a checkpoint are kept: beside it, by the time of the repair."""
    return checkpoint.with_name(f"{checkpoint.name}.damaged-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}")


def move_aside(path: Path, checkpoint: Path, kept: Path) -> None:
    """Move what there is of a file and its checksum out of the checkpoint, its place kept."""
    for each in (path, path.with_name(f".{path.name}.crc")):
        if each.exists():
            target = kept / each.relative_to(checkpoint)
            target.parent.mkdir(parents=True, exist_ok=True)
            each.rename(target)
