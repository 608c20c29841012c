"""Card numbers: what a token promises, and that a number never leaks on the way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud_domain.cards import TokenKey, find_card_numbers, luhn_valid, masked_message, normalise, tokenise

VISA, MASTERCARD, ELO = "4111111111111111", "5555555555554444", "6362970000457013"
KEY, OTHER_SECRET = TokenKey("k1", b"first secret"), TokenKey("k1", b"other secret")
ROTATED = TokenKey("k2", b"second secret")


@st.composite
def card_numbers(draw: st.DrawFn) -> str:
    body = draw(st.text("0123456789", min_size=12, max_size=18))
    return next(body + digit for digit in "0123456789" if luhn_valid(body + digit))


@given(card_numbers())
def test_token_is_stable_and_never_contains_the_number(number: str) -> None:
    token, last4 = tokenise(number, KEY)
    assert (token, last4) == tokenise(number, KEY)
    assert number not in token
    assert number[:-4] not in token + last4
    assert last4 == number[-4:]
    assert list(find_card_numbers(f'"card_token":"{token}"')) == []


def test_spelling_of_a_number_does_not_matter() -> None:
    assert tokenise("4111 1111-1111 1111", KEY) == tokenise(VISA, KEY)


def test_different_cards_have_different_tokens() -> None:
    assert len({tokenise(number, KEY)[0] for number in (VISA, MASTERCARD, ELO)}) == 3


def test_token_cannot_be_made_without_the_key() -> None:
    assert tokenise(VISA, KEY)[0] != tokenise(VISA, OTHER_SECRET)[0]


def test_rotated_key_is_named_in_its_tokens() -> None:
    assert tokenise(VISA, KEY)[0].startswith("tok_k1_")
    assert tokenise(VISA, ROTATED)[0].startswith("tok_k2_")


@pytest.mark.parametrize(
    "wrong",
    ["4111111111111112", "41111111111", "4" * 20, "", "4111-1111-1111-111x", "\uff14" + "\uff11" * 15],
)
def test_refused_number_is_not_echoed(wrong: str) -> None:
    with pytest.raises(ValueError, match="withheld") as caught:
        normalise(wrong)
    assert not wrong or wrong not in str(caught.value)


def test_secret_does_not_show_when_the_key_is_printed() -> None:
    assert "secret" not in f"{KEY!r} {KEY}"
    assert "k1" in repr(KEY)


@pytest.mark.parametrize("number", [VISA, MASTERCARD, ELO, "4222222222222", "378282246310005"])
@pytest.mark.parametrize("around", ['{"card_number":"%s"}', "card %s!", "%s", "a,%s,b", "=%s\n"])
def test_card_number_in_a_text_is_found(number: str, around: str) -> None:
    assert list(find_card_numbers(around % number)) == [number]


@pytest.mark.parametrize(
    "text",
    [
        "1772625600252",
        "1772625600250000",
        "4111111111111112",
        "41111111111111110000",
        "tok_k1_9f4111111111111111aa",
        "0.4111111111111111",
        "c0000001 2026-03-04T12:00:00",
    ],
    ids=["epoch ms", "epoch us", "wrong check digit", "too long", "inside a hash", "fraction", "ids and times"],
)
def test_other_digits_are_not_taken_for_a_card(text: str) -> None:
    assert list(find_card_numbers(text)) == []


def test_only_the_card_number_of_a_message_is_masked() -> None:
    message = b'{"card_number":"%s","at":1772625600252,"name":"\xff"}' % VISA.encode()
    assert masked_message(message) == message.replace(VISA.encode(), b"*" * 12 + VISA[-4:].encode())
    sound = b'{"at":1772625600252,"name":"\xff"}'
    assert masked_message(sound) is sound


@given(st.integers(1_000_000_000_000, 1_999_999_999_999))
def test_no_epoch_of_milliseconds_is_taken_for_a_card(milliseconds: int) -> None:
    assert list(find_card_numbers(f'{{"event_time":{milliseconds}}}')) == []
