"""A sweep in processes of its own: on this machine's cores and on a Dask cluster the same table."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import LocalCluster

from replay.__main__ import main
from replay.choice import RunChoice
from replay.engines import on_this_machine
from replay.sweep import combinations, jobs

pytestmark = pytest.mark.processes
SWEEP = ["sweep", "--symbols", "ELMZ,XARQ,KELZ", "--set", "TRAILING_STOP=1,30,3", "--set", "MAX_OPEN_POSITIONS=1,8"]


@pytest.fixture
def scheduler() -> Iterator[str]:
    # Two threads for each worker: a worker must play one combination at a time all the same.
    with LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        yield str(cluster.scheduler_address)


def test_a_sweep_when_played_by_a_cluster_finds_what_this_machine_finds(tmp_path: Path, scheduler: str) -> None:
    assert main([*SWEEP, "--out", str(tmp_path / "here"), "--workers", "2"]) == 0
    assert main([*SWEEP, "--out", str(tmp_path / "there"), "--scheduler", scheduler]) == 0
    for name in ("results.csv", "report.html"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()
    rows = (tmp_path / "here" / "results.csv").read_text().splitlines()
    assert len(rows) == 1 + 6
    assert sum("must be a number from 0.1 to 20" in row for row in rows) == 2


def test_a_combination_when_an_error_was_not_foreseen_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    # What is called instead takes no job: an error that nobody foresaw, raised in the other process.
    monkeypatch.setattr("replay.engines.evaluate", int)
    found = list(on_this_machine(1)(jobs(RunChoice(), combinations([("A", ("1", "2"))]))))
    assert [verdict.error[:9] for _, verdict in found] == ["TypeError", "TypeError"]
