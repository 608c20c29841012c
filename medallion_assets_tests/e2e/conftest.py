"""One desk and one browser for the tests of a file; the desk has a fortnight of alerts behind it."""

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from medallion_assets_tests.e2e.browser import browsing
from medallion_assets_tests.e2e.desk_pages import LIVE, Desk
from medallion_assets_tests.e2e.desk_world import DeskWorld
from medallion_assets_tests.integration import desk
from medallion_services.embedded.throwaway import own_database


@pytest.fixture(scope="module")
def shown() -> Iterator[Desk]:
    with own_database() as settings:
        world = DeskWorld(settings)
        world.judge(time.time())
        early, live = world.alerts[:-LIVE], world.alerts[-LIVE:]
        sink = world.sink()
        world.commit(sink, early)
        world.alerts = early
        world.backdate()
        desk.adopt(settings)
        world.record_contexts()
        world.write_lake()
        world.write_marts()
        for name, role in (("ana", "analyst"), ("bruno", "analyst"), ("vera", "viewer")):
            desk.add_user(settings, name, role)
        open_desk, closed_desk = desk.with_dashboard(settings), desk.with_dashboard(settings, auth=True)
        with desk.served(open_desk) as address, desk.served(closed_desk) as login:
            yield Desk(settings, world, address, login, live, lambda alerts: world.commit(sink, alerts))
        sink.pool.close()


# Not longer than a module: while it is open, no other test of this process can run an event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as started:
        yield started
