"""Whether the machine has room: ports, disk, memory; and whether clocks agree."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from fraud_domain.settings import Settings
from fraud_domain.streams import applications
from medallion_services.doctor.finding import Finding, ok, problem, warning
from medallion_services.embedded.ports import PortClaim

_MIB, _GIB = 1024**2, 1024**3

DISK_LOW = 5 * _GIB
"""Packages and jars take 2 GB at the first start; the rest is for data."""
DISK_EMPTY = 1 * _GIB
"""Broker and database stop when a disk is full (docs/faults.md); so much is hours of demo traffic."""
MEMORY_LOW = 4 * _GIB
"""What README asks for."""
CLOCK_OFF_SECONDS = 1.0
"""Alert latency is the database's clock minus the producer's: more than its target makes it meaningless."""

_UNITS = {"k": 1024, "m": _MIB, "g": _GIB, "t": 1024 * _GIB}


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that listens on a port; None for what the system does not tell."""

    pid: int | None
    name: str


def judge_port(component: str, claim: PortClaim, holder: Holder | None, ours: Collection[int]) -> Finding:
    """A port that a component needs: nobody listens, a process of this stack, or somebody else."""
    subject = f"port {claim.port}"
    if holder is None:
        return ok(subject, f"free for {component}")
    if holder.pid in ours:
        return ok(subject, f"{component}, process {holder.pid}")
    who = f"{holder.name}, process {holder.pid}" if holder.pid else "a program of another user"
    return problem(
        subject,
        f"{component} needs it, and {who} listens there",
        f"end that program, or choose another port: {claim.variable}=<port> medallion up",
    )


def judge_disk(place: str, free_bytes: int) -> Finding:
    """Free space where files grow."""
    subject, what = "disk", f"{free_bytes / _GIB:.1f} GiB free at {place}"
    if free_bytes < DISK_EMPTY:
        return problem(subject, what, "make room now: servers stop when a disk is full")
    if free_bytes < DISK_LOW:
        return warning(subject, what, "make room, or set MEDALLION_DATA_DIR to a bigger disk")
    return ok(subject, what)


def heap_bytes(settings: Settings) -> int:
    """What the JVMs of this configuration may fill with objects: a driver for each application, and the broker."""
    text = settings.spark.driver_memory.strip().lower()
    match = re.fullmatch(r"(\d+)([kmgt])b?", text)
    driver = int(match[1]) * _UNITS[match[2]] if match else _GIB
    broker = 0 if settings.kafka.bootstrap_servers else settings.kafka.heap_mb * _MIB
    return len(applications(settings.streams.layout)) * driver + broker


def judge_memory(available: int, heap: int, running: bool) -> Finding:
    """Memory that is free now, against what a start will want; when the stack runs, it has it already."""
    what = f"{available / _GIB:.1f} GiB available"
    if running:
        return ok("memory", f"{what} beside the running stack")
    if available < heap:
        what = f"{what}, the JVMs alone may take {heap / _GIB:.1f}"
        return problem("memory", what, "end other programs, or MEDALLION_STREAMS__LAYOUT=shared for one JVM fewer")
    if available < MEMORY_LOW:
        return warning("memory", f"{what}, about 4 are needed", "end other programs, or expect swapping")
    return ok("memory", what)


def judge_clock(drift: float, uncertainty: float, tolerance: float) -> Finding:
    """The database's clock minus this machine's, seconds; `tolerance` is how far ahead an event may be."""
    if abs(drift) <= max(CLOCK_OFF_SECONDS, uncertainty):
        return ok("clock", f"PostgreSQL agrees to {max(abs(drift), uncertainty) * 1000:.0f} ms")
    what = f"PostgreSQL is {abs(drift):.1f} s {'ahead of' if drift > 0 else 'behind'} this machine"
    advice = "let NTP set both clocks; latency, freshness and heartbeats are wrong meanwhile"
    return problem("clock", what, advice) if abs(drift) > tolerance else warning("clock", what, advice)


def judge_newest(ahead: float, tolerance: float) -> Finding:
    """How far the newest message is stamped ahead of this machine's clock, seconds: a broker tells no time itself."""
    if ahead <= CLOCK_OFF_SECONDS:
        return ok("clock", "no message in Kafka is stamped in the future")
    what = f"the newest message in Kafka is stamped {ahead:.1f} s in the future"
    advice = "let NTP set the producer's clock and this one"
    return problem("clock", what, advice) if ahead > tolerance else warning("clock", what, advice)
