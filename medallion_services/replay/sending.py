"""Send a queue into Kafka: paced or not, and noted down after each acknowledged block."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import orjson
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from fraud_domain.kafka_client import client_configuration
from fraud_domain.settings import Settings
from fraud_domain.topics import FRAUD_LABELS, TRANSACTIONS
from medallion_services.errors import UserError
from medallion_services.generator.producer import KafkaSink
from medallion_services.generator.timeline import Emission, Truth
from medallion_services.mapping.judging import iso
from medallion_services.replay.progress import Progress, write_progress
from medallion_services.replay.spool import Outgoing

BLOCK = 5_000
"""Messages between two acknowledgements: at most so many are repeated after a crash."""
_PACED_SECONDS = 1.0
_ANSWER_SECONDS = 10.0
_TIMES = ("event_time", "label_time")


def require_topics(settings: Settings) -> None:
    """Ask the broker for the topics, so that a wrong address is known before a file is read.

    Raises:
        UserError: no broker answers, or it lacks a topic.
    """
    admin = AdminClient({**client_configuration(settings), "log_level": 0})
    try:
        known = admin.list_topics(timeout=_ANSWER_SECONDS).topics
    except KafkaException as error:
        where = settings.kafka_bootstrap
        raise UserError(f"no broker answers at {where} ({error.args[0].str()}); `medallion up` starts one") from error
    if missing := {TRANSACTIONS, FRAUD_LABELS} - known.keys():
        raise UserError(f"the broker lacks {', '.join(sorted(missing))}; `medallion topics create` makes them")


def shifted(message: Outgoing, shift_us: int) -> Outgoing:
    """The same message so much later; its own text says so too."""
    if not shift_us:
        return message
    moment = message.moment + shift_us
    content = orjson.loads(message.value)
    for name in _TIMES:
        if name in content:
            content[name] = iso(moment)
    return Outgoing(message.topic, message.key, orjson.dumps(content), moment)


def send_all(
    settings: Settings,
    messages: Iterable[Outgoing],
    progress: Progress,
    path: Path,
    speed: float | None,
    on_sent: Callable[[Outgoing], None],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Progress:
    """Send `messages`, the ones after `progress.sent`; the progress file never runs ahead of Kafka.

    Args:
        speed: seconds of the file's time per second; None sends as fast as Kafka takes it.

    Raises:
        UserError: Kafka does not take them.
    """
    sent = progress.sent
    first: int | None = None
    begun = noted = clock()
    with KafkaSink(settings) as sink:

        def note() -> None:
            sink.flush()
            write_progress(path, progress.at(sent, progress.total))

        for message in messages:
            if speed is not None:
                first = message.moment if first is None else first
                wait = begun + (message.moment - first) / 1e6 / speed - clock()
                if wait > _PACED_SECONDS and sent > progress.sent:
                    note()
                while wait > 0:
                    sleep(min(wait, _PACED_SECONDS))
                    wait = begun + (message.moment - first) / 1e6 / speed - clock()
            sink.send(_emission(message, sent))
            sent += 1
            on_sent(message)
            if sent % BLOCK == 0 or (speed is not None and clock() - noted > _PACED_SECONDS):
                note()
                noted = clock()
        note()
    return progress.at(sent, progress.total)


def _emission(message: Outgoing, number: int) -> Emission:
    # Half a millisecond more, so that the producer's rounding down gives the exact millisecond.
    send_at = (message.moment // 1000 + 0.5) / 1000
    return Emission(send_at, number, message.topic, message.key.encode(), message.value, Truth("replay"))
