"""What is done to the chain: kills, kills at a named point, pauses, halts; drawn from one seed."""

import json
import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from arena import CRITICAL, SERVICES, Arena

from bus.clock import iso_utc, utc_ns

Kind = Literal["kill", "point", "pause", "halt"]
#: Reached whenever anything reaches execution: an arming is enough.
BUSY_POINTS = ("commit", "effect", "ack", "receive", "transaction")
#: Reached when the broker is asked for something, or a fill comes back.
BROKER_POINTS = ("submit", "fills", "send")
#: Reached at a halt that sells.
FLATTEN_POINTS = ("cancel", "drain")
SIDES = ("before", "after")
HALTS = ("the operator's button", "the kill file", "a record written by hand", "a service's own")
ALL_AT_ONCE = "all"
_PATIENCE_S = 4.0
_POINT_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Trial:
    """One thing that is done: to which service, at which point or how, and how long after the chain was active."""

    kind: Kind
    target: str
    wait_s: float
    how: str = ""
    pause_s: float = 0.0

    @property
    def services(self) -> tuple[str, ...]:
        """Return who dies in it."""
        if self.kind == "point":
            return ("execution",)
        if self.kind != "kill":
            return ()
        return SERVICES if self.target == ALL_AT_ONCE else (self.target,)

    def __str__(self) -> str:
        what = {"kill": "kill -9", "point": "kill -9 at", "pause": f"freeze {self.pause_s:.2f} s", "halt": "halt by"}
        return " ".join(part for part in (what[self.kind], self.target, self.how) if part)


def draw(rng: random.Random, *, flattens: bool) -> list[Trial]:
    """Return the trials of one session in their order."""

    def wait() -> float:
        return rng.uniform(0.1, 1.0)

    broker = rng.sample(BROKER_POINTS, 2 if flattens else 3)
    points = [*broker, *(rng.sample(FLATTEN_POINTS, 1) if flattens else ()), rng.choice(BUSY_POINTS)]
    early = [Trial("point", f"execution.{name}:{rng.choice(SIDES)}", wait()) for name in points]
    kills = [*SERVICES, *(s for s in SERVICES if s != "execution"), ALL_AT_ONCE]
    rest = [Trial("kill", service, wait()) for service in rng.sample(kills, 12)]
    rest += [Trial("pause", s, wait(), pause_s=rng.uniform(0.6, 3.0)) for s in rng.sample(SERVICES, 6)]
    rest += [Trial("halt", "", wait(), how=how) for how in HALTS]
    rest += [Trial("halt", "", wait(), how=how) for how in rng.sample(HALTS, 2)]
    rng.shuffle(rest)
    # Points need orders, which are most frequent in the first half of the session: every other trial there is one.
    places = [(1.5 * number, trial) for number, trial in enumerate(early)]
    places += [(float(number + 1), trial) for number, trial in enumerate(rest)]
    return [trial for _, trial in sorted(places, key=lambda place: place[0])]


def play(trial: Trial, arena: Arena, markers: Path) -> None:
    """Do it, and wait for what must follow; the way back is the arena's."""
    match trial.kind:
        case "kill":
            arena.kill(*trial.services)
            if trial.target in CRITICAL:
                arena.until_halted(str(trial))
            elif trial.target == ALL_AT_ONCE:
                arena.until_unarmed(str(trial))
        case "point":
            _kill_at_point(trial, arena, markers)
        case "pause":
            _pause(arena.pid(trial.target), trial.pause_s)
        case "halt":
            _halt(trial.how, arena)


def marker(markers: Path, point: str) -> Path:
    """Return the file that says that a point has killed, and shall not do so again."""
    return markers / point.replace(":", "-")


def _kill_at_point(trial: Trial, arena: Arena, markers: Path) -> None:
    """Make the point deadly, and wait until execution dies there; where nothing happens, a halt makes it."""
    mark, before = marker(markers, trial.target), arena.pid("execution")
    mark.unlink()
    end, nudge = time.monotonic() + _POINT_TIMEOUT_S, time.monotonic() + _PATIENCE_S
    is_nudged = False
    while not mark.exists() and time.monotonic() < end:
        if time.monotonic() > nudge:
            is_nudged = True
            _halt_by_button(arena)
            arena.until_halted("the operator's button")
            if not mark.exists():
                arena.recover("nothing happened at the point")
            nudge = time.monotonic() + _PATIENCE_S
        time.sleep(0.05)
    arena.until(mark.exists, f"{trial.target} is not reached", 0)
    arena.note_death("execution")
    arena.until_restarted({"execution": before})
    if not is_nudged:
        # A chain that was halted already when it died needs no further halt.
        arena.until_halted(str(trial))


def _pause(pid: int, seconds: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)


def _halt(how: str, arena: Arena) -> None:
    match how:
        case "the operator's button":
            _halt_by_button(arena)
        case "the kill file":
            _halt_by_file(arena)
            return
        case "a record written by hand":
            _halt_by_hand(arena)
        case _:
            _halt_by_service(arena)
            return
    arena.until_shown_halted(how)


def _halt_by_button(arena: Arena) -> None:
    arena.stage.browser.fill_in("/control/kill", {"word": "KILL", "reason": "a trial"})


def _halt_by_file(arena: Arena) -> None:
    file = arena.stage.chain.paths.control / "kill.txt"
    counter = arena.control.read().halt_counter
    file.touch()
    arena.until_shown_halted("the kill file")
    arena.until(lambda: arena.control.read().halt_counter > counter, "the kill file leaves no record")
    file.unlink()
    arena.until_halted("the kill file was removed")


def _halt_by_hand(arena: Arena) -> None:
    number = arena.control.read().halt_counter + 1
    record = {
        "counter": number,
        "source": "a shell",
        "rule": "by_hand",
        "detail": "written with an editor",
        "raised_at_utc": iso_utc(utc_ns()),
    }
    with (arena.stage.chain.paths.halts / f"{number:06d}.json").open("x", encoding="utf-8") as file:
        json.dump(record, file)


def _halt_by_service(arena: Arena) -> None:
    """Take risk's own socket away for a moment: it sees that and halts the chain by itself."""
    socket = arena.stage.chain.paths.run / "risk.pub.sock"
    away = socket.with_suffix(".away")
    socket.rename(away)
    try:
        arena.until_shown_halted("a service lost its socket")
    finally:
        away.rename(socket)
    newest = arena.control.read().halt
    if newest is None or newest.source != "risk":
        arena.until(lambda: _has_halted(arena, "risk"), "risk did not halt by itself", 5)


def _has_halted(arena: Arena, source: str) -> bool:
    records = [json.loads(path.read_bytes()) for path in arena.stage.chain.paths.halts.glob("*.json")]
    return any(record["source"] == source for record in records)
