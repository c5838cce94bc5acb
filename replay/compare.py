"""The same day through the real processes and through replay: signals, orders and fills, line by line."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from bus.clock import iso_utc
from bus.messages import Message, OrderDenied, OrderFilled, OrderPrepared, ServiceName, SignalRaised
from bus.store import read_journal
from config.paths import HomePaths
from replay.figures import money, shares

#: The services whose journals tell of what is compared.
_TELLERS: Final[tuple[ServiceName, ...]] = ("strategy", "risk", "execution")
#: Every field of a line, by kind. The first is its identity; times are on the session's clock.
_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "signal": ("signal_id", "symbol", "direction", "instrument", "price", "expires", "exit_at", "rules", "time"),
    "denial": ("intent_id", "symbol", "side", "rule", "value", "limit", "time"),
    "order": ("client_order_id", "intent_id", "leg", "symbol", "side", "type", "shares", "price", "stop", "time"),
    "fill": ("execution_id", "client_order_id", "symbol", "side", "shares", "price", "fee", "time"),
}
KINDS: Final = tuple(_FIELDS)
#: What is said of a day without a difference.
SAME: Final = "The processes and replay did the same: signals, denials, orders and fills."
Events = Mapping[ServiceName, Sequence[Message]]


@dataclass(frozen=True)
class Line:
    """One signal, denial, order or fill as text. `values` are in the order of its kind's fields."""

    kind: str
    values: tuple[str, ...]

    @property
    def key(self) -> str:
        """Return its identity."""
        return self.values[0]

    def get(self, field: str) -> str:
        """Return one of its values; empty for a field that its kind does not have."""
        return dict(zip(_FIELDS[self.kind], self.values, strict=True)).get(field, "")


@dataclass(frozen=True)
class Comparison:
    """Pairs of lines in the order they happened, of each kind; None where one side has no such line."""

    pairs: dict[str, list[tuple[Line | None, Line | None]]]

    @property
    def is_equal(self) -> bool:
        """Tell whether every line of each side has its equal on the other."""
        return self.first_difference() is None

    def first_difference(self) -> str | None:
        """Explain the first difference, in the order signals, denials, orders, fills; None when there is none."""
        for kind, pairs in self.pairs.items():
            for number, (ours, theirs) in enumerate(pairs, 1):
                if ours != theirs:
                    return f"{kind} {number} differs: {_explained(kind, ours, theirs)}"
        return None

    def count(self, kind: str, side: int) -> int:
        """Return how many lines of a kind a side has; 0 = the processes, 1 = replay."""
        return sum(pair[side] is not None for pair in self.pairs[kind])


@dataclass(frozen=True)
class Verdict:
    """What came of one day: which names it had, what was compared, and what the processes' books say."""

    session_date: str
    symbols: tuple[str, ...]
    comparison: Comparison
    faults: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        """Tell whether both did the same, and broker and ledger of the processes agree."""
        return self.comparison.is_equal and not self.faults

    @property
    def strategies(self) -> str:
        """Return how many signals each strategy raised in the processes: open 3, mid 1."""
        signals = [ours for ours, _ in self.comparison.pairs["signal"] if ours is not None]
        counts = Counter(line.key.split(":")[1] for line in signals)
        return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def compare(processes: Events, replayed: Events) -> Comparison:
    """Compare the events of the processes' journals with those of replay."""
    ours, theirs = lines(processes), lines(replayed)
    return Comparison({kind: list(zip_longest(ours[kind], theirs[kind])) for kind in KINDS})


def journals(paths: HomePaths) -> dict[ServiceName, list[Message]]:
    """Return what the services of a stopped chain have in their journals.

    Raises:
        StoreError: a journal is missing or damaged.
    """
    return {name: read_journal(paths.state / f"{name}.db") for name in _TELLERS}


def lines(events: Events) -> dict[str, list[Line]]:
    """Return the lines of each kind in the order they happened; each execution counts once."""
    found: dict[str, list[Line]] = {kind: [] for kind in KINDS}
    makers: tuple[tuple[ServiceName, Callable[[Message], Line | None]], ...] = (
        ("strategy", _signal),
        ("risk", _denial),
        ("execution", _order_or_fill),
    )
    for service, make in makers:
        made = dict.fromkeys(line for event in events[service] if (line := make(event)) is not None)
        for line in made:
            found[line.kind].append(line)
    return found


def _signal(event: Message) -> Line | None:
    if not isinstance(event, SignalRaised):
        return None
    rules = "; ".join(f"{reason.rule} {reason.value} {reason.threshold}" for reason in event.reasons)
    return Line(
        "signal",
        (event.signal_id, event.symbol, event.direction, event.instrument, money(event.reference_micros),
         iso_utc(event.expires_ns), iso_utc(event.exit_at_ns), rules, iso_utc(event.ts_event)),
    )  # fmt: skip


def _denial(event: Message) -> Line | None:
    if not isinstance(event, OrderDenied):
        return None
    return Line(
        "denial",
        (event.intent_id, event.symbol, event.side, event.rule, event.value, event.limit, iso_utc(event.ts_event)),
    )


def _order_or_fill(event: Message) -> Line | None:
    match event:
        case OrderPrepared():
            return Line(
                "order",
                (event.client_order_id, event.intent_id, event.leg, event.symbol, event.side, event.order_type,
                 shares(event.qty_nanos), money(event.limit_micros), money(event.stop_micros),
                 iso_utc(event.ts_event)),
            )  # fmt: skip
        case OrderFilled():
            return Line(
                "fill",
                (event.execution_id, event.client_order_id, event.symbol, event.side, shares(event.qty_nanos),
                 money(event.price_micros), money(event.commission_micros), iso_utc(event.ts_event)),
            )  # fmt: skip
        case _:
            return None


def _explained(kind: str, ours: Line | None, theirs: Line | None) -> str:
    if ours is None or theirs is None:
        where = "replay" if ours is None else "the processes"
        return f"{' '.join(line.key for line in (ours, theirs) if line is not None)} is in {where} alone"
    fields = [
        f"{field} is {a} in the processes and {b} in replay"
        for field, a, b in zip(_FIELDS[kind], ours.values, theirs.values, strict=True)
        if a != b
    ]
    return f"{ours.key}: {'; '.join(fields)}"


def table(found: Comparison) -> str:
    """Write every pair on a line, and how many there are of each kind."""
    out = [f"{'':<2}{'kind':<8}{'time':<14}{'symbol':<8}{'what':<14}{'shares':>8}{'price':>15}  id"]
    for kind, pairs in found.pairs.items():
        out.extend(_row(kind, ours, theirs) for ours, theirs in pairs)
    out.append(f"\n{'':<10}{'processes':>10}{'replay':>10}")
    out.extend(
        f"{kind + 's':<10}{found.count(kind, 0):>10}{found.count(kind, 1):>10}"
        f"  {'the same' if all(ours == theirs for ours, theirs in pairs) else 'DIFFERENT'}"
        for kind, pairs in found.pairs.items()
    )
    return "\n".join(out)


def days_table(verdicts: Sequence[Verdict]) -> str:
    """Write one line for each day: its names, and how many lines of each kind both sides have."""
    head = f"{'session':<12}{'names':>6}  {'signals by strategy':<26}" + "".join(f"{kind + 's':>9}" for kind in KINDS)
    lines = [f"{head}  equal"]
    for one in verdicts:
        counts = "".join(f"{_both(one.comparison, kind):>9}" for kind in KINDS)
        told = "yes" if one.is_equal else "NO"
        lines.append(f"{one.session_date:<12}{len(one.symbols):>6}  {one.strategies:<26}{counts}  {told}")
    same = sum(one.is_equal for one in verdicts)
    return "\n".join([*lines, f"\n{same} of {len(verdicts)} sessions are equal."])


def _both(found: Comparison, kind: str) -> str:
    ours, theirs = found.count(kind, 0), found.count(kind, 1)
    return str(ours) if ours == theirs else f"{ours}/{theirs}"


def _row(kind: str, ours: Line | None, theirs: Line | None) -> str:
    line = next(side for side in (ours, theirs) if side is not None)
    what = line.get("direction") or line.get("rule") or f"{line.get('side')} {line.get('leg')}".strip()
    price = line.get("type") if line.get("price") == "0.00" else line.get("price")
    mark = "=" if ours == theirs else "!"
    return (
        f"{mark:<2}{kind:<8}{line.get('time')[11:23]:<14}{line.get('symbol'):<7} {what[:13]:<14}"
        f"{line.get('shares'):>8}{price:>15}  {line.key}"
    )


def of_replay(events: Iterable[tuple[ServiceName, Message]]) -> dict[ServiceName, list[Message]]:
    """Return a replayed day's events by service, as `journals` returns those of the processes."""
    found: dict[ServiceName, list[Message]] = {name: [] for name in _TELLERS}
    for name, event in events:
        if name in found:
            found[name].append(event)
    return found
