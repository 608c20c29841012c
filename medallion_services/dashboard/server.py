"""Runs the application; refuses to be open to others without a login."""

from fraud_domain.settings import Settings
from medallion_services.dashboard.gate import is_loopback
from medallion_services.errors import UserError


def check(settings: Settings) -> None:
    """Refuse what would let strangers in.

    Raises:
        UserError: without login it may listen on loopback only.
    """
    if not settings.dashboard.auth and not is_loopback(settings.dashboard.host):
        raise UserError(
            f"the dashboard would listen on {settings.dashboard.host} without a login."
            " Set MEDALLION_DASHBOARD__AUTH=true and add people with `medallion users add`,"
            " or leave MEDALLION_DASHBOARD__HOST at 127.0.0.1"
        )


def run(settings: Settings) -> None:
    """Serve until a signal asks to stop.

    Raises:
        UserError: see `check`.
    """
    check(settings)
    import uvicorn

    from medallion_services.dashboard.app import create_app

    uvicorn.run(
        create_app(settings),
        host=settings.dashboard.host,
        port=settings.dashboard.port,
        access_log=False,
        server_header=False,
        # Open event streams do not end by themselves.
        timeout_graceful_shutdown=2,
    )
