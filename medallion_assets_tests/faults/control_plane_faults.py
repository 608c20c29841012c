"""Faults of Dagster's side: the run that owns a driver, the daemon, the code server, each killed by SIGKILL."""

import os
import signal

import psutil

from medallion_assets_tests.faults.fault import Elsewhere
from medallion_assets_tests.running_stack import Stack, answers, assert_alerts_are_exact, driven_anew, eventually, up
from medallion_services.embedded.environment import instance_id
from medallion_services.embedded.owner import read_state
from medallion_services.embedded.processes import marked, signal_all
from medallion_services.embedded.throwaway import fresh_settings
from medallion_services.generator.timeline import Plan, Timeline
from medallion_services.generator.world import World
from spark_jobs.runtime import SUPERVISOR_VARIABLE

_CUSTOMERS = 60
_PATIENCE = 300.0


def control_plane_killed(seed: int) -> str:
    """One after another on a running platform, with traffic in between; the alerts are exact at the end."""
    with fresh_settings() as settings:
        world = World(seed, _CUSTOMERS, _CUSTOMERS, settings.token_key())
        stack = Stack(settings, Timeline(world, Plan(1, seed, fraud_share=0.5, run_id="control")))
        with up(settings):
            eventually("the streams run", lambda: answers(stack.all_running), _PATIENCE)
            stack.send(1800)
            told = [
                _run_killed(stack),
                _component_killed(stack, "dagster-daemon"),
                _component_killed(stack, "dagster-code"),
            ]
            eventually("the streams run again", lambda: answers(stack.all_running), _PATIENCE)
            stack.send(600)
            assert_alerts_are_exact(stack)
        left = marked(instance_id(settings))
        assert not left, f"{len(left)} processes are left after the owner stopped"
    return "; ".join(told)


def _run_killed(stack: Stack) -> str:
    """The run worker dies: its driver must notice and stop by itself, and the guard start another one."""
    before, _ = stack.drivers()["alerts"]
    worker = int(psutil.Process(before).environ()[SUPERVISOR_VARIABLE].split(":")[0])
    os.kill(worker, signal.SIGKILL)
    gone = eventually("the orphaned driver stops itself", lambda: not psutil.pid_exists(before), _PATIENCE)
    stack.send(600)

    def back() -> bool:
        pid, state = stack.drivers()["alerts"]
        return pid != before and state == "running"

    took = eventually("the guard starts another driver", back, _PATIENCE)
    return f"run killed: driver gone after {gone:.0f} s, the next runs {took:.0f} s later"


def _component_killed(stack: Stack, name: str) -> str:
    """A process of Dagster dies: it is started again, and the streams go on meanwhile."""

    def pid() -> int | None:
        state = read_state(stack.settings)
        return state.components[name].pid if state is not None else None

    before = pid()
    assert before is not None
    os.kill(before, signal.SIGKILL)
    stack.send(300)
    took = eventually(f"{name} is started again", lambda: pid() not in (None, before), _PATIENCE)
    return f"{name} killed: started again after {took:.0f} s"


def everything_killed(seed: int) -> str:
    """SIGKILL to every process of the platform at once, in the middle of traffic; then `medallion up` and no hand."""
    # One partition: then the log alone decides also about merchants and devices, whatever the batches were.
    with fresh_settings(kafka={"partitions": 1}) as settings:
        world = World(seed, _CUSTOMERS, _CUSTOMERS, settings.token_key())
        stack = Stack(settings, Timeline(world, Plan(1, seed, fraud_share=0.5, run_id="all")))
        with up(settings):
            eventually("the streams run", lambda: answers(stack.all_running), _PATIENCE)
            stack.send(1800)
            killed = marked(instance_id(settings))
            signal_all(killed, signal.SIGKILL)
        with up(settings):
            took = eventually("the streams run", lambda: answers(lambda: _run_anew(stack)), 2 * _PATIENCE)
            stack.send(600)
            assert_alerts_are_exact(stack, _PATIENCE)
    return f"{len(killed)} processes killed; all streams run {took:.0f} s after `medallion up`"


def _run_anew(stack: Stack) -> bool:
    return stack.all_running() and driven_anew(stack)


FAULTS = (
    Elsewhere(
        "D4",
        "The run that owns a driver, Dagster's daemon and its code server killed",
        "An orphaned driver stops itself; the guard starts another; alerts are exact",
        control_plane_killed,
    ),
    Elsewhere(
        "D8",
        "Every process of the platform killed at once, then `medallion up`",
        "The streams run again without a hand; alerts are exact",
        everything_killed,
    ),
)
