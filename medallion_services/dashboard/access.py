"""Who may do what: the one table of routes and roles. A route that is not in it is refused to everybody."""

from dataclasses import dataclass
from enum import StrEnum

from fastapi import Request

from medallion_services.dashboard.problems import Problem


class Role(StrEnum):
    """From the least to the most; each may do what those before it may."""

    VIEWER = "viewer"
    ANALYST = "analyst"
    ADMIN = "admin"


RANK = {role: rank for rank, role in enumerate(Role)}


class Via(StrEnum):
    """How somebody proved who they are."""

    LOCAL = "local"
    SESSION = "session"
    TOKEN = "token"  # noqa: S105 - a name, no secret


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `csrf` must come back with every change that a browser sends."""

    name: str
    role: Role
    via: Via
    csrf: str = ""

    def may(self, role: Role) -> bool:
        """Whether this role is enough."""
        return RANK[self.role] >= RANK[role]


OPEN = frozenset({"/health", "/login"})
"""Answered without a login; so are the files under /static, which hold no data."""

_V, _A, _M = Role.VIEWER, Role.ANALYST, Role.ADMIN
ACCESS: dict[tuple[str, str], Role] = {
    ("GET", "/"): _V,
    ("GET", "/queue"): _V,
    ("GET", "/alerts/{alert_id}"): _V,
    ("GET", "/cases"): _V,
    ("GET", "/cases/{case_id}"): _V,
    ("GET", "/rules"): _V,
    ("GET", "/streams"): _V,
    ("GET", "/data"): _V,
    ("GET", "/snoozes"): _V,
    ("POST", "/logout"): _V,
    ("GET", "/api/v1/openapi.json"): _V,
    ("GET", "/api/v1/me"): _V,
    ("GET", "/api/v1/events"): _V,
    ("GET", "/api/v1/alerts"): _V,
    ("GET", "/api/v1/alerts.csv"): _A,
    ("GET", "/api/v1/alerts/{alert_id}"): _V,
    ("GET", "/api/v1/alerts/{alert_id}/transactions"): _V,
    ("GET", "/api/v1/alerts/{alert_id}/message"): _A,
    ("POST", "/api/v1/alerts/{alert_id}/transition"): _A,
    ("POST", "/api/v1/alerts/{alert_id}/assign"): _A,
    ("POST", "/api/v1/alerts/{alert_id}/close"): _A,
    ("POST", "/api/v1/alerts/{alert_id}/notes"): _A,
    ("GET", "/api/v1/cases"): _V,
    ("GET", "/api/v1/cases/{case_id}"): _V,
    ("POST", "/api/v1/cases/{case_id}/assign"): _A,
    ("POST", "/api/v1/cases/{case_id}/close"): _A,
    ("POST", "/api/v1/cases/{case_id}/notes"): _A,
    ("GET", "/api/v1/snoozes"): _V,
    ("POST", "/api/v1/snoozes"): _A,
    ("DELETE", "/api/v1/snoozes/{snooze_id}"): _A,
    ("GET", "/api/v1/rules"): _V,
    ("GET", "/api/v1/streams"): _V,
    ("GET", "/api/v1/data"): _V,
    ("GET", "/api/v1/metrics/{name}"): _V,
    ("GET", "/api/v1/users"): _M,
    ("GET", "/api/v1/push/key"): _V,
    ("POST", "/api/v1/push/subscriptions"): _A,
    ("DELETE", "/api/v1/push/subscriptions"): _A,
}


def principal(request: Request) -> Principal:
    """Who asks; the gate has let them in.

    Raises:
        Problem: 401, nobody is logged in.
    """
    found = request.scope.get("medallion.principal")
    if not isinstance(found, Principal):
        raise Problem(401, "log in, or send a bearer token")
    return found


async def authorise(request: Request) -> None:
    """Check the role for the route that was matched; a dependency of the whole application.

    Raises:
        Problem: 403, the role is too small or the route is not in `ACCESS`.
    """
    path = request.scope["route"].path
    if path in OPEN:
        return
    who = principal(request)
    needed = ACCESS.get(("GET" if request.method == "HEAD" else request.method, path))
    if needed is None or not who.may(needed):
        raise Problem(403, f"this needs the role {needed or 'of nobody'}; {who.name} is {who.role}")
