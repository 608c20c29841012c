"""The whole platform comes back after a stop, from a backup in another place."""

import shutil
import subprocess

import pytest

from fraud_domain.settings import Settings
from medallion_assets_tests.running_stack import (
    Stack,
    answers,
    assert_alerts_are_exact,
    driven_anew,
    eventually,
    up,
)
from medallion_services.embedded.environment import instance_id
from medallion_services.embedded.processes import marked
from medallion_services.embedded.throwaway import fresh_settings
from medallion_services.generator.timeline import Plan, Timeline
from medallion_services.generator.world import World

pytestmark = pytest.mark.timeout(2000)
CUSTOMERS, SEED = 60, 8


def test_it_goes_on_after_a_stop_from_a_backup_elsewhere() -> None:
    """Up, traffic, stop; the data directory packed, removed and unpacked elsewhere; up, traffic: one set of alerts."""
    # One partition: then the log alone decides also about merchants and devices, whatever the batches were.
    with fresh_settings(kafka={"partitions": 1}) as first, fresh_settings() as elsewhere:
        world = World(SEED, CUSTOMERS, CUSTOMERS, first.token_key())
        timeline = Timeline(world, Plan(1, SEED, fraud_share=0.5, run_id="again"))
        made = Stack(first, timeline)
        with up(first):
            eventually("streams run", lambda: answers(made.all_running), 600)
            made.send(1800)
            eventually(
                "some alerts are there", lambda: made.one("SELECT count(*) AS n FROM fraud.alerts")["n"] > 0, 120
            )
        assert not marked(instance_id(first))
        settings = restored(first, elsewhere)
        made = Stack(settings, timeline, made.judged_until)
        with up(settings):
            eventually("streams run again", lambda: answers(lambda: made.all_running() and driven_anew(made)), 600)
            made.send(900)
            assert_alerts_are_exact(made)
        assert not marked(instance_id(settings))


def restored(from_: Settings, to: Settings) -> Settings:
    """What docs/backup.md says: the data directory of a stopped platform, packed, lost, and unpacked elsewhere."""
    packed = to.data_dir.with_suffix(".tar")
    try:
        subprocess.run(["tar", "-cpf", packed, "-C", from_.data_dir, "."], check=True)
        shutil.rmtree(from_.data_dir)
        shutil.rmtree(to.data_dir)
        to.data_dir.mkdir(mode=0o711)
        subprocess.run(["tar", "-xpf", packed, "-C", to.data_dir], check=True)
    finally:
        packed.unlink(missing_ok=True)
    return Settings.model_validate(from_.model_dump() | {"data_dir": to.data_dir})
