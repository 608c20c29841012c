"""Ask a running Dagster to read its definitions anew, so that checks of new rules appear."""

import json
import urllib.error
import urllib.request

from fraud_domain.settings import Settings

_QUERY = """
mutation { reloadRepositoryLocation(repositoryLocationName: "medallion") {
  __typename ... on WorkspaceLocationEntry { loadStatus locationOrLoadError { __typename } }
  ... on PythonError { message } } }
"""
_SECONDS = 60.0


def reload_definitions(settings: Settings) -> str | None:
    """Reload the code location; None when it worked, else why not."""
    url = f"http://{settings.dagster.host}:{settings.dagster.port}/graphql"
    request = urllib.request.Request(url, json.dumps({"query": _QUERY}).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as response:  # noqa: S310
            answer = json.load(response)["data"]["reloadRepositoryLocation"]
    except (urllib.error.URLError, TimeoutError, KeyError, TypeError) as error:
        return f"Dagster at {url} did not answer: {error}"
    loaded = (answer.get("locationOrLoadError") or {}).get("__typename")
    if loaded != "RepositoryLocation":
        return f"Dagster refused: {answer.get('message') or loaded or answer['__typename']}"
    return None
