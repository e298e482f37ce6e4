"""Seeded faults against the real server; `just soak` does the same for longer.

`FAULT_SEED`, `FAULT_RUNS` and `STORM_RUNS` choose others: a failure says which to set.
"""

import asyncio
import os
from pathlib import Path

import pytest

from tests.faults.nodes import LEASE, NODES
from tests.faults.plan import plan_of, stormy_plan_of
from tests.faults.soak import soak, soak_nodes

SEED = int(os.environ.get("FAULT_SEED", "1"))
RUNS = int(os.environ.get("FAULT_RUNS", "40"))
STORMS = int(os.environ.get("STORM_RUNS", "3"))


def test_a_plan_is_a_function_of_its_seed() -> None:
    assert [plan_of(seed) for seed in range(50)] == [plan_of(seed) for seed in range(50)]
    assert plan_of(1) != plan_of(2)
    storms = [stormy_plan_of(seed, NODES, LEASE) for seed in range(6)]
    assert storms == [stormy_plan_of(seed, NODES, LEASE) for seed in range(6)]


@pytest.mark.takes_minutes
@pytest.mark.timeout(600)  # a second a run on a machine with nothing else to do, and starts
def test_no_promise_is_broken_by_cuts_stops_crashes_and_drains(tmp_path: Path) -> None:
    summary = asyncio.run(soak(SEED, RUNS, tmp_path))
    assert summary.runs == RUNS


@pytest.mark.takes_minutes
@pytest.mark.timeout(600)  # some ten seconds a run, as nodes are started again
def test_no_promise_is_broken_by_what_happens_to_nodes(tmp_path: Path) -> None:
    summary = asyncio.run(soak_nodes(SEED, STORMS, tmp_path))
    assert summary.runs == STORMS
