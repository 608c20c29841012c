"""Pages by key: a cursor is the sort key of the last row, so a page costs the same wherever it is."""

import base64
import binascii
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from medallion_services.dashboard.problems import Problem


def encode(value: Any, identity: str | int) -> str:
    """The cursor after a row."""
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return base64.urlsafe_b64encode(orjson.dumps([text, str(identity)])).decode().rstrip("=")


def decode(cursor: str, kind: type) -> tuple[Any, str]:
    """(sort value as `kind`, identity) of a cursor.

    Raises:
        Problem: 422, it is none of ours.
    """
    try:
        value, identity = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if kind is datetime:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                raise ValueError("no time zone")
            return moment, str(identity)
        number = Decimal(value)
        if not number.is_finite():
            raise ValueError("not finite")
        return (float(number) if kind is float else kind(number)), str(identity)
    except (binascii.Error, ValueError, TypeError, InvalidOperation, OverflowError) as error:
        raise Problem(422, "the cursor is not one that this API gave out") from error
