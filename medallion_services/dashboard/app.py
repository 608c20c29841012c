"""The application: routes, gate, background tasks. `create_app` takes settings; nothing runs before its lifespan."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import Depends, FastAPI
from fastapi.responses import FileResponse, JSONResponse
from starlette.requests import Request
from starlette.staticfiles import StaticFiles

from fraud_domain.settings import Settings
from medallion_services import notifier
from medallion_services.dashboard import api, pages, problems
from medallion_services.dashboard.access import authorise
from medallion_services.dashboard.api.models import PREFIX
from medallion_services.dashboard.database import Database
from medallion_services.dashboard.desk import Desk
from medallion_services.dashboard.gate import Gate
from medallion_services.dashboard.live import listen

STATIC = Path(__file__).parent / "static"
_WEB = Path(notifier.__file__).parent / "web"
_ASK_AGAIN_SECONDS = 1.0
# A service worker rules over its own directory only, so it stands at the root.
WEB_PUSH = {
    "/sw.js": _WEB / "sw.js",
    "/static/push.js": _WEB / "push.js",
    "/static/manifest.webmanifest": _WEB / "manifest.webmanifest",
}


def create_app(settings: Settings) -> FastAPI:
    """The dashboard on the database of `settings`.

    Raises:
        fraud_domain.settings.MissingSecretError: the role fraud_desk has no password file yet.
    """
    database = Database(settings)
    app = FastAPI(
        title="Medallion fraud desk",
        version="1",
        description="Alerts, cases, snoozes and figures of the fraud platform.",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        dependencies=[Depends(authorise)],
    )
    app.state.desk = Desk(settings, database)
    problems.register(app)
    for router in api.routers():
        app.include_router(router)
    app.include_router(pages.router())
    app.add_api_route("/health", health, include_in_schema=False)
    for address, file in WEB_PUSH.items():
        app.add_route(address, _file(file), include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_middleware(Gate, settings=settings.dashboard, database=database)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    desk: Desk = app.state.desk
    await desk.database.pool.open()
    tasks = [
        asyncio.create_task(listen(desk.database, desk.hub, desk.adopter.wake)),
        asyncio.create_task(desk.adopter.run()),
        asyncio.create_task(desk.relay.run()),
    ]
    try:
        yield
    finally:
        await end(tasks)
        await desk.database.pool.close()


async def end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel `tasks` until each has ended; one that failed is reported by the event loop.

    Once is not enough: in Python 3.11 `asyncio.wait_for`, by which the pool waits for a connection, loses a
    cancellation that comes together with what it waits for.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_ASK_AGAIN_SECONDS)


def _file(path: Path) -> Callable[[Request], Awaitable[FileResponse]]:
    async def serve(_: Request) -> FileResponse:
        return FileResponse(path, headers={"cache-control": "no-cache"})

    return serve


async def health() -> JSONResponse:
    """Whether the process serves; it says nothing about anything else, since it needs no login."""
    return JSONResponse({"status": "ok", "service": "medallion-dashboard"})
