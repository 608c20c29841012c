"""Bring a PostgreSQL server to what the platform needs: roles, two databases, the current schema.

Safe to run at every start. Passwords are secrets from files; they reach the server as bound literals over
the connection, never by argv or URL.
"""

from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from psycopg import sql
from sqlalchemy import Engine, create_engine

from fraud_domain.settings import Settings
from medallion_services import rule_sets

ADMIN = "postgres_admin"
OWNER = "fraud_owner"
ROLES = (OWNER, "fraud_writer", "fraud_reader", "fraud_notifier", "fraud_desk", "dagster")
MIGRATIONS = Path(__file__).parent / "migrations"


def prepare(settings: Settings) -> None:
    """Create what is missing, migrate to the newest schema, and publish the rules directory.

    Raises:
        psycopg.OperationalError: the server cannot be reached or refuses the admin password.
        fraud_domain.settings.MissingSecretError: a role has no password file.
        fraud_domain.rules.RuleError: a rule file is wrong.
        UserError: a fixture of a rule does not hold.
    """
    create(settings)
    migrate(settings)
    rule_sets.publish(settings, rule_sets.read_rule_set(settings.rules.directory), "database prepare")


def create(settings: Settings) -> None:
    """Roles and databases, without a schema; raises as `prepare`."""
    with psycopg.connect(**admin_parameters(settings), autocommit=True) as connection:
        for role in ROLES:
            _ensure_role(connection, role, settings.secret(f"postgres_{role}"))
        _ensure_database(connection, settings.postgres.database, OWNER)
        _ensure_database(connection, settings.postgres.dagster_database, "dagster")
    with psycopg.connect(**admin_parameters(settings, settings.postgres.database), autocommit=True) as connection:
        connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        # Alerts are staged in a temporary table before the insert that skips those already there.
        connection.execute(
            sql.SQL("GRANT TEMPORARY ON DATABASE {} TO fraud_writer").format(sql.Identifier(settings.postgres.database))
        )
        connection.execute("ALTER ROLE fraud_reader SET default_transaction_read_only = on")
        connection.execute("ALTER ROLE fraud_reader SET statement_timeout = '5s'")
        connection.execute("ALTER ROLE fraud_desk SET statement_timeout = '15s'")


def admin_parameters(settings: Settings, dbname: str = "postgres") -> dict[str, Any]:
    """Connection keywords of the server's administrator."""
    return {
        "host": settings.postgres_host,
        "port": settings.postgres.port,
        "dbname": dbname,
        "user": ADMIN,
        "password": settings.secret(ADMIN),
        **settings.postgres.tls,
    }


def migrate(settings: Settings, revision: str = "head") -> None:
    """Run the migrations as the owner of the schema."""
    engine = owner_engine(settings)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def owner_engine(settings: Settings) -> Engine:
    """SQLAlchemy engine of the schema's owner; the password stays out of the URL."""
    parameters = settings.postgres_parameters(OWNER)
    return create_engine("postgresql+psycopg://", connect_args=parameters)


def _ensure_role(connection: psycopg.Connection[tuple[object, ...]], role: str, password: str) -> None:
    exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
    verb = sql.SQL("ALTER ROLE" if exists else "CREATE ROLE")
    connection.execute(
        sql.SQL("{} {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}").format(
            verb, sql.Identifier(role), sql.Literal(password)
        )
    )


def _ensure_database(connection: psycopg.Connection[tuple[object, ...]], name: str, owner: str) -> None:
    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner)))
        connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
    if owner == OWNER:
        for role in ROLES:
            if role != "dagster":
                connection.execute(
                    sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(name), sql.Identifier(role))
                )
