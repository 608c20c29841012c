"""Card numbers: keyed tokens at the edge, and the pattern that finds a number which slipped through.

A number is replaced by HMAC-SHA-256 under a managed key (PCI DSS 3.5.1.1 asks for a keyed hash, since
the space of card numbers can be enumerated) and its last four digits. The key lives outside the lake.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

PAN_PATTERN = r"(?<![0-9A-Za-z.])(?:4[0-9]{12}|[2-6][0-9]{13,18})(?![0-9A-Za-z])"
"""13-19 digits in the ranges that schemes issue (ISO/IEC 7812), standing by themselves: inside a word they are
part of a hash, after a point a fraction. Leading 1 is left out, since it would hit epoch milliseconds. Java and
Python read this alike."""

_PAN = re.compile(PAN_PATTERN)
_DIGITS_AS_ZEROES, _SHORTEST_RUN = bytes.maketrans(b"123456789", b"0" * 9), b"0" * 13
"""Hardly a message has 13 digits in a row, and to see that takes an eighth of the time of the pattern."""
_SEPARATORS = re.compile(r"[ -]")


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A tokenisation key; `key_id` is stored in the token so that keys can be rotated."""

    key_id: str
    secret: bytes = field(repr=False)


def luhn_valid(digits: str) -> bool:
    """Whether the check digit of ISO/IEC 7812-1 annex B holds."""
    total = 0
    for position, char in enumerate(reversed(digits)):
        value = int(char)
        if position % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def normalise(card_number: str) -> str:
    """Digits of a card number written with blanks or dashes.

    Raises:
        ValueError: not 12-19 digits, or the check digit is wrong. The number is not in the message.
    """
    digits = _SEPARATORS.sub("", card_number)
    if not (digits.isascii() and digits.isdigit() and 12 <= len(digits) <= 19 and luhn_valid(digits)):
        raise ValueError("card_number is not a valid card number (12-19 digits, Luhn); its value is withheld")
    return digits


def tokenise(card_number: str, key: TokenKey) -> tuple[str, str]:
    """The pair (card_token, card_last4) that takes the place of a card number.

    Raises:
        ValueError: see `normalise`.
    """
    digits = normalise(card_number)
    mac = hmac.new(key.secret, digits.encode("ascii"), hashlib.sha256).hexdigest()
    return f"tok_{key.key_id}_{mac[:40]}", digits[-4:]


def find_card_numbers(text: str) -> Iterator[str]:
    """Substrings of `text` that look like a card number and pass Luhn."""
    if not may_hold_card_number(digits_as_zeroes(text.encode("utf-8", "replace"))):
        return iter(())
    return (match.group() for match in _PAN.finditer(text) if luhn_valid(match.group()))


def holds_card_number(message: bytes) -> bool:
    """Whether `find_card_numbers` finds any in a message, which is UTF-8."""
    return may_hold_card_number(digits_as_zeroes(message)) and any(find_card_numbers(message.decode()))


def may_hold_card_number(zeroes: bytes) -> bool:
    """Whether so many digits stand in a row, in a message with 0 for each digit (`digits_as_zeroes`)."""
    return _SHORTEST_RUN in zeroes


def masked(text: str, stars: int | None = None) -> str:
    """A text with stars, `stars` or one for each hidden digit, and the last four digits for each card number."""
    for number in dict.fromkeys(find_card_numbers(text)):
        text = text.replace(number, "*" * (stars or len(number) - 4) + number[-4:])
    return text


def masked_message(message: bytes) -> bytes:
    """A message with twelve stars and the last four digits for each card number; the message itself when it has none.

    Every other byte stays as it is, valid UTF-8 or not.
    """
    if not may_hold_card_number(digits_as_zeroes(message)):
        return message
    kept = masked(message.decode("latin-1"), stars=12).encode("latin-1")
    return message if kept == message else kept


def digits_as_zeroes(message: bytes) -> bytes:
    """A message with 0 for each digit, so that a run of digits is found as quickly as a word."""
    return message.translate(_DIGITS_AS_ZEROES)
