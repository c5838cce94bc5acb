"""Both benches run to their end and say a positive figure in every row; how fast is theirs to say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUS = ("round trip", "throughput", "3 durable hops", "one append + fdatasync")
REPLAY = ("session", "opening range", "screener", "strategy", "risk", "execution", "ledger", "web", "watchdog", "whole")


@pytest.mark.parametrize(("script", "expected"), [("bus_bench.py", BUS), ("replay_bench.py", REPLAY)])
def test_a_bench_when_run_quickly_then_prints_a_positive_figure_in_each_row(
    script: str, expected: tuple[str, ...]
) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / script), "--quick"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split(" | ") for line in done.stdout.splitlines() if " | " in line]
    assert [cell.strip() for cell in lines[0]] == ["what", "measured", "bare", "ratio", "goal", "met"]
    for what, measured, *_ in lines[1:]:
        assert float(measured.split()[0].replace(",", "")) > 0, what
    for name in expected:
        assert any(line[0].startswith(name) for line in lines[1:]), f"no row for {name}"
