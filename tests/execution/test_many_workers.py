"""A run on many workers that die, by the simulation that ``benchmarks`` has of them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from onex.domain.result import StepStatus


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    place = Path(__file__).parents[2] / "benchmarks" / "simulation.py"
    specification = importlib.util.spec_from_file_location("simulation", place)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


def model(simulation: ModuleType, **changes: float):
    usual = {
        "steps": 2_000, "workers": 50, "call": 1.0, "host": 0.0004, "scheduler": 0.0005,
        "entry": 0.0002, "commit": 0.002, "life": 1e9, "seed": 1,
    }  # fmt: skip
    return simulation.Model(**(usual | changes))


@pytest.mark.parametrize("seed", range(3))
def test_calls_of_workers_that_die_are_repeated_and_recorded_once(
    simulation: ModuleType, seed: int
) -> None:
    found = simulation.simulate(model(simulation, life=30.0, seed=seed))
    assert found.cluster.lost_calls > 20
    assert found.result.success
    assert set(found.recorded.values()) == {1}
    attempts = sum(r.attempts for n, r in found.result.steps.items() if "[" in n or n == "reduce")
    assert attempts == 2_000 + 1 + found.cluster.lost_calls
    assert all(r.status is StepStatus.SUCCEEDED for r in found.result.steps.values())


def test_workers_are_kept_busy(simulation: ModuleType) -> None:
    found = simulation.simulate(model(simulation))
    assert found.cluster.busy_seconds / (found.seconds * 50) > 0.9


def test_a_slow_database_takes_a_small_part_of_the_time(simulation: ModuleType) -> None:
    """Short calls end all the time; a transaction for each few would leave time for nothing."""
    commit = 0.01
    found = simulation.simulate(model(simulation, call=0.01, commit=commit, entry=0.0))
    assert found.write_count * commit < 0.3 * found.seconds
