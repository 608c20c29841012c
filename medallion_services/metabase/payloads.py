"""What Metabase is sent for a card and a dashboard. Pure: the same files and ids give the same documents.

Each of ours carries a marker at the end of its description: its key, and a digest of what it was last given. By
the key it is found again, whatever people call it; by the digest it is left alone until its file changes, however
Metabase itself rewrites what it stores.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from medallion_services.metabase.api import Document
from medallion_services.metabase.model import Card, Dashboard, Display, Kind, Parameter

UNFINISHED = "-"
_OURS = "md"
"""How ids of our parameters begin. Metabase's own are eight hexadecimal digits, so none begins like that."""
_DASHCARD = (
    "id", "card_id", "row", "col", "size_x", "size_y", "parameter_mappings", "visualization_settings", "series",
    "dashboard_tab_id", "action_id", "inline_parameters",
)  # fmt: skip
"""What a dashcard is sent back with; the rest of it is Metabase's own."""
_MARKER = re.compile(r"medallion:(?P<key>[a-z0-9_/]+) (?P<digest>[0-9a-f]{16}|-)\s*$")


def marked(description: str, key: str, digest: str) -> str:
    """A description that ends with the marker."""
    return f"{description}\n\nmedallion:{key} {digest}"


def marker(description: str | None) -> tuple[str, str] | None:
    """Key and digest; None for what people made."""
    found = _MARKER.search(description or "")
    return (found["key"], found["digest"]) if found else None


def digest(document: Any) -> str:
    """16 hex digits that change with the document."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]


def card_key(dashboard: Dashboard, card: Card) -> str:
    """Key of a card among all."""
    return f"{dashboard.key}/{card.key}"


def card_payload(dashboard: Dashboard, card: Card, database: int, collection: int) -> Document:
    """A question in native SQL."""
    tags = {name: _template_tag(dashboard, dashboard.parameter(name)) for name in card.tags}
    document: Document = {
        "name": card.title,
        "type": "question",
        "display": card.display.value,
        "collection_id": collection,
        "dataset_query": {
            "type": "native",
            "database": database,
            "native": {"query": card.sql, "template-tags": tags},
        },
        "visualization_settings": _drawing(card),
    }
    text = marked(card.description, card_key(dashboard, card), digest([document, card.description]))
    return document | {"description": text}


def dashboard_payload(
    dashboard: Dashboard, cards: Mapping[str, int], present: Document, ours: frozenset[int]
) -> Document:
    """The dashboard with its layout.

    `cards` are ids by key of the file; `present` is the dashboard as it is. What people put on it stays: cards, texts,
    tabs, filters, and how they drew one of our cards. Of the cards that are `ours`, those of this file are placed as
    it says, on the tab where they are, and the others are taken off.
    """
    there = [{name: each[name] for name in _DASHCARD if name in each} for each in present.get("dashcards") or []]
    tabs = [{"id": each["id"], "name": each["name"]} for each in present.get("tabs") or []]
    old = {each["card_id"]: each for each in there if each.get("card_id") is not None}
    dashcards = []
    for number, card in enumerate(_placed(dashboard, cards), 1):
        before = old.get(card["card_id"], {})
        theirs = [each for each in before.get("parameter_mappings") or [] if not _is_ours(each["parameter_id"])]
        card["id"] = before.get("id", -number)
        card["parameter_mappings"] += theirs
        card["visualization_settings"] = before.get("visualization_settings") or {}
        if tabs:
            card["dashboard_tab_id"] = before.get("dashboard_tab_id") or tabs[0]["id"]
        dashcards.append(card)
    filters = [each for each in present.get("parameters") or [] if not _is_ours(each["id"])]
    document: Document = {
        "name": dashboard.title,
        "description": marked(dashboard.description, dashboard.key, dashboard_digest(dashboard, cards)),
        "parameters": [_parameter(dashboard, each) for each in dashboard.parameters] + filters,
        "dashcards": dashcards + [each for each in there if each.get("card_id") not in ours],
    }
    return document | ({"tabs": tabs} if tabs else {})


def dashboard_digest(dashboard: Dashboard, cards: Mapping[str, int]) -> str:
    """Changes with file, layout and the cards' ids."""
    parameters = [_parameter(dashboard, each) for each in dashboard.parameters]
    return digest([dashboard.title, dashboard.description, parameters, _placed(dashboard, cards)])


def _placed(dashboard: Dashboard, cards: Mapping[str, int]) -> list[Document]:
    places = dashboard.places()
    return [_dashcard(dashboard, card, cards[card.key], places[card.key]) for card in dashboard.cards]


def _dashcard(dashboard: Dashboard, card: Card, card_id: int, place: tuple[int, int]) -> Document:
    (row, column), (width, height) = place, card.extent
    mappings = [
        {
            "parameter_id": _parameter_id(dashboard, name),
            "card_id": card_id,
            "target": ["variable", ["template-tag", name]],
        }
        for name in card.tags
    ]
    return {
        "card_id": card_id,
        "row": row,
        "col": column,
        "size_x": width,
        "size_y": height,
        "parameter_mappings": mappings,
    }


def _parameter_id(dashboard: Dashboard, key: str) -> str:
    return _OURS + digest([dashboard.key, key])[:6]


def _is_ours(parameter_id: str) -> bool:
    return parameter_id.startswith(_OURS)


def _parameter(dashboard: Dashboard, parameter: Parameter) -> Document:
    number = parameter.kind is Kind.NUMBER
    document: Document = {
        "id": _parameter_id(dashboard, parameter.key),
        "slug": parameter.key,
        "name": parameter.title,
        "type": "number/=" if number else "string/=",
        "sectionId": "number" if number else "string",
        # A variable of native SQL takes one value.
        "isMultiSelect": False,
    }
    if parameter.default is not None:
        document["default"] = [parameter.default]
    if parameter.values:
        document["values_source_type"] = "static-list"
        document["values_source_config"] = {"values": list(parameter.values)}
    return document


def _template_tag(dashboard: Dashboard, parameter: Parameter) -> Document:
    document: Document = {
        "id": digest([dashboard.key, parameter.key, "tag"]),
        "name": parameter.key,
        "display-name": parameter.title,
        "type": parameter.kind.value,
    }
    return document if parameter.default is None else document | {"default": parameter.default, "required": True}


def _drawing(card: Card) -> Document:
    if card.display in (Display.SCALAR, Display.TABLE):
        return {}
    if card.display is Display.PIE:
        return {"pie.dimension": card.x[0], "pie.metric": card.y[0]}
    settings: Document = {"graph.dimensions": list(card.x), "graph.metrics": list(card.y)}
    stacked = card.display in (Display.BAR, Display.AREA) and len(card.x) > 1
    return settings | ({"stackable.stack_type": "stacked"} if stacked else {})
