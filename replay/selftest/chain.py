"""The routines that try the chain itself: its start, a halt in the session, and a session from signal to ledger."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from bus.control import ControlFolder
from bus.messages import (
    CandidatesRanked,
    ChainArmed,
    EntryPosted,
    HaltRaised,
    Message,
    OrderFilled,
    OrderPrepared,
    SignalRaised,
    SubmitOrder,
)
from bus.processes import free_port
from bus.store import read_journal
from config.paths import HomePaths
from replay.books import compare_books
from replay.selftest.ground import TEST_IDENTITY, Ground, RoutineFailedError, expect
from replay.selftest.mail_sink import MailSink
from replay.stage import Stage

_POLL_S: Final = 0.1
_FIRST_FILL_S: Final = 60
_HALT_S: Final = 10
_ARM_S: Final = 60
_SESSION_S: Final = 240
_REASON: Final = "TEST_MODE"


def bus_up(ground: Ground) -> str:
    """Start every service on a fresh home, configure it by its page, and wait until all hear each other."""
    ground.sink = MailSink()
    ground.say(f"a mail server of this run listens on {ground.sink.host}:{ground.sink.port}")
    ground.stage = Stage(ground.paths, free_port(), dies_with_parent=True)
    ground.stage.configure(ground.settings(), TEST_IDENTITY)
    ground.say(f"the chain is configured on {ground.paths.root}, its page is {ground.stage.chain.url}")
    ground.stage.wait_until_ready()
    lines = ground.stage.chain_state().get("services", [])
    for line in lines:
        ground.say(f"{line['service']}: {line['status']}, {line['outbox_depth']} messages wait")
    expect(service_faults(lines))
    return f"{len(lines) + 1} processes are up and hear each other; each has tried to break into its own sockets."


def service_faults(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is wrong with the services that a chain's status lists."""
    if not lines:
        return ["the watchdog tells of no service"]
    return [f"{line['service']} is {line['status']}: {line['detail']}" for line in lines if line["status"] != "up"]


def halt_rearm(ground: Ground) -> str:
    """Halt the chain in its session by the kill switch, see it obey, and arm it again."""
    stage = ground.chain
    stage.arm(_REASON)
    _wait_for(lambda: bool(stage.browser.snapshot().get("fills")), _FIRST_FILL_S, "nothing is bought in the session")
    begin = time.monotonic()
    stage.browser.fill_in("/control/kill", {"word": "KILL", "reason": _REASON})
    _wait_for(lambda: stage.chain_state().get("state") == "HALTED", _HALT_S, "the chain does not halt")
    halted_ms = (time.monotonic() - begin) * 1000
    _wait_for(lambda: "acknowledged by all" in stage.chain_state()["detail"], _HALT_S, "not every service has halted")
    ground.say(f"halted after {halted_ms:.0f} ms: {stage.chain_state()['detail']}")
    control = ControlFolder(ground.paths)
    counter = control.read().halt_counter
    if counter not in [record.counter for record in control.unanswered()]:
        raise RoutineFailedError("the halt is not on disk")
    _wait_for(lambda: not working_entries(stage.browser.snapshot()), _HALT_S, "entry orders still work after the halt")
    stage.arm(_REASON)
    _wait_for(lambda: stage.chain_state().get("state") == "ACTIVE", _ARM_S, "the chain does not become active again")
    ground.say(f"armed again: {stage.chain_state()['detail']}")
    expect(halt_faults(read_journal(ground.paths.state / "execution.db"), counter))
    return (
        f"Halted by all services after {halted_ms:.0f} ms, no entry order while it stood, armed again by an operator."
    )


def working_entries(snapshot: Mapping[str, Any]) -> list[str]:
    """Return the entry orders that rest at the broker, as a dashboard shows them."""
    orders = (snapshot.get("orders") or {}).get("orders", [])
    return [one["symbol"] for one in orders if one["leg"] == "entry" and one["state"] in ("SENDING", "WORKING")]


def halt_faults(events: Iterable[Message], counter: int) -> list[str]:
    """Return what execution did against a halt: entries while it stood, or that it never heard of it."""
    found: list[str] = []
    is_halted = has_heard = False
    for event in events:
        if isinstance(event, HaltRaised):
            is_halted, has_heard = True, has_heard or event.counter == counter
        elif isinstance(event, ChainArmed):
            is_halted = False
        elif is_halted and isinstance(event, OrderPrepared) and event.leg == "entry":
            found.append(f"an entry order for {event.symbol} was prepared while halt {counter} stood")
    if not has_heard:
        found.append(f"execution has not heard of halt {counter}")
    return found


def signal_to_ledger(ground: Ground) -> str:
    """Play the session to its end, and follow each purchase from its signal to its entry in the books."""
    stage = ground.chain
    if stage.chain_state().get("state") != "ACTIVE":
        stage.arm(_REASON)
    stage.wait_for_end(_SESSION_S)
    faults, counts = session_faults(ground.paths)
    ground.say(counts)
    expect(faults)
    ground.command("-m", "services.ledger", "verify")
    ground.command("-m", "services.ledger", "trial-balance")
    return f"{counts}. Broker and ledger agree to the last digit."


def session_faults(paths: HomePaths) -> tuple[list[str], str]:
    """Return what does not hold of a session that is over, and in words what was found in its journals."""
    journals = {name: list(read_journal(paths.state / f"{name}.db")) for name in _JOURNALS}
    fills = [one for one in journals["execution"] if isinstance(one, OrderFilled)]
    entries = [one for one in fills if one.leg == "entry"]
    signals = {one.signal_id for one in journals["strategy"] if isinstance(one, SignalRaised)}
    approved = {one.intent_id for one in journals["risk"] if isinstance(one, SubmitOrder)}
    booked = {one.source_event_id for one in journals["ledger"] if isinstance(one, EntryPosted)}
    lists = sum(isinstance(one, CandidatesRanked) for one in journals["screener"])
    faults = [
        *([] if lists else ["the screener ranked no candidates"]),
        *([] if entries else ["nothing was bought: no signal became an order that was filled"]),
        *([] if len(fills) > len(entries) else ["nothing was sold"]),
        *(f"{one.symbol} was bought without a signal" for one in entries if one.intent_id not in signals),
        *(f"{one.symbol} was bought without risk's approval" for one in entries if one.intent_id not in approved),
        *(
            f"the fill {one.execution_id} of {one.symbol} is in no entry of the books"
            for one in fills
            if f"{one.broker}:{one.execution_id}:FILL" not in booked
        ),
        *compare_books(paths, TEST_IDENTITY),
    ]
    words = f"{len(signals)} signals, {len(approved)} orders approved, {len(fills)} fills, {len(booked)} entries booked"
    return faults, words


_JOURNALS: Final = ("screener", "strategy", "risk", "execution", "ledger")


def _wait_for(holds: Callable[[], bool], timeout_s: float, what: str) -> None:
    end = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > end:
            raise RoutineFailedError(f"after {timeout_s:g} s {what}")
        time.sleep(_POLL_S)
