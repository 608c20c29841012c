"""Logins: users, sessions and tokens in the database. Values that open a door are stored hashed only."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import LiteralString

from medallion_services.dashboard.access import RANK, Principal, Role, Via
from medallion_services.dashboard.database import Database
from medallion_services.dashboard.passwords import UNKNOWN_USER, new_token, password_matches, token_hash

TOKEN_PREFIX = "mdl_"  # noqa: S105 - how a token begins, so that scanners for secrets can know one
_SESSION: LiteralString = """
SELECT u.user_name, u.role, s.csrf_token FROM fraud.desk_sessions s JOIN fraud.users u USING (user_name)
WHERE s.session_hash = %s AND s.expires_at > clock_timestamp() AND u.enabled
  AND s.created_at >= u.password_changed_at
"""
_BEARER: LiteralString = """
SELECT u.user_name, u.role AS user_role, t.role AS token_role
FROM fraud.api_tokens t JOIN fraud.users u USING (user_name)
WHERE t.token_hash = %s AND t.revoked_at IS NULL AND u.enabled
  AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp())
"""


async def log_in(database: Database, name: str, password: str, hours: float) -> str | None:
    """A new session's value for the cookie, or None when name and password do not belong together."""
    row = await database.one("SELECT password_hash, enabled FROM fraud.users WHERE user_name = %s", (name,))
    stored = row["password_hash"] if row else UNKNOWN_USER
    matches = await asyncio.to_thread(password_matches, password, stored)
    if row is None or not matches or not row["enabled"]:
        return None
    session = new_token()
    await database.rows("DELETE FROM fraud.desk_sessions WHERE expires_at < clock_timestamp() RETURNING 1")
    await database.rows(
        "INSERT INTO fraud.desk_sessions (session_hash, user_name, csrf_token, expires_at)"
        " VALUES (%s, %s, %s, %s) RETURNING 1",
        (token_hash(session), name, new_token(), datetime.now(UTC) + timedelta(hours=hours)),
    )
    return session


async def log_out(database: Database, session: str) -> None:
    """End a session on the server; the cookie is worth nothing afterwards."""
    await database.rows("DELETE FROM fraud.desk_sessions WHERE session_hash = %s RETURNING 1", (token_hash(session),))


async def by_session(database: Database, session: str) -> Principal | None:
    """Who a session cookie belongs to."""
    row = await database.one(_SESSION, (token_hash(session),))
    return Principal(row["user_name"], Role(row["role"]), Via.SESSION, row["csrf_token"]) if row else None


async def by_token(database: Database, token: str) -> Principal | None:
    """Who a bearer token belongs to; it may never do more than its user."""
    row = await database.one(_BEARER, (token_hash(token),))
    if row is None:
        return None
    role = min(Role(row["token_role"]), Role(row["user_role"]), key=RANK.__getitem__)
    return Principal(row["user_name"], role, Via.TOKEN)


async def colleagues(database: Database) -> list[str]:
    """Those to whom work can be given."""
    rows = await database.rows(
        "SELECT user_name FROM fraud.users WHERE enabled AND role <> 'viewer' ORDER BY user_name LIMIT 500"
    )
    return [row["user_name"] for row in rows]
