"""One replay from file to Kafka, and what is said about it."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from fraud_domain.cards import TokenKey
from fraud_domain.rules.durations import DAY, HOUR
from fraud_domain.settings import Settings
from fraud_domain.topics import TRANSACTIONS
from medallion_services.errors import UserError
from medallion_services.mapping.loading import Mapping
from medallion_services.mapping.opening import open_file
from medallion_services.mapping.refusal import RejectedFile
from medallion_services.replay.progress import Progress, progress_path, read_progress, write_progress
from medallion_services.replay.sending import require_topics, send_all, shifted
from medallion_services.replay.spool import Queue, Spooled, spool


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for. `speed` None: as fast as possible."""

    speed: float | None = None
    limit: int | None = None
    resume: bool = False
    shift_to_now: bool = False
    rejected: Path | None = None


class Reporter(Protocol):
    """Who tells a person."""

    def say(self, text: str) -> None:
        """One line."""

    def total(self, messages: int, done: int) -> None:
        """So many messages there are, so many were sent before."""

    def advance(self) -> None:
        """One more was handed to Kafka."""


@dataclass(slots=True)
class Summary:
    """Counts of one run: `read` = `transactions` + `already` + `refused` + `beyond_limit`."""

    read: int
    refused: int
    transactions: int
    labels: int
    already: int
    labels_before: int
    beyond_limit: int
    labels_not_due: int
    reasons: dict[str, int]
    rejected: Path


def run_replay(
    settings: Settings,
    path: Path,
    mapping: Mapping,
    options: Options,
    token_key: Callable[[], TokenKey],
    now_us: int,
    reporter: Reporter,
) -> Summary:
    """Replay a file.

    Raises:
        UserError: file or mapping are wrong, there is nothing to resume, or Kafka does not take the messages.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="medallion-replay-")))
        require_topics(settings)
        file = stack.enter_context(open_file(path, mapping))
        state = progress_path(settings, file.file_id, mapping.digest)
        progress = _begin(state, path, mapping, options, now_us, reporter)
        where = options.rejected or settings.data_dir / "replay" / f"{path.name}.rejected.jsonl"
        rejected = stack.enter_context(RejectedFile(where))
        moved = options.shift_to_now or progress.shift_us != 0
        spooled = spool(file, scratch / "messages.parquet", token_key, rejected.add, progress.as_of, moved)
        if moved and progress.sent == 0 and spooled.transactions:
            # Whole days, so that a night stays a night.
            progress = replace(progress, shift_us=(progress.as_of - spooled.last) // DAY * DAY)
        _warn(settings, spooled, progress, reporter)
        queue = stack.enter_context(Queue(spooled, scratch, progress.limit, progress.as_of - progress.shift_us))
        transactions, labels = queue.counts()
        progress = progress.at(progress.sent, transactions + labels)
        write_progress(state, progress)
        reporter.total(progress.total, progress.sent)
        counts = {True: 0, False: 0}

        def on_sent(message: object) -> None:
            counts[getattr(message, "topic", "") == TRANSACTIONS] += 1
            reporter.advance()

        messages = (shifted(message, progress.shift_us) for message in queue.messages(progress.sent))
        send_all(settings, messages, progress, state, options.speed, on_sent)
        return Summary(
            read=file.tally.read,
            refused=rejected.total,
            transactions=counts[True],
            labels=counts[False],
            already=transactions - counts[True],
            labels_before=labels - counts[False],
            beyond_limit=spooled.transactions - transactions,
            labels_not_due=spooled.labels_not_due + spooled.labels - labels if progress.limit is None else 0,
            reasons=dict(sorted(rejected.counts.items())),
            rejected=where,
        )


def _begin(state: Path, path: Path, mapping: Mapping, options: Options, now_us: int, reporter: Reporter) -> Progress:
    known = read_progress(state)
    if options.resume:
        if known is None:
            raise UserError(
                f"there is no replay of {path.name} under {mapping.name} to resume; start it without --resume"
            )
        if options.limit not in (None, known.limit):
            raise UserError(f"the replay was started with --limit {known.limit}; resume it without --limit")
        reporter.say(
            f"going on after {known.sent:,} of {known.total:,} messages; those sent after the last "
            "acknowledgement may be sent again, and are dropped downstream as duplicates"
        )
        return known
    if known is not None and not known.complete and known.sent:
        reporter.say(f"starting anew; --resume would go on after {known.sent:,} of {known.total:,} messages")
    return Progress(path.name, mapping.name, now_us, 0, options.limit)


def _warn(settings: Settings, spooled: Spooled, progress: Progress, reporter: Reporter) -> None:
    if not spooled.transactions:
        return
    oldest = progress.as_of - settings.kafka.retention_hours * HOUR
    if spooled.first + progress.shift_us < oldest:
        days = settings.kafka.retention_hours // 24
        reporter.say(
            f"WARNING: events are older than the {days} days that the topics keep; the broker deletes them soon, maybe "
            "before they are read. Use --shift-to-now, or raise MEDALLION_KAFKA__RETENTION_HOURS on the broker"
        )
