"""The part of Metabase's REST API that provisioning uses. A refusal is a `UserError` with status and answer."""

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import httpx

from medallion_services.errors import UserError

Document = dict[str, Any]
_SHOWN = 300
_PAGE = 200
_TIMEOUT_SECONDS = 60.0


class Metabase:
    """A session with one Metabase; a context manager."""

    def __init__(self, url: str, pause: Callable[[float], None] = time.sleep) -> None:
        self.url = url.rstrip("/")
        self._pause = pause
        self._http = httpx.Client(base_url=self.url, timeout=_TIMEOUT_SECONDS, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def call(self, method: str, path: str, body: Document | None = None, **query: Any) -> Any:
        """One request and its JSON.

        Raises:
            UserError: Metabase cannot be reached or refuses. The message holds nothing of what was sent.
        """
        try:
            answer = self._http.request(method, path, json=body, params=query)
        except httpx.HTTPError as error:
            raise UserError(f"Metabase at {self.url} does not answer {method} {path}: {error}") from None
        if answer.is_error:
            raise UserError(f"Metabase refuses {method} {path} ({answer.status_code}): {answer.text[:_SHOWN]}")
        try:
            return answer.json()
        except ValueError:
            raise UserError(f"{self.url} is no Metabase: {method} {path} is not answered in JSON") from None

    def wait(self, seconds: float) -> None:
        """Wait until it is healthy; at its first start Metabase takes a minute or two.

        Raises:
            UserError: it is not after `seconds`.
        """
        deadline = time.monotonic() + seconds
        while not self._healthy():
            if time.monotonic() > deadline:
                raise UserError(f"Metabase at {self.url} is not healthy after {seconds:.0f} s; look at its log")
            self._pause(1.0)

    def _healthy(self) -> bool:
        try:
            return self._http.get("/api/health").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def log_in(self, email: str, password: str, site_name: str) -> bool:
        """Log in; on a Metabase that was never set up, make the first user. True when it was made now.

        Raises:
            UserError: Metabase knows other credentials.
        """
        properties = self.call("GET", "/api/session/properties")
        fresh = bool(properties.get("setup-token")) and not properties.get("has-user-setup")
        if fresh:
            user = {"email": email, "password": password, "first_name": "Medallion", "last_name": "Provisioning"}
            body = {
                "token": properties["setup-token"],
                "user": user | {"site_name": site_name},
                "prefs": {"site_name": site_name, "site_locale": "en", "allow_tracking": False},
            }
            session = self.call("POST", "/api/setup", body)["id"]
        else:
            session = self._session(email, password)
        self._http.headers["X-Metabase-Session"] = session
        return fresh

    def _session(self, email: str, password: str) -> str:
        try:
            session: str = self.call("POST", "/api/session", {"username": email, "password": password})["id"]
        except UserError as error:
            if "(401)" in str(error):
                raise UserError(
                    f"Metabase at {self.url} does not let {email} in. It was set up with another password: write that "
                    "one into the secret file `metabase_admin`, or set MEDALLION_METABASE__EMAIL to the user it knows"
                ) from None
            raise
        return session

    def items(self, collection: int) -> Iterator[Document]:
        """Cards and dashboards of a collection, with `id`, `model`, `name` and `description`."""
        offset = 0
        while True:
            page = self.call(
                "GET",
                f"/api/collection/{collection}/items",
                models=["card", "dashboard"],
                limit=_PAGE,
                offset=offset,
            )
            yield from page["data"]
            offset += _PAGE
            if offset >= page["total"]:
                return
