"""The gate before every route: host, rate, login, forged requests. What passes has a principal or is open.

A plain ASGI middleware, so that nothing of a request is parsed before its sender is known, and streams stay streams.
"""

import hmac
import secrets
import time
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fraud_domain.settings import DashboardSettings
from medallion_services.dashboard import people, problems
from medallion_services.dashboard.access import OPEN, Principal, Role, Via
from medallion_services.dashboard.database import Database
from medallion_services.dashboard.problems import Problem
from medallion_services.dashboard.ratelimit import RateLimit

COOKIE = "medallion_session"
CSRF_HEADER = "x-csrf-token"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self';"
    " connect-src 'self'; manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": _CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=()",
}
_LOGINS_A_MINUTE = 10


def is_loopback(host: str) -> bool:
    """Whether an address is this machine only."""
    return host in LOOPBACK or host.startswith("127.")


@dataclass(slots=True)
class Gate:
    """Lets a request through, or answers it."""

    app: ASGIApp
    settings: DashboardSettings
    database: Database
    local: Principal = field(default_factory=lambda: Principal("local", Role.ADMIN, Via.LOCAL, secrets.token_urlsafe()))
    _rate: RateLimit = field(init=False)
    _logins: RateLimit = field(init=False)

    def __post_init__(self) -> None:
        per_minute = self.settings.requests_per_minute
        self._rate = RateLimit(per_minute, burst=per_minute / 4)
        self._logins = RateLimit(_LOGINS_A_MINUTE, burst=_LOGINS_A_MINUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        refused = await self._refusal(request)
        sender = _with_headers(send, static=request.url.path.startswith("/static/"))
        await (refused or self.app)(scope, receive, sender)

    async def _refusal(self, request: Request) -> Response | None:
        try:
            self._check_host(request)
            path = request.url.path
            if path.startswith("/static/") or path == "/health":
                return None
            self._check_origin(request)
            self._check_rate(request)
            who = await self._who(request)
            request.scope["medallion.principal"] = who
            if path in OPEN:
                return None
            if who is None:
                return _login_needed(request)
            self._check_forgery(request, who)
        except Problem as problem:
            return problems.response(problem)
        except Exception as error:
            if (known := problems.from_database(error)) is None:
                raise
            return problems.response(known)
        return None

    def _check_host(self, request: Request) -> None:
        """Names other than ours are a page of somebody else that resolves to this machine (DNS rebinding)."""
        names = {name.strip() for name in self.settings.hosts.split(",") if name.strip()}
        if not names and not is_loopback(self.settings.host):
            return
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        if host not in names | LOOPBACK | {self.settings.host}:
            raise Problem(400, "this is not a name of the dashboard; see MEDALLION_DASHBOARD__HOSTS")

    def _check_origin(self, request: Request) -> None:
        if request.method in _SAFE:
            return
        origin = request.headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")
        if foreign or request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Problem(403, "a change was sent from another site", code="foreign_origin")

    def _check_rate(self, request: Request) -> None:
        client = request.client.host if request.client else "unknown"
        now = time.monotonic()
        wait = self._rate.wait(client, now)
        if not wait and request.url.path == "/login" and request.method == "POST":
            wait = self._logins.wait(client, now)
        if wait:
            raise Problem(429, "too many requests; wait a little", {"Retry-After": str(int(wait) + 1)})

    async def _who(self, request: Request) -> Principal | None:
        if not self.settings.auth:
            return self.local
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return await people.by_token(self.database, token.strip())
        session = request.cookies.get(COOKIE)
        return await people.by_session(self.database, session) if session else None

    def _check_forgery(self, request: Request, who: Principal) -> None:
        """A change from a browser carries the token that only our own pages know."""
        if request.method in _SAFE or who.via is Via.TOKEN:
            return
        browser = "origin" in request.headers or "sec-fetch-site" in request.headers
        if who.via is Via.LOCAL and not browser:
            return
        sent = request.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(sent.encode(), who.csrf.encode()):
            raise Problem(403, "the page's token is missing or old; load the page again", code="csrf")


def _login_needed(request: Request) -> Response:
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(target, safe='/')}", 303)
    return problems.response(Problem(401, "log in, or send a bearer token", {"WWW-Authenticate": "Bearer"}))


def _with_headers(send: Send, static: bool) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            wanted = HEADERS | {"cache-control": "no-cache" if static else "no-store"}
            added = [(k.encode(), v.encode()) for k, v in wanted.items() if k.encode() not in present]
            message["headers"] = [*message["headers"], *added]
        await send(message)

    return sending
