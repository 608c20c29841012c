"""What Metabase is sent for a card and a dashboard. Pure: the same files and ids give the same documents.

Each of ours carries a marker at the end of its description: its key, and a digest of what it was last given. By
the key it is found again, whatever people call it; by the digest it is left alone until its file changes, however
Metabase itself rewrites what it stores.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from medallion_services.metabase.api import Document
from medallion_services.metabase.model import Card, Dashboard, Display, Kind, Parameter

UNFINISHED = "-"
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
    dashboard: Dashboard, cards: Mapping[str, int], present: Sequence[Document], ours: frozenset[int]
) -> Document:
    """The dashboard with its layout.

    `cards` are ids by key of the file. `present` are the dashcards that are there: what people put on the dashboard
    stays where it is; of `ours`, those of this file are placed as it says and the others are taken off.
    """
    places = dashboard.places()
    old = {each["card_id"]: each["id"] for each in present if each.get("card_id") is not None}
    placed = [_dashcard(dashboard, card, cards[card.key], places[card.key]) for card in dashboard.cards]
    dashcards = [each | {"id": old.get(each["card_id"], -number)} for number, each in enumerate(placed, 1)]
    theirs = [each for each in present if each.get("card_id") not in ours]
    return {
        "name": dashboard.title,
        "description": marked(dashboard.description, dashboard.key, dashboard_digest(dashboard, cards)),
        "parameters": [_parameter(dashboard, each) for each in dashboard.parameters],
        "dashcards": dashcards + theirs,
    }


def dashboard_digest(dashboard: Dashboard, cards: Mapping[str, int]) -> str:
    """Changes with file, layout and the cards' ids."""
    places = dashboard.places()
    placed = [_dashcard(dashboard, card, cards[card.key], places[card.key]) for card in dashboard.cards]
    parameters = [_parameter(dashboard, each) for each in dashboard.parameters]
    return digest([dashboard.title, dashboard.description, parameters, placed])


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
        "visualization_settings": {},
    }


def _parameter_id(dashboard: Dashboard, key: str) -> str:
    return digest([dashboard.key, key])[:8]


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
