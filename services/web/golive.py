"""What has been shown on this home before money is behind it: six facts, each looked up at the moment it is asked for.

None is stored and none can be ticked by hand. Read are the services' journals, what the bus says now, the audit log and
the ledger's own check; trade logs are looked at from outside, for logs are for people.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from bus.clock import iso_utc
from bus.messages import BooksCompared, Heartbeat, Message, OrderFilled, SignalRaised
from bus.store import StoreError, read_journal
from config.env_bot import EnvBot
from config.identity import Identity
from config.paths import HomePaths

#: How old execution's last agreement with the broker may be.
RECONCILED_MS_MAX: Final = 60_000
E = TypeVar("E", bound=Message)
STRATEGIES: Final = ("open", "mid", "close")


@dataclass(frozen=True)
class Fact:
    """One line of the list: whether it is shown, what was found and where, and what to do where it is not."""

    key: str
    title: str
    is_shown: bool
    words: str
    todo: str
    endpoint: str


@dataclass(frozen=True)
class Evidence:
    """Where the facts are looked up.

    Args:
        paths: the home.
        env: the settings that the chain runs with.
        identity: whose output folder is looked at.
        beat: execution's newest heartbeat, None when it was not heard lately.
        verify: the ledger's own check of every row: whether it is sound, None where nobody could look; its words.
        tested_at: when the mail server or webhook last took a test after it was entered, by which; "" = never.
        has_webhook: whether one is kept.
    """

    paths: HomePaths
    env: EnvBot
    identity: Identity
    beat: Heartbeat | None
    verify: Callable[[], tuple[bool | None, str]]
    tested_at: Sequence[str]
    has_webhook: bool


def facts(evidence: Evidence) -> tuple[Fact, ...]:
    """Return the six facts, in the order in which a new home comes to them."""
    fills = _journal(evidence.paths, "execution", OrderFilled)
    return (
        _broker(evidence),
        _strategies(evidence, _journal(evidence.paths, "strategy", SignalRaised)),
        _logs(evidence, fills),
        _ledger(evidence, fills),
        _dry_run(fills, _journal(evidence.paths, "ledger", BooksCompared)),
        _alerts(evidence),
    )


def _journal(paths: HomePaths, service: str, kind: type[E]) -> list[E]:
    try:
        found: Iterable[Message] = read_journal(paths.state / f"{service}.db", (kind,))
    except StoreError:
        # The service has never run here: then nothing of it is shown either.
        return []
    return [event for event in found if isinstance(event, kind)]


def _broker(evidence: Evidence) -> Fact:
    beat, name = evidence.beat, evidence.env.word("BROKER_NAME")
    if beat is None:
        words, is_up = "Execution is not heard.", False
    elif not 0 <= beat.reconciled_ms <= RECONCILED_MS_MAX:
        words, is_up = f"{name}: bot and broker do not agree at this moment. {beat.remark or beat.state}", False
    else:
        is_up = beat.state == "ready"
        words = f"{name}: bot and broker agreed {beat.reconciled_ms / 1000:.0f} s ago. Execution is {beat.state}."
    return Fact(
        key="broker",
        title="The broker is up",
        is_shown=is_up,
        words=words,
        todo="Start the chain; the credentials have a test, and execution's log says what the broker answers.",
        endpoint="dashboard.show",
    )


def _strategies(evidence: Evidence, signals: Sequence[SignalRaised]) -> Fact:
    enabled = [name for name in STRATEGIES if evidence.env.flag(f"STRAT_{name.upper()}_ENABLED")]
    counts = {name: sum(signal.strategy == name for signal in signals) for name in enabled}
    silent = [name for name, count in counts.items() if not count]
    said = ", ".join(f"{name} {count}" for name, count in counts.items())
    return Fact(
        key="strategies",
        title="Strategies triggered",
        is_shown=bool(enabled) and not silent,
        words=f"Signals in the journal: {said}." if enabled else "No strategy is enabled.",
        todo=f"Not one signal yet of {', '.join(silent) or 'any'}: let sessions run, generated ones for example.",
        endpoint="trades.show",
    )


def _logs(evidence: Evidence, fills: Sequence[OrderFilled]) -> Fact:
    folder = evidence.paths.output / evidence.identity.bot_identity / "logs"
    traded = [name for name in STRATEGIES if any(fill.strategy == name for fill in fills)]
    missing = [f"{name}.log" for name in traded if not _has_text(folder / f"{name}.log")]
    written = ", ".join(f"{name}.log" for name in traded if f"{name}.log" not in missing)
    return Fact(
        key="logs",
        title="Trades are logged",
        is_shown=bool(traded) and not missing,
        words=f"Written: {written or 'none'}; {len(fills)} executions are in the journal.",
        todo=f"Not written: {', '.join(missing)}. See the ledger's log." if missing else "There was no trade yet.",
        endpoint="logs.show",
    )


def _has_text(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _ledger(evidence: Evidence, fills: Sequence[OrderFilled]) -> Fact:
    is_sound, words = evidence.verify()
    return Fact(
        key="ledger",
        title="Ledger writes are verified",
        is_shown=bool(is_sound and fills),
        words=words if fills or not is_sound else f"{words} There was no trade to book yet.",
        todo="Keep the file as it is; docs/ledger.md, Restore by hand."
        if is_sound is False
        else "Trade a session first.",
        endpoint="journal.show",
    )


def _dry_run(fills: Sequence[OrderFilled], compared: Sequence[BooksCompared]) -> Fact:
    """Find the newest session that was traded, wholly closed, and whose books agreed with the broker after it."""
    days = sorted({fill.session_date for fill in fills}, reverse=True)
    whole = [day for day in days if _is_closed([fill for fill in fills if fill.session_date == day])]
    agreed = {day: _agreed_after(max(f.ts_event for f in fills if f.session_date == day), compared) for day in whole}
    day = next((day for day in whole if agreed[day]), "")
    why = (
        "No session was traded yet."
        if not days
        else f"Positions of {days[0]} are open, or the books were not found equal to the broker's after it."
    )
    count = sum(fill.session_date == day for fill in fills)
    return Fact(
        key="dry_run",
        title="A dry run was done",
        is_shown=bool(day),
        words=f"{day}: {count} executions, everything sold, books and broker agreed {agreed[day]}." if day else why,
        todo="Arm the chain on a simulator or a paper account and let a session end.",
        endpoint="reconciliation.show",
    )


def _is_closed(fills: Sequence[OrderFilled]) -> bool:
    held: dict[str, int] = {}
    for fill in fills:
        held[fill.symbol] = held.get(fill.symbol, 0) + (fill.qty_nanos if fill.side == "BUY" else -fill.qty_nanos)
    return bool(fills) and not any(held.values())


def _agreed_after(at_ns: int, compared: Sequence[BooksCompared]) -> str:
    found = [one for one in compared if one.ts_event >= at_ns and not one.detail]
    return iso_utc(found[-1].ts_event) if found else ""


def _alerts(evidence: Evidence) -> Fact:
    ways = [
        *(["mail"] if evidence.env.word("SMTP_HOST") else []),
        *(["webhook"] if evidence.has_webhook else []),
    ]
    if not ways:
        words = "Neither a mail server nor a webhook is set: nobody is told of a halt."
    elif not evidence.tested_at:
        words = f"Set: {' and '.join(ways)}. No test was taken since it was entered."
    else:
        words = f"A test was taken by {'; '.join(evidence.tested_at)}."
    return Fact(
        key="alerts",
        title="Alerts are received",
        is_shown=bool(ways) and bool(evidence.tested_at),
        words=words,
        todo="Set SMTP_HOST on Settings or a webhook on Credentials, press its test there, and see that it arrives.",
        endpoint="alerts.show",
    )
