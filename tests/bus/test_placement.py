"""Which processor a service runs on."""

import os
import subprocess
import sys

import pytest

from bus.placement import PlacementError, place

PROGRAM = "import os; from bus.placement import place; place('{}', {}); print(sorted(os.sched_getaffinity(0)))"
HERE = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]


def _placed(service: str, cpu: int) -> list[int]:
    run = subprocess.run([sys.executable, "-c", PROGRAM.format(service, cpu)], capture_output=True, check=True)
    return [int(word) for word in run.stdout.decode().strip("[]\n").split(",")]


def test_a_service_of_the_order_path_when_a_processor_is_chosen_runs_there_alone() -> None:
    assert _placed("risk", HERE[-1]) == [HERE[-1]]


@pytest.mark.parametrize(("service", "cpu"), [("ledger", HERE[-1]), ("risk", -1)])
def test_any_other_service_or_none_chosen_stays_where_the_system_places_it(service: str, cpu: int) -> None:
    assert _placed(service, cpu) == HERE


def test_a_processor_when_there_is_no_such_says_which_there_are() -> None:
    with pytest.raises(PlacementError, match="ORDER_PATH_CPU is 1022, but this machine offers"):
        place("risk", 1022)
