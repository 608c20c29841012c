"""The asset checks that Dagster ran last, asked of its webserver. Blocks; run it in a thread."""

import json
import logging
import urllib.error
import urllib.request
from datetime import UTC, datetime
from typing import Any

from fraud_domain.settings import Settings

_LOG = logging.getLogger(__name__)
_TIMEOUT = 3.0
QUERY = """
{ assetNodes { assetKey { path } assetChecksOrError { ... on AssetChecks {
    checks { name executionForLatestMaterialization { status timestamp } } } } } }
"""
_BAD = frozenset({"FAILED", "EXECUTION_FAILED"})


def summarise(document: dict[str, Any]) -> dict[str, Any]:
    """Dagster's answer as counts and those that failed; a check that never ran is counted apart."""
    passed, never, failed = 0, 0, []
    for node in document["data"]["assetNodes"]:
        for check in (node.get("assetChecksOrError") or {}).get("checks") or ():
            last = check["executionForLatestMaterialization"]
            status = last["status"] if last else None
            if status in _BAD:
                at = datetime.fromtimestamp(float(last["timestamp"]), UTC)
                failed.append({"table": ".".join(node["assetKey"]["path"]), "check": check["name"], "at": at})
            elif status == "SUCCEEDED":
                passed += 1
            else:
                never += 1
    return {"passed": passed, "never": never, "failed": sorted(failed, key=lambda row: (row["table"], row["check"]))}


def ask(settings: Settings) -> dict[str, Any] | None:
    """What `summarise` says about now; None when Dagster does not answer."""
    request = urllib.request.Request(
        f"http://{settings.dagster.host}:{settings.dagster.port}/graphql",
        data=json.dumps({"query": QUERY}).encode(),
        headers={"content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
            return summarise(json.load(answer))
    except (OSError, ValueError, KeyError, TypeError, urllib.error.URLError) as error:
        _LOG.info("the asset checks cannot be read now: %s", error)
        return None
