"""The demonstration: a fresh home, the real processes, one session faster than real time, and what came of it.

`make demo` runs it; it needs no account and no key.
"""

import argparse
import http.client
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

from bus.assembly import CannotStartError
from bus.processes import ROOT, ChainError, check_port, free_port, is_in_use, stop_on_signals
from bus.store import StoreError, read_journal
from config.env_bot import SettingsError
from config.identity import Identity
from config.paths import HOME_VARIABLE, HomeError, HomePaths
from replay import demo_night
from replay.books import BrokerBooks, compare_books, paper_books
from replay.browser import PageError
from replay.day_record import last_session, read_day
from replay.day_report import write_report
from replay.report import refusals_table, trades, trades_table
from replay.session import DEMO_IDENTITY, OpenedSession, SessionChoice, open_session
from replay.simulated import Disturbance, SimulatedChoice, Simulator, SimulatorError
from replay.stage import Stage, StageError

MARKER: Final = "DEMO_HOME"
DEFAULT_DEMO_HOME: Final = "home-demo"
_SHOWN: Final = {
    "CandidatesRanked",
    "SignalRaised",
    "OrderDenied",
    "OrderFilled",
    "KillSwitchTripped",
    "HaltRaised",
    "EntrySuspended",
    "OrderRejected",
}
_BAR_WIDTH: Final = 30
_SESSION_TIMEOUT_S: Final = 8 * 3600


class ProgressBar:
    """One line at the bottom of a terminal; on anything else, a line for each tenth of the session."""

    def __init__(self, out: TextIO, start_ms: int, end_ms: int) -> None:
        self._out = out
        self._start = start_ms
        self._span = max(1, end_ms - start_ms)
        self._is_terminal = out.isatty()
        self._tenth = 0
        self._line = ""
        self.share = 0.0

    def move(self, now_ms: int) -> None:
        """Show how much of the session has been played."""
        share = self.share = min(1.0, max(0.0, (now_ms - self._start) / self._span))
        clock = time.strftime("%H:%M", time.gmtime(now_ms / 1000))
        filled = int(share * _BAR_WIDTH)
        self._line = f"[{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {share:4.0%}  {clock} UTC"
        if self._is_terminal:
            self._out.write(f"\r{self._line}")
        elif int(share * 10) > self._tenth:
            self._tenth = int(share * 10)
            self._out.write(f"{self._line}\n")
        self._out.flush()

    def say(self, text: str) -> None:
        """Write a line above the bar."""
        if self._is_terminal:
            self._out.write(f"\r{' ' * len(self._line)}\r{text}\n{self._line}")
        else:
            self._out.write(f"{text}\n")
        self._out.flush()

    def end(self) -> None:
        """Leave the bar's line."""
        self._out.write("\n" if self._is_terminal else "")


def prepare_home(text: str) -> HomePaths:
    """Return an empty home for a demonstration; only a home that a demonstration made is ever removed.

    Raises:
        HomeError: the folder holds something else.
    """
    root = Path(text or DEFAULT_DEMO_HOME).absolute()
    if root.exists() and not root.is_dir():
        raise HomeError(f"{root} is a file: nothing was touched. Give HOME_DIR an empty or new folder.")
    if root.exists() and any(root.iterdir()):
        if not (root / MARKER).is_file():
            raise HomeError(
                f"{root} is not empty and was not made by a demonstration: nothing was touched. "
                "Give HOME_DIR an empty or new folder."
            )
        if is_in_use(HomePaths(root)):
            raise HomeError(f"A demonstration still runs on {root}: stop it first, or give HOME_DIR another folder.")
        shutil.rmtree(root)
    paths = HomePaths(root)
    paths.make()
    (root / MARKER).write_text("Made by a demonstration; the next one on this folder removes it.\n", encoding="utf-8")
    return paths


def watch(stage: Stage, session: OpenedSession, disturbance: Disturbance | None = None) -> None:
    """Show the session while it is played, from the same stream that the dashboard uses; and disturb it."""
    bar = ProgressBar(sys.stdout, session.plan.open_ns // 1_000_000, session.plan.close_ns // 1_000_000)
    end = time.monotonic() + _SESSION_TIMEOUT_S
    is_over = False
    while not is_over:
        # The stream ends when this reader was too slow for the server; a browser opens it again, and so does this.
        for kind, value in stage.browser.stream():
            if kind == "event" and value["kind"] in _SHOWN:
                bar.say(_event_text(value))
            elif kind == "chain":
                bar.move(max(value["ts_event_ms"], session.plan.open_ns // 1_000_000))
                if disturbance is not None:
                    disturbance.look(bar.share, bar.say)
                is_over = value["ts_event_ms"] >= session.plan.close_ns // 1_000_000
            if is_over:
                break
            if time.monotonic() > end:
                raise StageError("The session did not end in 8 hours.")
    bar.end()
    stage.wait_for_end(60)


def _event_text(line: dict[str, Any]) -> str:
    clock = time.strftime("%H:%M:%S", time.gmtime(line["ts_ms"] / 1000)) if line["ts_ms"] else "--:--:--"
    return f"  {clock}  {line['text']}"


def print_report(paths: HomePaths, identity: Identity, broker: BrokerBooks) -> int:
    """Print trades, refusals, trial balance and places; return 0 when the books agree."""
    execution = read_journal(paths.state / "execution.db")
    others = [event for name in ("strategy", "risk") for event in read_journal(paths.state / f"{name}.db")]
    print(f"\nTrades (UTC)\n{trades_table(trades(execution))}")
    print(f"\nDenied and suppressed\n{refusals_table(sorted(others, key=lambda event: event.ts_event))}")
    print("\nTrial balance", flush=True)
    balance = subprocess.run(
        [sys.executable, "-m", "services.ledger", "trial-balance"],
        env={HOME_VARIABLE: str(paths.root)},
        cwd=ROOT,
        check=False,
    )
    faults = compare_books(paths, identity, broker)
    counted = f"{len(broker.execution_ids)} executions, cash and every position agree."
    print(f"\nBroker against ledger: {'; '.join(faults) or counted}")
    ledger = paths.entities / identity.entity_folder / identity.ledger_file
    print(f"\nLedger      {ledger}")
    print(f"Logs        {paths.output / identity.bot_identity / 'logs'} and {paths.logs}")
    return 1 if faults or balance.returncode else 0


def run(choice: SessionChoice, home: str, port: int) -> int:
    """Play the demonstration on the embedded paper broker; return the exit code.

    Raises:
        SettingsError, CannotStartError, HomeError, ChainError, StageError: with what is wrong and what to do.
    """
    with _played(choice.settings(), DEMO_IDENTITY, home, port) as (stage, session):
        watch(stage, session)
    return _reported(stage, DEMO_IDENTITY, paper_books(stage.chain.paths))


def run_night(choice: SessionChoice, home: str, port: int) -> int:
    """Play a night and a rebalance of the long-term holdings; return the exit code.

    Raises:
        SettingsError, CannotStartError, HomeError, ChainError, StageError: with what is wrong and what to do.
    """
    settings = demo_night.settings_of(choice)
    open_session(settings, HomePaths(Path(home or DEFAULT_DEMO_HOME).absolute()))
    port = port or free_port()
    check_port(port)
    stage = demo_night.NightStage(prepare_home(home), port, settings)
    print(f"Home        {stage.paths.root}", flush=True)
    try:
        return demo_night.play(stage, lambda line: print(line, flush=True))
    finally:
        stage.stage.stop()


def run_simulated(choice: SimulatedChoice, home: str, port: int) -> int:
    """Play the demonstration against a simulated broker, with broken lines and a killed service; return the exit code.

    Raises:
        SettingsError, CannotStartError, HomeError, ChainError, StageError, SimulatorError: what is wrong.
    """
    simulator = Simulator(choice)
    try:
        with _played(simulator.settings(), choice.identity, home, port) as (stage, session):
            watch(stage, session, Disturbance(stage, simulator))
        books = simulator.books()
    finally:
        simulator.close()
    return _reported(stage, choice.identity, books)


@contextmanager
def _played(
    settings: dict[str, str], identity: Identity, home: str, port: int
) -> Iterator[tuple[Stage, OpenedSession]]:
    """Bring a chain on a fresh home to the start of its session, and stop it in the end."""
    session = open_session(settings, HomePaths(Path(home or DEFAULT_DEMO_HOME).absolute()))
    port = port or free_port()
    check_port(port)
    paths = prepare_home(home)
    stage = Stage(paths, port)
    print(f"{session.source}\nHome        {paths.root}")
    try:
        stage.configure(settings, identity)
        print(f"Page        {stage.chain.url} (user admin, password {stage.password}) while this runs")
        stage.arm("demonstration")
        yield stage, session
    finally:
        stage.stop()


def _reported(stage: Stage, identity: Identity, broker: BrokerBooks) -> int:
    paths = stage.chain.paths
    code = print_report(paths, identity, broker)
    day = read_day(paths.state, last_session(paths.state))
    faults = compare_books(paths, identity, broker)
    print(f"Summary     {write_report(day, identity, paths.output / identity.bot_identity, faults)[-1]}")
    print(f"Page        make run HOME_DIR={paths.root}  (user admin, password {stage.password})")
    return code


def main(arguments: list[str]) -> int:
    """Read the command line, run, and turn every expected failure into one message and exit code 2."""
    parser = argparse.ArgumentParser(prog="make demo", description="Play one session through the real processes.")
    for name in ("data", "date", "symbols", "seed", "speed", "home"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--night", action="store_true", help="a night and a rebalance of the long-term holdings")
    parser.add_argument("--broker", choices=("paper", "alpaca-sim", "ibkr-sim"), default="paper")
    options = parser.parse_args(arguments)
    stop_on_signals()
    data = str(Path(options.data).absolute()) if options.data else ""
    choice = SessionChoice(data, options.date, options.symbols, options.seed, options.speed)
    try:
        if options.night:
            return run_night(choice, options.home, options.port)
        if options.broker == "paper":
            return run(choice, options.home, options.port)
        simulated = SimulatedChoice(options.broker.removesuffix("-sim"), choice)
        return run_simulated(simulated, options.home, options.port)
    except (SettingsError, CannotStartError, HomeError, ChainError, StageError, StoreError, SimulatorError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (PageError, OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"The web UI does not answer any more ({error}); every process was stopped.\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped; every process has ended.\n")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
