"""Every bench runs to its end and says a figure in every row; how fast is theirs to say, what must hold is not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUS = ("round trip", "throughput", "the same, beside a bare chain", "3 durable hops", "one append + fdatasync")
REPLAY = ("session", "opening range", "screener", "strategy", "risk", "execution", "ledger", "web", "watchdog", "whole")


HALT = ("halt to the last entry order", "halt to acknowledged", "halt to no open", "halt to no order", "halt ackn")
DELIVERY = ("delivery, 30 % lost", "delivery: kills", "delivery: sender", "delivery: receiver")


def _run_quickly(script: str) -> list[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / script), "--quick"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout.splitlines()


def _check_rows(said: list[str], expected: tuple[str, ...], *, least: float) -> None:
    lines = [line.split(" | ") for line in said if " | " in line]
    assert [cell.strip() for cell in lines[0]] == ["what", "measured", "bare", "ratio", "goal", "met"]
    for what, measured, *_ in lines[1:]:
        assert float(measured.split()[0].replace(",", "")) >= least, what
    for name in expected:
        assert any(line[0].startswith(name) for line in lines[1:]), f"no row for {name}"


@pytest.mark.parametrize(("script", "expected"), [("bus_bench.py", BUS), ("replay_bench.py", REPLAY)])
def test_a_bench_when_run_quickly_then_prints_a_positive_figure_in_each_row(
    script: str, expected: tuple[str, ...]
) -> None:
    _check_rows(_run_quickly(script), expected, least=0.001)


@pytest.mark.processes
def test_a_halted_chain_when_flooded_with_orders_sends_no_entry_later_than_a_second() -> None:
    said = _run_quickly("halt_bench.py")
    _check_rows(said, HALT, least=0)
    assert said[-1] == "0 halts with an entry order later than 1,000 ms"


@pytest.mark.processes
def test_a_stream_when_its_ends_are_killed_on_a_bad_line_loses_and_doubles_nothing() -> None:
    said = _run_quickly("delivery_bench.py")
    _check_rows(said, DELIVERY, least=0.001)
    assert said[-1] == "4,000 messages: 0 lost, 0 doubled, in order"


def _lines_of(script: str, *arguments: str) -> list[str]:
    """Return what a bench says; how fast the machine was is its exit code's to say."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / script), *arguments],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_streams_when_benched_then_every_client_hears_and_the_server_stops_clean() -> None:
    said = _lines_of("sse_bench.py", "--clients", "4", "--seconds", "3")
    assert said[0].startswith("4 streams, ")
    assert said[0].endswith("4 streams open at the end")
    assert said[-1].endswith("exit code 0")


@pytest.mark.browser
def test_page_when_benched_then_is_painted_and_shows_live_figures() -> None:
    assert [line.split(":")[0] for line in _lines_of("page_bench.py", "--rounds", "1")] == ["cold", "warm"]


def test_chain_when_benched_beside_open_pages_then_every_figure_is_there() -> None:
    _check_rows(_run_quickly("beside_bench.py"), ("3 durable hops beside 48 streams",), least=0.001)


def test_log_ins_when_benched_then_each_kind_is_refused_and_timed() -> None:
    said = _lines_of("login_bench.py", "--tries", "2")
    assert [line[:33].strip() for line in said[:-1]] == [
        "unknown user", "wrong password", "disabled user, right password", "right password, no code",
    ]  # fmt: skip
    assert said[-1].startswith("furthest apart ")
