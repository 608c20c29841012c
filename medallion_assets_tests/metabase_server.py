"""The part of Metabase's REST API that provisioning uses, behind real HTTP: what is refused there is refused here.

The live product was not started where this was written. Routes, fields and status codes are those of its public API
documentation (version 0.56). As there, passwords never come back, ids are given by the server, a dashboard's cards
are replaced as a whole, and what is stored differs from what was sent.
"""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Body, Depends, FastAPI, Header, HTTPException, Query, Request
from fastapi.responses import JSONResponse

from medallion_assets_tests.http_server import serving
from medallion_services.embedded.ports import free_ports

Document = dict[str, Any]
_SESSION = "session-of-the-test"
_TOKEN = "token-of-the-first-start"
_WRITES = {"POST", "PUT", "DELETE", "PATCH"}


@dataclass
class State:
    """What the server keeps, and every request that would change something."""

    users: dict[str, str] = field(default_factory=dict)
    databases: dict[int, Document] = field(default_factory=dict)
    passwords: dict[int, str] = field(default_factory=dict)
    collections: dict[int, Document] = field(default_factory=dict)
    cards: dict[int, Document] = field(default_factory=dict)
    dashboards: dict[int, Document] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    unhealthy_for: int = 0
    fail_at: str = ""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def add(self, kind: dict[int, Document], document: Document) -> Document:
        """Store under a new id."""
        number = next(self.numbers)
        kind[number] = document | {"id": number, "archived": False}
        return kind[number]


def _found(kind: dict[int, Document], number: int) -> Document:
    if number not in kind:
        raise HTTPException(404, "Not found.")
    return kind[number]


def _needs(document: Document, *names: str) -> None:
    missing = {name: "value must be a non-blank string." for name in names if not document.get(name)}
    if missing:
        raise HTTPException(400, {"errors": missing})


def create(state: State) -> FastAPI:
    """The application over its state."""
    app = FastAPI()

    def session(x_metabase_session: Annotated[str, Header()] = "") -> None:
        if x_metabase_session != _SESSION:
            raise HTTPException(401, "Unauthenticated")

    @app.middleware("http")
    async def count(request: Request, proceed: Any) -> Any:
        call = f"{request.method} {request.url.path}"
        if state.fail_at and call.startswith(state.fail_at):
            return JSONResponse({"message": "broken"}, 500)
        if request.method in _WRITES and request.url.path != "/api/session":
            state.writes.append(call)
        return await proceed(request)

    @app.get("/api/health")
    def health() -> JSONResponse:
        if state.unhealthy_for:
            state.unhealthy_for -= 1
            return JSONResponse({"status": "initializing", "progress": 0.3}, 503)
        return JSONResponse({"status": "ok"})

    @app.get("/api/session/properties")
    def properties() -> Document:
        return {"setup-token": None if state.users else _TOKEN, "has-user-setup": bool(state.users)}

    @app.post("/api/setup")
    def setup(body: Annotated[Document, Body()]) -> Document:
        if state.users or body["token"] != _TOKEN:
            raise HTTPException(403, "The /api/setup route can only be used to create the first user")
        user = body["user"]
        _needs(user, "email", "password", "first_name", "last_name")
        _needs(body["prefs"], "site_name")
        if not any(each.isdigit() for each in user["password"]):
            raise HTTPException(400, {"errors": {"password": "password is too common."}})
        state.users[user["email"]] = user["password"]
        return {"id": _SESSION}

    @app.post("/api/session")
    def log_in(body: Annotated[Document, Body()]) -> Document:
        if state.users.get(body["username"]) != body["password"]:
            raise HTTPException(401, {"errors": {"password": "did not match stored password"}})
        return {"id": _SESSION}

    _content_routes(app, state, [Depends(session)])
    _dashboard_routes(app, state, [Depends(session)])
    return app


def _content_routes(app: FastAPI, state: State, logged_in: list[Any]) -> None:
    def keep(document: Document, body: Document) -> Document:
        details = dict(body["details"])
        state.passwords[document["id"]] = details.pop("password")
        document |= {"details": details | {"password": "**MetabasePass**"}}
        return document

    @app.get("/api/database", dependencies=logged_in)
    def databases() -> Document:
        # How to connect is told one by one.
        listed = [{name: each[name] for name in ("id", "name", "engine")} for each in state.databases.values()]
        return {"data": listed, "total": len(listed)}

    @app.get("/api/database/{number}", dependencies=logged_in)
    def one_database(number: int) -> Document:
        return _found(state.databases, number)

    @app.post("/api/database", dependencies=logged_in)
    def add_database(body: Annotated[Document, Body()]) -> Document:
        _needs(body, "name", "engine", "details")
        return keep(state.add(state.databases, {"name": body["name"], "engine": body["engine"]}), body)

    @app.put("/api/database/{number}", dependencies=logged_in)
    def change_database(number: int, body: Annotated[Document, Body()]) -> Document:
        return keep(_found(state.databases, number), body)

    @app.get("/api/collection", dependencies=logged_in)
    def collections() -> list[Document]:
        return [{"id": "root", "name": "Our analytics"}, *state.collections.values()]

    @app.post("/api/collection", dependencies=logged_in)
    def add_collection(body: Annotated[Document, Body()]) -> Document:
        _needs(body, "name")
        return state.add(state.collections, body)

    @app.get("/api/collection/{number}/items", dependencies=logged_in)
    def items(number: int, models: Annotated[list[str], Query()], limit: int, offset: int) -> Document:
        _found(state.collections, number)
        kinds = {"card": state.cards, "dashboard": state.dashboards}
        listed = [
            {name: each.get(name) for name in ("id", "name", "description", "collection_id")} | {"model": model}
            for model in models
            for each in kinds[model].values()
            if each["collection_id"] == number and not each["archived"]
        ]
        return {"data": listed[offset : offset + limit], "total": len(listed), "limit": limit, "offset": offset}

    def judged(body: Document) -> Document:
        _needs(body, "name", "display", "dataset_query")
        query = body["dataset_query"]
        if query["database"] not in state.databases:
            raise HTTPException(400, "no such database")
        for name, tag in query["native"]["template-tags"].items():
            if tag["name"] != name or f"{{{{{name}}}}}" not in query["native"]["query"]:
                raise HTTPException(400, f"template tag {name}")
        # Newer versions store a query in stages, whatever was sent.
        stages = [{"lib/type": "mbql.stage/native", **query["native"]}]
        return body | {"dataset_query": {"lib/type": "mbql/query", "database": query["database"], "stages": stages}}

    @app.post("/api/card", dependencies=logged_in)
    def add_card(body: Annotated[Document, Body()]) -> Document:
        if body.get("collection_id") is not None:
            _found(state.collections, body["collection_id"])
        return state.add(state.cards, judged(body))

    @app.put("/api/card/{number}", dependencies=logged_in)
    def change_card(number: int, body: Annotated[Document, Body()]) -> Document:
        _found(state.cards, number).update(judged(body) if "dataset_query" in body else body)
        return state.cards[number]


def _dashboard_routes(app: FastAPI, state: State, logged_in: list[Any]) -> None:
    @app.post("/api/dashboard", dependencies=logged_in)
    def add_dashboard(body: Annotated[Document, Body()]) -> Document:
        _needs(body, "name")
        return state.add(state.dashboards, body | {"dashcards": [], "parameters": [], "tabs": []})

    @app.get("/api/dashboard/{number}", dependencies=logged_in)
    def dashboard(number: int) -> Document:
        return _found(state.dashboards, number)

    @app.put("/api/dashboard/{number}", dependencies=logged_in)
    def change_dashboard(number: int, body: Annotated[Document, Body()]) -> Document:
        document = _found(state.dashboards, number)
        known = {each["id"] for each in document["dashcards"]}
        wanted = document | body
        parameters = {each["id"] for each in wanted["parameters"]}
        # A change of the cards that names no tab leaves none.
        wanted["tabs"] = body.get("tabs") or ([] if "dashcards" in body else document["tabs"])
        tabs = {each["id"] for each in wanted["tabs"]}
        placed = []
        for each in wanted["dashcards"]:
            if tabs and each.get("dashboard_tab_id") not in tabs:
                raise HTTPException(400, "a card on no tab")
            if each["id"] > 0 and each["id"] not in known:
                raise HTTPException(400, f"dashcard {each['id']} is not on the dashboard")
            if each["card_id"] is not None:
                _found(state.cards, each["card_id"])
            if {mapping["parameter_id"] for mapping in each["parameter_mappings"]} - parameters:
                raise HTTPException(400, "a mapping of no parameter")
            if each["col"] + each["size_x"] > 24:
                raise HTTPException(400, "beyond the grid")
            number_of_card = each["id"] if each["id"] > 0 else next(state.numbers)
            placed.append(each | {"id": number_of_card, "dashboard_id": number, "created_at": "2026-01-01T00:00:00Z"})
        document |= wanted | {"dashcards": placed}
        return document


@contextmanager
def served(state: State) -> Iterator[str]:
    """The server on a port of its own, in a thread; yields its address."""
    (port,) = free_ports(1)
    with serving(create(state), port) as address:
        yield address
