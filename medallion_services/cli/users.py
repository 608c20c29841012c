"""`medallion users`: who may use the dashboard when its login is on. Only here; the dashboard cannot make users."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud_domain.settings import Settings

if TYPE_CHECKING:
    import psycopg

users_app = typer.Typer(no_args_is_help=True, help="People and programs that may use the dashboard.")
Name = Annotated[str, typer.Argument(help="Small letters, digits, dot, dash; at most 40.")]
RoleOption = Annotated[str, typer.Option("--role", help="viewer, analyst or admin.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(users_app, name="users")


def _connect() -> "psycopg.Connection[dict[str, Any]]":
    import psycopg
    from psycopg.rows import dict_row

    from medallion_services.errors import UserError

    settings = Settings()
    try:
        return psycopg.connect(**settings.postgres_parameters("fraud_owner"), row_factory=dict_row, connect_timeout=5)
    except psycopg.OperationalError as error:
        raise UserError(f"the database cannot be reached ({str(error).splitlines()[0]}); is the stack up?") from error


def _check_role(role: str) -> None:
    from medallion_services.dashboard.access import Role
    from medallion_services.errors import UserError

    if role not in set(Role):
        raise UserError(f"'{role}' is no role; one of {', '.join(Role)}")


def _new_password() -> str:
    """Asked for twice at a terminal, else the first line of standard input; never an argument."""
    import sys

    if sys.stdin.isatty():
        return str(typer.prompt("password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")


def _hashed() -> str:
    from medallion_services.dashboard.passwords import hash_password
    from medallion_services.errors import UserError

    try:
        return hash_password(_new_password())
    except ValueError as error:
        raise UserError(str(error)) from error


@users_app.command("add")
def add(name: Name, role: RoleOption = "analyst") -> None:
    """Add somebody; the password is asked for, or read from standard input."""
    import psycopg

    from medallion_services.errors import UserError

    _check_role(role)
    with _connect() as connection:
        try:
            connection.execute(
                "INSERT INTO fraud.users (user_name, role, password_hash) VALUES (%s, %s, %s)", (name, role, _hashed())
            )
        except psycopg.errors.UniqueViolation as error:
            raise UserError(f"there is a user '{name}' already; `medallion users passwd {name}`") from error
        except psycopg.errors.CheckViolation as error:
            raise UserError(f"'{name}' is no user name: small letters, digits, dot and dash, 2 to 40") from error
    typer.echo(f"{name} is {role}")


@users_app.command("list")
def list_users() -> None:
    """Show users, roles and their tokens."""
    with _connect() as connection:
        rows = connection.execute(
            "SELECT u.user_name, u.role, u.enabled, count(t.token_id) FILTER (WHERE t.revoked_at IS NULL) AS tokens"
            " FROM fraud.users u LEFT JOIN fraud.api_tokens t USING (user_name) GROUP BY u.user_name ORDER BY 1"
        ).fetchall()
    for row in rows:
        state = "" if row["enabled"] else ", disabled"
        typer.echo(f"{row['user_name']}: {row['role']}{state}, {row['tokens']} tokens")
    if not rows:
        typer.echo("nobody yet: medallion users add NAME --role analyst")


def _must_exist(changed: int, name: str) -> None:
    from medallion_services.errors import UserError

    if not changed:
        raise UserError(f"there is no user '{name}'; see `medallion users list`")


@users_app.command("passwd")
def passwd(name: Name) -> None:
    """Change a password; every session of that user ends."""
    with _connect() as connection:
        changed = connection.execute(
            "UPDATE fraud.users SET password_hash = %s, password_changed_at = clock_timestamp() WHERE user_name = %s",
            (_hashed(), name),
        )
        _must_exist(changed.rowcount, name)
        connection.execute("DELETE FROM fraud.desk_sessions WHERE user_name = %s", (name,))
    typer.echo(f"{name} has a new password")


@users_app.command("disable")
def disable(name: Name) -> None:
    """Lock somebody out: no login, no token; their name stays in the history."""
    with _connect() as connection:
        changed = connection.execute("UPDATE fraud.users SET enabled = false WHERE user_name = %s", (name,))
        _must_exist(changed.rowcount, name)
        connection.execute("DELETE FROM fraud.desk_sessions WHERE user_name = %s", (name,))
        connection.execute(
            "UPDATE fraud.api_tokens SET revoked_at = clock_timestamp() WHERE user_name = %s AND revoked_at IS NULL",
            (name,),
        )
    typer.echo(f"{name} is locked out")


@users_app.command("token")
def token(
    name: Name,
    label: Annotated[str, typer.Option("--label", help="What it is for.")] = "api",
    role: RoleOption = "analyst",
    days: Annotated[int, typer.Option("--days", min=1, help="After so many days it ends.")] = 90,
) -> None:
    """Make a bearer token for programs and print it once; it may never do more than its user."""
    from medallion_services.dashboard.passwords import new_token, token_hash
    from medallion_services.dashboard.people import TOKEN_PREFIX

    _check_role(role)
    made = new_token(TOKEN_PREFIX)
    with _connect() as connection:
        done = connection.execute(
            "INSERT INTO fraud.api_tokens (user_name, label, token_hash, role, expires_at)"
            " SELECT user_name, %s, %s, %s, clock_timestamp() + %s * interval '1 day'"
            " FROM fraud.users WHERE user_name = %s",
            (label, token_hash(made), role, days, name),
        )
        _must_exist(done.rowcount, name)
    typer.echo(made)
