"""The sample files, from the generator: the same seeds give the same rows."""

import csv
import gzip
import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from fraud_domain.cards import TokenKey
from fraud_domain.settings import PROJECT_ROOT
from fraud_domain.topics import TRANSACTIONS
from medallion_services.generator.timeline import Plan, Timeline
from medallion_services.generator.world import World
from medallion_services.mapping.model import json_schema

DIRECTORY = Path(__file__).resolve().parent
BASELINE = "baseline_rules/amount_and_velocity.yaml"
EUROPEAN, SIMULATED, SCHEMA = "european_cards.csv.gz", "simulated_cards.parquet", "mapping.schema.json"
ROWS = 3_000
_DAYS, _CUSTOMERS = 40, 150
_START = datetime(2026, 9, 1, tzinfo=UTC).timestamp()
_BERLIN = ZoneInfo("Europe/Berlin")
_PUBLIC_KEY = TokenKey("k0", b"samples are public, so is this key")
_HEADER = (
    "Txn No", "Booked", "Client", "Card Ref", "Amount", "Curr", "Product", "Where", "Result", "Read", "Merchant No",
    "Merchant", "MCC", "Shop Country", "Terminal", "Device", "IP", "Lives In", "Fraud", "Fraud Kind",
)  # fmt: skip
_PRODUCTS = {"CREDIT_CARD": "Kredit", "WITHDRAWAL": "Bargeld", "PIX": "Sofort"}
_PLACES = {"POS": "Laden", "ECOMMERCE": "Web", "MOBILE_APP": "App", "ATM": "Automat"}
Row = tuple[dict[str, Any], bool, str]


def traffic(seed: int) -> Iterator[Row]:
    """Transactions of the generator with their truth: event, is it fraud, scenario."""
    plan = Plan(rate=ROWS / (_DAYS * 86_400), seed=seed, fraud_share=0.03, run_id=f"s{seed}")
    world = World(seed, _CUSTOMERS, _CUSTOMERS, _PUBLIC_KEY)
    timeline = Timeline(world, plan)
    for emission in timeline.emissions(_START, _START + _DAYS * 86_400):
        if emission.topic == TRANSACTIONS:
            yield orjson.loads(emission.value), emission.truth.fraud, emission.truth.scenario


def written(rng: Random, amount: float) -> str:
    """An amount as two countries and an accountant write it."""
    point = f"{abs(amount):,.2f}"
    comma = point.translate(str.maketrans(",.", ".,"))
    style = rng.random()
    if amount < 0:
        return f"({comma})" if style < 0.5 else f"-{comma}"
    return f"${point}" if style < 0.25 else comma


def european(seed: int = 11) -> bytes:
    """A card file as a European back office exports it: semicolons, day first, refunds, zeros, damaged rows."""
    rng = Random(f"{seed}:european")  # noqa: S311 - synthetic
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=";", lineterminator="\n")
    writer.writerow(_HEADER)
    for number, (event, fraud, scenario) in enumerate(traffic(seed), 1):
        amount = float(event["amount"])
        dice = rng.random()
        if not fraud and dice < 0.02:
            amount = -amount
        elif not fraud and dice < 0.03:
            amount = 0.0
        row = _european_row(event, fraud, scenario, written(rng, amount))
        _damage(row, number)
        writer.writerow(row)
    text = out.getvalue().encode().replace(b"@@", b"\xff\xfe")
    zipped = io.BytesIO()
    with gzip.GzipFile(fileobj=zipped, mode="wb", mtime=0) as file:
        file.write(text)
    return zipped.getvalue()


def _european_row(event: dict[str, Any], fraud: bool, scenario: str, amount: str) -> list[str]:
    local = datetime.fromisoformat(event["event_time"]).astimezone(_BERLIN)
    return [
        event["transaction_id"].upper(),
        f"{local:%d/%m/%Y %H:%M:%S}",
        event["customer_id"],
        event.get("card_token", "")[-16:],
        amount,
        "USD",
        _PRODUCTS[event["type"]],
        _PLACES[event["channel"]],
        "ok" if event["status"] == "APPROVED" else "nein",
        event.get("entry_mode", "").lower(),
        event.get("merchant_id", ""),
        event.get("merchant_name", ""),
        event.get("mcc", ""),
        event.get("merchant_country", ""),
        event.get("terminal_id", ""),
        event.get("device_id", ""),
        event.get("ip_address", ""),
        event["home_country"],
        "J" if fraud else "N",
        scenario if fraud else "",
    ]


def _damage(row: list[str], number: int) -> None:
    """What goes wrong in real exports, at fixed rows; each is refused for another reason."""
    match number:
        case 101:
            row[4] = "1,234"
        case 202:
            row[1] = "31/02/2026 10:00:00"
        case 303:
            row[1] = "05/09/26 10:00"
        case 404:
            del row[15:]
        case 505:
            row[11] = "Caf@@"
        case 606:
            row[6] = "Scheck"
        case 707:
            row[2] = ""
        case 808:
            row[4] = "twelve"
        case 909:
            row[1] = "2026-09-20"
        case 1010:
            row[18] = "vielleicht"


def simulated(seed: int = 12) -> pa.Table:
    """A table in the style of simulated research data: epoch seconds, numbers as doubles, a fraud column."""
    rows = [
        {
            "trans_num": event["transaction_id"],
            "unix_time": int(datetime.fromisoformat(event["event_time"]).timestamp()),
            "cc_ref": event["card_token"][-16:],
            "acct_num": event["customer_id"],
            "amt": float(event["amount"]),
            "category": int(event["mcc"]),
            "merchant": event["merchant_id"],
            "merch_lat": event.get("latitude"),
            "merch_long": event.get("longitude"),
            "lat": event["billing_latitude"],
            "long": event["billing_longitude"],
            "state": event["billing_state"],
            "card_present": int(event["channel"] in ("POS", "ATM")),
            "terminal": event.get("terminal_id"),
            "device": event.get("device_id"),
            "declined": int(event["status"] == "DECLINED"),
            "is_fraud": int(fraud),
            "fraud_kind": scenario if fraud else None,
        }
        for event, fraud, scenario in traffic(seed)
        if event.get("card_token") and event.get("merchant_id")
    ]
    return pa.Table.from_pylist(rows)


_BASELINE_HEAD = """# yaml-language-server: $schema=../../rules/rules.schema.json
# What many systems start with: amount and velocity alone, copied from the catalogue, to compare with.
typology:
  id: amount_and_velocity
  title: Unusual amount or pace
  combine: noisy_or
  owner: team:fraud
  description: The yardstick of `medallion backtest --against samples/baseline_rules`.

rules:
"""


def baseline(catalogue_file: str) -> str:
    """The rules of amount and velocity, as they stand in the text of `rules/stolen_card.yaml`."""
    _, *rules = re.split(r"^(?=  - id: )", catalogue_file, flags=re.MULTILINE)
    wanted = [rule.rstrip() for rule in rules if rule.split()[2] in ("AMT-1", "VEL-1", "VEL-2")]
    return _BASELINE_HEAD + "\n\n".join(wanted) + "\n"


def write_all(directory: Path) -> list[Path]:
    """Write every file that is made, and say which."""
    (directory / EUROPEAN).write_bytes(european())
    pq.write_table(simulated(), directory / SIMULATED, compression="zstd")
    (directory / SCHEMA).write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")
    rules = (PROJECT_ROOT / "rules" / "stolen_card.yaml").read_text(encoding="utf-8")
    (directory / BASELINE).write_text(baseline(rules), encoding="utf-8")
    return [directory / name for name in (EUROPEAN, SIMULATED, SCHEMA, BASELINE)]
