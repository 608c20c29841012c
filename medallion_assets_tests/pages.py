"""What pages and container files may name: the environment variables that are settings."""

from collections.abc import Iterator

from pydantic import BaseModel

from fraud_domain.settings import Settings


def _names(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _names(kind, (*path, name))
        else:
            yield "MEDALLION_" + "__".join((*path, name)).upper()


def setting_names() -> frozenset[str]:
    """Every variable that `Settings` reads."""
    return frozenset(_names(Settings, ()))
