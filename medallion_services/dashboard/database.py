"""The desk's connection pool, as the role that may only do an analyst's work."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, LiteralString

from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from fraud_domain.settings import Settings

ROLE = "fraud_desk"
Row = DictRow
Query = LiteralString | sql.SQL | sql.Composed
Parameters = Mapping[str, Any] | Sequence[Any]


class Database:
    """Rows in, rows out. Reads are single statements; changes run in a transaction that names who acts."""

    def __init__(self, settings: Settings, connections: int = 10) -> None:
        parameters: dict[str, Any] = settings.postgres_parameters(ROLE)
        self.parameters = {**parameters, "application_name": "medallion-dashboard", "connect_timeout": 5}
        self.pool: AsyncConnectionPool[AsyncConnection[DictRow]] = AsyncConnectionPool(
            kwargs={**self.parameters, "autocommit": True, "row_factory": dict_row},
            min_size=min(2, connections),
            max_size=connections,
            timeout=5.0,
            open=False,
            check=AsyncConnectionPool.check_connection,
        )

    async def rows(self, query: Query, parameters: Parameters = ()) -> list[Row]:
        """All rows of a query."""
        async with self.pool.connection() as connection:
            return await (await connection.execute(query, parameters)).fetchall()

    async def one(self, query: Query, parameters: Parameters = ()) -> Row | None:
        """The first row of a query."""
        async with self.pool.connection() as connection:
            return await (await connection.execute(query, parameters)).fetchone()

    @asynccontextmanager
    async def acting(self, actor: str, note: str = "") -> AsyncIterator[AsyncConnection[DictRow]]:
        """A transaction in `actor`'s name; the database's triggers write its audit trail."""
        async with self.pool.connection() as connection, connection.transaction():
            await connection.execute(
                "SELECT set_config('fraud.actor', %s, true), set_config('fraud.note', %s, true)", (actor, note)
            )
            yield connection
