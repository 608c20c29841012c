"""Bring a Metabase to what the files say. Safe to repeat: a second run sends no write. Nothing is ever deleted."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fraud_domain.settings import Settings
from medallion_services.metabase.api import Document, Metabase
from medallion_services.metabase.model import Dashboard
from medallion_services.metabase.payloads import (
    UNFINISHED,
    card_key,
    card_payload,
    dashboard_digest,
    dashboard_payload,
    marked,
    marker,
)

DATABASE = "Medallion"
COLLECTION = "Medallion fraud"
SECRET = "metabase_admin"  # noqa: S105 - the name of the file
READER = "fraud_reader"


@dataclass(slots=True)
class Outcome:
    """What was done, by kind and key; `addresses` of the dashboards; `orphans` are ours, but in no file any more."""

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: int = 0
    addresses: dict[str, str] = field(default_factory=dict)
    orphans: list[str] = field(default_factory=list)


def provision(
    settings: Settings, dashboards: Sequence[Dashboard], *, wait_seconds: float, renew_password: bool = False
) -> Outcome:
    """First user, database, collection, cards and dashboards.

    Raises:
        UserError: Metabase does not answer, or refuses.
        fraud_domain.settings.MissingSecretError: the administrator's or the reader's password is missing.
    """
    password = settings.secret(SECRET)
    connection = settings.postgres_parameters(READER)
    done = Outcome()
    with Metabase(settings.metabase.url) as metabase:
        metabase.wait(wait_seconds)
        if metabase.log_in(settings.metabase.email, password, COLLECTION):
            done.created.append(f"user {settings.metabase.email}")
        database = _database(metabase, connection, renew_password, done)
        collection = _collection(metabase, done)
        _content(metabase, dashboards, database, collection, done)
    return done


def _database(metabase: Metabase, connection: dict[str, Any], renew: bool, done: Outcome) -> int:
    """The connection; Metabase never shows a password, so a new one is sent only when asked for."""
    wanted = {name: connection[name] for name in ("host", "port", "dbname", "user")} | {
        "ssl": connection["sslmode"] in ("require", "verify-ca", "verify-full"),
        "schema-filters-type": "inclusion",
        "schema-filters-patterns": "mart",
    }
    body = {"name": DATABASE, "engine": "postgres", "details": wanted | {"password": connection["password"]}}
    listed = metabase.call("GET", "/api/database")
    found = next((each for each in listed["data"] if each["name"] == DATABASE), None)
    if found is None:
        done.created.append(f"database {DATABASE}")
        return int(metabase.call("POST", "/api/database", body)["id"])
    known = metabase.call("GET", f"/api/database/{found['id']}").get("details") or {}
    if renew or any(known.get(name) != wanted[name] for name in ("host", "port", "dbname", "user")):
        metabase.call("PUT", f"/api/database/{found['id']}", body)
        done.updated.append(f"database {DATABASE}")
    else:
        done.unchanged += 1
    return int(found["id"])


def _collection(metabase: Metabase, done: Outcome) -> int:
    for each in metabase.call("GET", "/api/collection"):
        if each["name"] == COLLECTION and not each.get("archived") and not each.get("personal_owner_id"):
            done.unchanged += 1
            return int(each["id"])
    body = {"name": COLLECTION, "description": "Kept as code; your own questions are safe here and elsewhere."}
    done.created.append(f"collection {COLLECTION}")
    return int(metabase.call("POST", "/api/collection", body)["id"])


def _content(
    metabase: Metabase, dashboards: Sequence[Dashboard], database: int, collection: int, done: Outcome
) -> None:
    present: dict[tuple[str, str], tuple[int, str]] = {}
    for item in metabase.items(collection):
        if known := marker(item.get("description")):
            present[item["model"], known[0]] = int(item["id"]), known[1]
    wanted: set[tuple[str, str]] = set()
    placed: list[tuple[Dashboard, dict[str, int]]] = []
    ours = {number for (model, _), (number, _) in present.items() if model == "card"}
    for dashboard in dashboards:
        ids: dict[str, int] = {}
        for card in dashboard.cards:
            key = card_key(dashboard, card)
            payload = card_payload(dashboard, card, database, collection)
            ids[card.key] = _card(metabase, key, payload, present.get(("card", key)), done)
            wanted.add(("card", key))
        ours.update(ids.values())
        placed.append((dashboard, ids))
        wanted.add(("dashboard", dashboard.key))
    for dashboard, ids in placed:
        number = _dashboard(
            metabase, dashboard, ids, collection, present.get(("dashboard", dashboard.key)), frozenset(ours), done
        )
        refresh = f"#refresh={dashboard.refresh_seconds}" if dashboard.refresh_seconds else ""
        done.addresses[dashboard.title] = f"{metabase.url}/dashboard/{number}{refresh}"
    done.orphans = [f"{model} {key}" for model, key in present if (model, key) not in wanted]


def _card(metabase: Metabase, key: str, payload: Document, found: tuple[int, str] | None, done: Outcome) -> int:
    if found is None:
        done.created.append(f"card {key}")
        return int(metabase.call("POST", "/api/card", payload)["id"])
    number, given = found
    if marker(payload["description"]) == (key, given):
        done.unchanged += 1
    else:
        # Where people moved it is their business.
        metabase.call("PUT", f"/api/card/{number}", {k: v for k, v in payload.items() if k != "collection_id"})
        done.updated.append(f"card {key}")
    return number


def _dashboard(
    metabase: Metabase,
    dashboard: Dashboard,
    ids: dict[str, int],
    collection: int,
    found: tuple[int, str] | None,
    ours: frozenset[int],
    done: Outcome,
) -> int:
    if found is None:
        # Unfinished until its cards are on it, so that a run that ends in between is continued by the next one.
        text = marked(dashboard.description, dashboard.key, UNFINISHED)
        body = {"name": dashboard.title, "description": text, "collection_id": collection}
        number = int(metabase.call("POST", "/api/dashboard", body)["id"])
        done.created.append(f"dashboard {dashboard.key}")
    else:
        number, given = found
        if given == dashboard_digest(dashboard, ids):
            done.unchanged += 1
            return number
        done.updated.append(f"dashboard {dashboard.key}")
    present = metabase.call("GET", f"/api/dashboard/{number}")
    metabase.call("PUT", f"/api/dashboard/{number}", dashboard_payload(dashboard, ids, present, ours))
    return number
