"""Card numbers that reach Kafka untokenised: masked before bronze writes a byte of them."""

from pyspark.sql import Column
from pyspark.sql import functions as F

from fraud_domain.cards import PAN_PATTERN

_LATIN1 = "ISO-8859-1"
"""One character per byte and back: masking leaves every other byte as it was, valid UTF-8 or not."""
_SHORTEST_RUN = "[0-9]{13}"
"""Hardly a message has 13 digits in a row, and to see that takes less than to look behind each of its characters."""


def _numbers(text: Column) -> Column:
    return F.filter(
        F.regexp_extract_all(text, F.lit(f"({PAN_PATTERN})"), F.lit(1)),
        lambda digits: F.call_function("luhn_check", digits),
    )


def _may_hold_numbers(text: Column) -> Column:
    return text.rlike(_SHORTEST_RUN) & text.rlike(PAN_PATTERN)


def has_card_number(value: Column) -> Column:
    """Whether the bytes of `value` hold digits that look like a card number and pass Luhn."""
    text = F.decode(value, _LATIN1)
    return F.coalesce(F.when(_may_hold_numbers(text), F.size(_numbers(text)) > 0), F.lit(False))


def mask_card_numbers(value: Column) -> Column:
    """`value` with each card number replaced by asterisks and its last four digits."""
    text = F.decode(value, _LATIN1)
    masked = F.aggregate(
        _numbers(text),
        text,
        lambda done, digits: F.replace(done, digits, F.concat(F.lit("************"), F.right(digits, F.lit(4)))),
    )
    return F.when(_may_hold_numbers(text), F.encode(masked, _LATIN1)).otherwise(value)
