"""`medallion generate`: synthetic traffic with known truth."""

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fraud_domain.settings import Settings

if TYPE_CHECKING:
    from medallion_services.generator.timeline import Timeline

Share = Annotated[float, typer.Option(min=0, max=1)]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(generate)


def generate(
    live: Annotated[bool, typer.Option("--live", help="A past once, then traffic in real time until Ctrl-C.")] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="Event time to cover, when not --live.")] = 60.0,
    rate: Annotated[float | None, typer.Option(help="Transactions per second of event time.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same traffic.")] = None,
    fraud_share: Annotated[float | None, typer.Option(min=0, max=1, help="Share that belongs to fraud.")] = None,
    customers: Annotated[int | None, typer.Option(min=1, help="Customers with habits.")] = None,
    duplicates: Share = 0.0,
    out_of_order: Share = 0.0,
    late: Share = 0.0,
    malformed: Share = 0.0,
    burst: Annotated[str, typer.Option(help="FACTOR:SECONDS:EVERY, such as 10:30:600.")] = "",
    run_id: Annotated[str | None, typer.Option(help="Prefix of transaction ids; default: a new one.")] = None,
    start: Annotated[
        float | None, typer.Option(help="Epoch seconds of the first event; default: so that the last is now.")
    ] = None,
    oracle: Annotated[Path | None, typer.Option(help="Write the truth of every message to this file.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write JSON Lines here instead of Kafka.")] = None,
) -> None:
    """Send synthetic transactions and their delayed labels to Kafka.

    Examples: `medallion generate --live`, or as fast as possible into a file:
    `medallion generate --seconds 600 --rate 100 --seed 7 --output day.jsonl --oracle truth.jsonl`
    """
    from medallion_services.generator.demo import Clock, new_run_id, run_live
    from medallion_services.generator.noise import Noise
    from medallion_services.generator.timeline import Plan, Timeline
    from medallion_services.generator.world import World

    settings = Settings()
    defaults = settings.generator
    factor, burst_seconds, every = _burst(burst)
    plan = Plan(
        rate=rate or defaults.rate,
        seed=defaults.seed if seed is None else seed,
        fraud_share=defaults.fraud_share if fraud_share is None else fraud_share,
        label_delay_seconds=defaults.label_delay_seconds,
        run_id=run_id or new_run_id(),
        noise=Noise(duplicates, out_of_order, late, malformed),
        burst_factor=factor,
        burst_seconds=burst_seconds,
        burst_every_seconds=every,
    )
    if live:
        run_live(settings, plan, oracle, Clock(), typer.echo)
        return
    population = customers or defaults.customers
    timeline = Timeline(World(plan.seed, population, population, settings.token_key()), plan)
    begin = time.time() - seconds if start is None else start
    sent = _send_all(settings, timeline, begin, begin + seconds, oracle, output)
    typer.echo(f"{sent} messages, {seconds:g} s of event time, run {plan.run_id}")


def _burst(text: str) -> tuple[float, float, float]:
    if not text:
        return 1.0, 0.0, 600.0
    try:
        factor, seconds, every = (float(part) for part in text.split(":"))
    except ValueError:
        raise typer.BadParameter("expected FACTOR:SECONDS:EVERY, such as 10:30:600", param_hint="--burst") from None
    return factor, seconds, every


def _send_all(
    settings: Settings, timeline: "Timeline", begin: float, end: float, oracle: Path | None, output: Path | None
) -> int:
    from itertools import chain

    from medallion_services.generator.oracle import OracleFile
    from medallion_services.generator.producer import KafkaSink

    emissions = chain(timeline.emissions(begin, end), timeline.remaining(math.inf if output else time.time()))
    count = 0
    with OracleFile(oracle) as truth:
        if output:
            with output.open("wb") as file:
                for count, emission in enumerate(emissions, 1):  # noqa: B007
                    if emission.topic == "transactions":
                        file.write(emission.value + b"\n")
                    truth.note(emission)
            return count
        with KafkaSink(settings) as sink:
            for count, emission in enumerate(emissions, 1):  # noqa: B007
                sink.send(emission)
                truth.note(emission)
    return count
