"""The pages. Each one is complete without scripts; scripts keep it current."""

import asyncio
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse

from medallion_services.dashboard import alert_view, boards, cases, i18n, login, open_queue, people, queue, render
from medallion_services.dashboard.access import Principal, Role, principal
from medallion_services.dashboard.api.models import AlertId, Cursor, Id, Period, QueueQuery
from medallion_services.dashboard.desk import Desk, desk
from medallion_services.dashboard.states import Disposition, State, allowed

Services = Annotated[Desk, Depends(desk)]
Who = Annotated[Principal, Depends(principal)]
THEME_COOKIE = "medallion_theme"


class Renderer:
    """Renders a template with what every page shows."""

    def __init__(self) -> None:
        self._environment = render.environment()
        self._texts = i18n.load_texts()

    def __call__(
        self, request: Request, template: str, who: Principal | None, code: int = 200, **values: Any
    ) -> HTMLResponse:
        """The page as a response, in the reader's language."""
        asked = request.query_params.get("lang")
        chosen = asked if asked in i18n.LANGUAGES else request.cookies.get(i18n.COOKIE)
        language = i18n.choose(chosen, request.headers.get("accept-language", ""))
        translate = i18n.Translator(language, self._texts[language])
        theme = request.cookies.get(THEME_COOKIE, "")
        html = self._environment.get_template(template).render(
            t=translate,
            language=language,
            theme=theme if theme in ("light", "dark") else "",
            who=who,
            may_work=who is not None and who.may(Role.ANALYST),
            path=request.url.path,
            money=partial(render.money, language=language),
            number=partial(render.number, language=language),
            percent=partial(render.percent, language=language),
            script_texts={key: text for key, text in self._texts[language].items() if key.startswith("js.")},
            **values,
        )
        answer = HTMLResponse(html, code)
        if asked in i18n.LANGUAGES:
            answer.set_cookie(i18n.COOKIE, asked, max_age=365 * 86_400, samesite="lax")
        return answer


def router() -> APIRouter:
    """All pages."""
    found = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    page = Renderer()
    login.add(found, page)

    @found.get("/")
    async def overview(request: Request, services: Services, who: Who, period: Period = "24h") -> Response:
        """The state of fraud and of the platform."""
        latest = await queue.page(
            services.database, queue.Wanted(queue.View.OPEN, queue.Sort.NEWEST, limit=12), who.name
        )
        names, headline, top, months, waiting, truth = await asyncio.gather(
            services.names(),
            services.headline(period),
            services.metric("top_subjects", period),
            services.metric("month", period),
            services.metric("open_queue", period),
            services.metric("precision_by_level", period),
        )
        return page(
            request, "overview.html", who, names=names, headline=headline, top=top, months=months, period=period,
            latest=latest.rows, queue_age=open_queue.by_level(waiting), at_risk=open_queue.at_risk(waiting),
            precision_by_level=truth,
        )  # fmt: skip

    @found.get("/queue")
    async def queue_page(
        request: Request, services: Services, who: Who, query: Annotated[QueueQuery, Query()]
    ) -> Response:
        """The analysts' queue; the address holds every filter."""
        names, found_page, counts = await asyncio.gather(
            services.names(),
            queue.page(services.database, queue.Wanted(**query.model_dump()), who.name),
            services.cache.get(("counts", who.name), 1, lambda: queue.counts(services.database, who.name), stale=5),
        )
        filters = {k: v for k, v in query.model_dump(mode="json", exclude_defaults=True).items() if v}
        template = "queue_rows.html" if request.headers.get("x-fragment") else "queue.html"
        return page(
            request, template, who, names=names, page=found_page, counts=counts, query=query, filters=filters,
            views=queue.View, sorts=queue.Sort, dispositions=Disposition, link=_link,
        )  # fmt: skip

    @found.get("/alerts/{alert_id}")
    async def alert(request: Request, services: Services, who: Who, alert_id: AlertId) -> Response:
        """Everything about one alert."""
        names, view, colleagues = await asyncio.gather(
            services.names(), alert_view.load(services.database, alert_id), people.colleagues(services.database)
        )
        return page(
            request, "alert.html", who, names=names, view=view, alert=view.alert, dispositions=Disposition,
            moves=allowed(State(view.alert["status"])), colleagues=sorted({*colleagues, who.name}),
            dagster=_dagster(services),
        )  # fmt: skip

    @found.get("/cases")
    async def case_list(
        request: Request,
        services: Services,
        who: Who,
        status: cases.CaseStatus = cases.CaseStatus.OPEN,
        cursor: Cursor = "",
    ) -> Response:
        """Cases by score."""
        names, found_page = await asyncio.gather(
            services.names(), cases.page(services.database, status, cursor, limit=50)
        )
        return page(request, "cases.html", who, names=names, page=found_page, status=status, statuses=cases.CaseStatus)

    @found.get("/cases/{case_id}")
    async def case_page(request: Request, services: Services, who: Who, case_id: Id) -> Response:
        """One case with its alerts."""
        names, (case, alerts, trail), colleagues = await asyncio.gather(
            services.names(), cases.load(services.database, case_id), people.colleagues(services.database)
        )
        return page(
            request, "case.html", who, names=names, case=case, alerts=alerts, trail=trail, dispositions=Disposition,
            colleagues=sorted({*colleagues, who.name}),
        )  # fmt: skip

    @found.get("/rules")
    async def rules(request: Request, services: Services, who: Who) -> Response:
        """The rule board."""
        names, board = await asyncio.gather(services.names(), boards.rules(services))
        return page(request, "rules.html", who, names=names, board=board, dagster=_dagster(services))

    @found.get("/streams")
    async def streams(request: Request, services: Services, who: Who) -> Response:
        """The streams."""
        spark = f"http://127.0.0.1:{services.settings.spark.ui_port}"
        return page(
            request,
            "streams.html",
            who,
            streams=await boards.streams(services),
            dagster=_dagster(services),
            spark=spark,
        )

    @found.get("/data")
    async def data(request: Request, services: Services, who: Who) -> Response:
        """Data health."""
        return page(request, "data.html", who, data=await boards.data(services), dagster=_dagster(services))

    @found.get("/snoozes")
    async def snoozes(request: Request, services: Services, who: Who) -> Response:
        """What is hidden, by whom and until when."""
        active, ended = await asyncio.gather(
            cases.snoozes(services.database, True), cases.snoozes(services.database, False)
        )
        names = await services.names()
        return page(request, "snoozes.html", who, active=active, ended=ended, names=names)

    return found


def _link(filters: dict[str, Any], **changes: Any) -> str:
    """The queue's address with some filters changed; a changed filter begins at the first page."""
    wanted = {k: v for k, v in (filters | {"cursor": ""} | changes).items() if v}
    return "/queue" + (f"?{urlencode(wanted)}" if wanted else "")


def _dagster(services: Desk) -> str:
    return f"http://{services.settings.dagster.host}:{services.settings.dagster.port}"
