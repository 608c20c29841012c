"""The login page, and the way out."""

from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from medallion_services.dashboard import people
from medallion_services.dashboard.desk import Desk, desk
from medallion_services.dashboard.gate import COOKIE


def local_path(target: str) -> str:
    """Where to go after the login: a path of ours, or the start."""
    parts = urlsplit(target)
    safe = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.netloc and not parts.scheme
    return target if safe and "\\" not in target and target.isprintable() else "/"


def add(router: APIRouter, page: Callable[..., HTMLResponse]) -> None:
    """Add the routes; `page` renders a template."""

    @router.get("/login")
    async def form(request: Request, next: str = "/") -> Response:
        """Ask for name and password."""
        return page(request, "login.html", None, next=local_path(next), failed=False)

    @router.post("/login")
    async def log_in(
        request: Request,
        services: Annotated[Desk, Depends(desk)],
        user: Annotated[str, Form(max_length=40)],
        password: Annotated[str, Form(max_length=200)],
        next: Annotated[str, Form(max_length=2000)] = "/",
    ) -> Response:
        """Start a session."""
        hours = services.settings.dashboard.session_hours
        session = await people.log_in(services.database, user.replace("\x00", ""), password, hours)
        if session is None:
            return page(request, "login.html", None, code=401, next=local_path(next), failed=True)
        answer = RedirectResponse(local_path(next), 303)
        answer.set_cookie(
            COOKIE,
            session,
            max_age=int(hours * 3600),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    @router.post("/logout", status_code=204)
    async def log_out(request: Request, services: Annotated[Desk, Depends(desk)]) -> Response:
        """End the session."""
        if session := request.cookies.get(COOKIE):
            await people.log_out(services.database, session)
        answer = Response(status_code=204)
        answer.delete_cookie(COOKIE)
        return answer
