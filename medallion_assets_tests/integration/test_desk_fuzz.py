"""Schemathesis over the whole API on a real server and database: whatever is sent, no answer is a 5xx."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from fraud_domain.settings import Settings
from medallion_assets_tests.integration import desk
from medallion_services.dashboard.access import ACCESS
from medallion_services.embedded.throwaway import own_database

NOT_FUZZED = {("GET", "/api/v1/events"), ("GET", "/api/v1/openapi.json")}
"""The first never ends, the second is where the schema comes from."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with own_database() as settings:
        for _ in range(5):
            desk.add_alert(settings)
        desk.adopt(settings)
        with desk.served(_patient(settings)) as where:
            yield where


def _patient(settings: Settings) -> Settings:
    return desk.with_dashboard(settings, requests_per_minute=10_000_000)


OPERATIONS = sorted({(method, path) for method, path in ACCESS if path.startswith("/api/v1/")} - NOT_FUZZED)


@pytest.fixture(scope="module")
def api_schema(address: str) -> Any:
    return schemathesis.openapi.from_url(f"{address}/api/v1/openapi.json")


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_no_input_makes_the_api_fail(api_schema: Any, method: str, path: str) -> None:
    operation = api_schema[path][method]

    @hypothesis_settings(
        max_examples=20,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategies(operation))
    def fuzz(case: Any) -> None:
        response = case.call(timeout=20)
        # Kafka is not part of this test; that it is away is said with 503, which is right.
        if response.status_code == 503 and path.endswith("/message"):
            return
        case.validate_response(response, checks=[not_a_server_error, response_schema_conformance])

    fuzz()


def strategies(operation: Any) -> Any:
    """Inputs that meet the schema, and inputs that break it."""
    return operation.as_strategy() | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
