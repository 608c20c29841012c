"""Texts in English and Portuguese, one JSON file a language with the same keys."""

import json
from collections.abc import Mapping
from pathlib import Path

LANGUAGES = ("en", "pt")
_DIRECTORY = Path(__file__).parent / "texts"
COOKIE = "medallion_language"


def load_texts() -> Mapping[str, Mapping[str, str]]:
    """language -> key -> text."""
    return {
        language: json.loads((_DIRECTORY / f"{language}.json").read_text(encoding="utf-8")) for language in LANGUAGES
    }


def choose(cookie: str | None, accept: str) -> str:
    """The language to speak: what was switched to, else the browser's first that is known, else English."""
    if cookie in LANGUAGES:
        return cookie
    wishes = []
    for position, part in enumerate(accept.split(",")):
        name, _, quality = part.strip().partition(";q=")
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            weight = 0.0
        wishes.append((-weight, position, name.split("-")[0].lower()))
    return next((name for weight, _, name in sorted(wishes) if name in LANGUAGES and weight < 0), "en")


class Translator:
    """Looks texts up: `t("queue.title")`, with `{name}` filled from keywords. A key without text is shown as it is."""

    def __init__(self, language: str, texts: Mapping[str, str]) -> None:
        self.language = language
        self.texts = texts

    def __call__(self, key: str, **values: object) -> str:
        """The text of `key`."""
        text = self.texts.get(key, key.rpartition(".")[2].replace("_", " "))
        return text.format(**values) if values else text
