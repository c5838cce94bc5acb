"""The judges. They read the broker's books and log, the ledger's file, the control folder, and what risk approved.

Nothing here asks the bot what it believes. Each checker returns one sentence for each promise that was broken, with
its own name in front.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

import msgspec
from sim.broker import BrokerHouse, HouseOrder, Post
from sim.chain import Granted
from sim.drains import LEASE_NS, Cause, Drained, drained, lapses
from sim.host import MS, SECOND, Span
from sim.market import FLATTEN_NS, NIGHT_CLOSE_NS, OPEN_NS, TTL_NS
from sim.night_books import NightBooks, night_faults, read_night
from sim.operator_actor import Stopped
from sim.services_under_test import IDENTITY

from bus.halt import HaltRecord
from bus.messages import Leg, SubmitOrder
from bus.store import read_journal
from config.paths import HomePaths
from services.execution.orders import client_order_id
from services.screener.steps import MINUTE_NS

HALT_TO_POST_NS: Final = SECOND
_ATTEMPTS_MAX: Final = 40
_CANCELS_OWED: Final = 5
_LEGS: Final[tuple[Leg, ...]] = ("entry", "stop", "exit")
#: Sent once, for no more than was approved, and only through the whole gate.
_OPENING: Final = frozenset({"entry", "fund"})
#: Rules by which the bot halts itself when it finds its own books contradicted. This broker never contradicts itself.
_OWN_FAULTS: Final = frozenset(
    {"broker_anomaly", "critical_error", "poison_message", "forbidden_message", "ledger_suspended", "refused_stream"}
    | {"regressed_producer", "lost_history", "daily_loss_limit"}
)


@dataclass
class Books:
    """What is on disk at the end."""

    #: (source event id, cash in micros, units in nanos by symbol) of each entry.
    entries: list[tuple[str, int, str]]
    unbalanced: list[str]
    cash_micros: int
    halts: list[HaltRecord]
    approved: list[SubmitOrder]
    night: NightBooks | None = None


@dataclass
class Case:
    """One run as the judges see it; times are boot nanoseconds."""

    house: BrokerHouse
    books: Books
    granted: list[Granted]
    armed: list[tuple[int, int]]
    stops: list[Stopped]
    #: The boot time of each halt, by its number.
    raised_at: Mapping[int, int]
    ended_ns: int
    #: When execution was dead or frozen.
    away: list[Span]
    errors: list[str]
    unrest: str
    #: Rules of halts that this fault may end in, because only a person can mend it.
    ends_in: frozenset[str] = frozenset()
    must_end_halted: bool = False
    #: The chain's state as the watchdog said it last.
    chain_state: str = ""
    #: What risk had approved and does not know any more.
    forgotten: list[SubmitOrder] = field(default_factory=list)
    halts_at: list[int] = field(default_factory=list)

    @property
    def fund_orders(self) -> frozenset[str]:
        """Return the client's ids of the orders of the holdings."""
        return frozenset(
            client_order_id(IDENTITY.bot_identity, order.intent_id, "fund", attempt=1)
            for order in (*self.books.approved, *self.forgotten)
            if order.strategy == "holdings"
        )

    def stands_halted(self) -> bool:
        """Tell whether a halt that this fault may end in was raised, and nothing can be traded since.

        Who arms over it without mending the stream does not get an active chain.
        """
        answered = max((counter for _, counter in self.armed), default=0)
        counters = [halt.counter for halt in self.books.halts if halt.rule in self.ends_in]
        return bool(counters) and (max(counters) > answered or self.chain_state not in ("ACTIVE", "REDUCING"))


def read_books(paths: HomePaths, *, has_night: bool) -> Books:
    """Read the ledger, the halts and risk's journal, without any of the bot's own readers of the ledger."""
    ledger = paths.entities / IDENTITY.entity_folder / IDENTITY.ledger_file
    with closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as db:
        entries = [
            (str(source), int(cash or 0), str(units or ""))
            for source, cash, units in db.execute(
                "SELECT t.source_event_id,"
                " (SELECT sum(amount) FROM posting p WHERE p.tx_seq = t.seq"
                # A tax that was paid out (5120) has not left this broker.
                " AND p.account_code IN ('1010', '1030', '1040', '5120')),"
                " (SELECT p.commodity || ' ' || p.amount FROM posting p WHERE p.tx_seq = t.seq"
                " AND p.account_code = '9010')"
                " FROM tx t ORDER BY t.seq"
            )
        ]
        unbalanced = [
            f"entry {seq} has {total} {commodity} too many"
            for seq, commodity, total in db.execute(
                "SELECT tx_seq, commodity, sum(amount) FROM posting GROUP BY tx_seq, commodity HAVING sum(amount) <> 0"
            )
        ]
        stray = db.execute("SELECT count(*) FROM posting WHERE tx_seq NOT IN (SELECT seq FROM tx)").fetchone()[0]
        if stray:
            unbalanced.append(f"{stray} postings belong to no entry")
    halts = [msgspec.json.decode(path.read_bytes(), type=HaltRecord) for path in sorted(paths.halts.glob("*.json"))]
    journal = read_journal(paths.state / "risk.db")
    return Books(
        entries=entries,
        unbalanced=unbalanced,
        cash_micros=sum(cash for _, cash, _ in entries),
        halts=halts,
        approved=[event for event in journal if isinstance(event, SubmitOrder)],
        night=read_night(paths, ledger) if has_night else None,
    )


def check(case: Case) -> list[str]:
    """Return everything that was broken."""
    case.halts_at = [case.raised_at[halt.counter] for halt in case.books.halts]
    return [f"{judge.__name__.removeprefix('_')}: {words}" for judge in _JUDGES for words in judge(case)]


# --- orders -----


def _one_order_per_leg(case: Case) -> Iterator[str]:
    """Each order is one attempt of one leg of an approved intent, is sent once, and buys no more than approved."""
    known: dict[str, tuple[SubmitOrder, str]] = {}
    for order in (*case.books.approved, *case.forgotten):
        for leg in ("fund",) if order.strategy == "holdings" else _LEGS:
            for attempt in range(1, 2 if leg in _OPENING else _ATTEMPTS_MAX):
                known[client_order_id(IDENTITY.bot_identity, order.intent_id, leg, attempt=attempt)] = (order, leg)
    bought: Counter[str] = Counter()
    for house_order in case.house.orders.values():
        if house_order.key not in known:
            asked = house_order.request
            yield f"{asked.side} {asked.symbol} {house_order.key} belongs to no approved intent"
            continue
        order, leg = known[house_order.key]
        side = order.side if leg in _OPENING else "SELL"
        if house_order.request.side != side or house_order.request.symbol != order.symbol:
            yield f"{house_order.key} is no {leg} of {order.intent_id}"
        if leg in _OPENING:
            bought[order.intent_id] += house_order.request.qty_nanos
            if bought[order.intent_id] > order.qty_nanos:
                yield f"{order.intent_id} ordered {bought[order.intent_id]}, approved {order.qty_nanos}"
    sent = Counter(post.client_order_id for post in case.house.posts)
    yield from (f"{key} was sent {count} times" for key, count in sent.items() if count > 1)


def _asks_only_for_what_is_held(case: Case) -> Iterator[str]:
    yield from case.house.wrong_asks


# --- books -----


def _ledger_is_the_broker(case: Case) -> Iterator[str]:
    """Every execution is booked once, with its own quantity and price; nothing else is."""
    booked = Counter(source for source, _, _ in case.books.entries if source.endswith(":FILL"))
    yield from (f"{source} is booked {count} times" for source, count in booked.items() if count > 1)
    wanted = {f"PAPER:{fill.execution_id}:FILL": fill for fill in case.house.fills}
    if not case.stands_halted():
        # In a chain that stands halted over a stopped stream the rest waits in an outbox.
        yield from (f"{source} is not in the ledger" for source in wanted if source not in booked)
    yield from (f"{source} is not at the broker" for source in booked if source not in wanted)
    for source, cash, units in case.books.entries:
        fill = wanted.get(source)
        if fill is None:
            continue
        qty = fill.qty_nanos if fill.order.request.side == "BUY" else -fill.qty_nanos
        if cash != fill.cash_micros or units != f"{fill.order.request.symbol} {qty}":
            yield f"{source} is {cash} and {units} in the ledger, {fill.cash_micros} and {qty} at the broker"
    if not case.unrest and case.books.cash_micros != case.house.cash_micros:
        yield f"cash is {case.books.cash_micros} in the ledger and {case.house.cash_micros} at the broker"


def _ledger_balances(case: Case) -> Iterator[str]:
    yield from case.books.unbalanced


# --- permission -----


def _entries(case: Case) -> Iterator[Post]:
    return (post for post in case.house.posts if post.side == "BUY" or post.client_order_id in case.fund_orders)


def _entry_is_armed(case: Case) -> Iterator[str]:
    """An arm record stands, and nothing that it does not answer is older than a second."""
    for post in _entries(case):
        answered = max((counter for at, counter in case.armed if at <= post.boot_ns), default=-1)
        if answered < 0:
            yield f"{post.client_order_id} was sent before anybody armed the chain"
        for halt, at in zip(case.books.halts, case.halts_at, strict=True):
            if halt.counter > answered and post.boot_ns > at + HALT_TO_POST_NS:
                late = (post.boot_ns - at) // MS
                yield f"{post.client_order_id} was sent {late} ms after halt {halt.counter} ({halt.rule})"
        for stop in case.stops:
            until = stop.until_ns or case.ended_ns
            if stop.since_ns + HALT_TO_POST_NS < post.boot_ns < until:
                yield f"{post.client_order_id} was sent {(post.boot_ns - stop.since_ns) // MS} ms after a {stop.what}"


def _entry_has_both_leases(case: Case) -> Iterator[str]:
    """Both leases were granted less than a second before the write began, whenever they were heard."""
    for post in _entries(case):
        for issuer in ("watchdog", "risk"):
            granted = [
                lease.boot_ns for lease in case.granted if lease.issuer == issuer and lease.boot_ns <= post.boot_ns
            ]
            age = post.boot_ns - max(granted) if granted else None
            if age is None or age > LEASE_NS:
                words = "never granted" if age is None else f"{age // MS} ms old"
                yield f"{post.client_order_id} was sent with a lease of {issuer} that was {words}"
    for lease in case.granted:
        if lease.expires_boot_ns - lease.boot_ns > LEASE_NS:
            yield f"{lease.issuer} granted a lease for {(lease.expires_boot_ns - lease.boot_ns) // MS} ms"


def _entry_is_in_time(case: Case) -> Iterator[str]:
    """Inside the session, and within the time to live of the minute that made the signal."""
    funds = case.fund_orders
    for post in _entries(case):
        if post.client_order_id in funds:
            # The holdings deal after the flatten, until a minute before the close.
            if not FLATTEN_NS <= post.market_ns < NIGHT_CLOSE_NS - MINUTE_NS:
                yield f"{post.client_order_id} was sent outside the window of the holdings"
            continue
        if not OPEN_NS <= post.market_ns < FLATTEN_NS:
            yield f"{post.client_order_id} was sent outside the session"
        age = (post.market_ns - OPEN_NS) % MINUTE_NS
        if age > TTL_NS:
            yield f"{post.client_order_id} was sent {age // SECOND} s after the minute that it is about"


def drains(case: Case) -> Iterator[Drained]:
    """Yield how long each entry stayed at the broker under each cause for it to go."""
    causes = [
        Cause(f"halt {halt.counter} ({halt.rule})", at, _answered_ns(case, halt.counter))
        for halt, at in zip(case.books.halts, case.halts_at, strict=True)
    ]
    causes.extend(Cause(f"a {stop.what}", stop.since_ns, stop.until_ns or case.ended_ns) for stop in case.stops)
    causes.extend(lapses(case.granted, case.ended_ns))
    held_up = [*case.away, *case.house.waits]
    for order in case.house.orders.values():
        if order.is_entry and order.state != "REJECTED":
            yield from drained(order, causes, held_up, case.house.troubles, _left_to_a_person_ns(case, order))


def _answered_ns(case: Case, counter: int) -> int:
    return min((when for when, answered in case.armed if answered >= counter), default=case.ended_ns)


def _left_to_a_person_ns(case: Case, order: HouseOrder) -> int:
    """Return when a halt asked a person to cancel what the broker had forgotten to cancel; the end of the run if none.

    Only as many cancels as the bot owes the broker excuse it.
    """
    lost = [trouble.boot_ns for trouble in case.house.troubles if trouble.key == order.key]
    for halt, at in zip(case.books.halts, case.halts_at, strict=True):
        if (
            halt.rule == "broker_failure"
            and order.key in halt.detail
            and sum(one <= at for one in lost) >= _CANCELS_OWED
        ):
            return at
    return case.ended_ns


def _halt_ends_entries(case: Case) -> Iterator[str]:
    """No entry stays at the broker under a halt, a stop, or without leases, for longer than a drain needs."""
    for one in drains(case):
        if one.is_too_long():
            yield one.words()


# --- words and life -----


def _halts_have_words(case: Case) -> Iterator[str]:
    counters = [halt.counter for halt in case.books.halts]
    if counters != list(range(1, len(counters) + 1)):
        yield f"halts are numbered {counters}"
    for halt in case.books.halts:
        if not halt.rule or not halt.detail or not halt.source:
            yield f"halt {halt.counter} does not say why"


def _bot_contradicts_itself(case: Case) -> Iterator[str]:
    """No halt says that the bot's own books were wrong: this broker is sound, and so is the disk."""
    for halt in case.books.halts:
        if halt.rule == "broker_anomaly" and case.house.refused_sales and "rejected" in halt.detail:
            continue
        if halt.rule in _OWN_FAULTS - case.ends_in:
            yield f"halt {halt.counter} of {halt.source}: {halt.rule}: {halt.detail}"
    yield from case.errors


def _comes_to_rest(case: Case) -> Iterator[str]:
    """In the calm phase every intent ends, every outbox empties, and nothing is held at the end of the session."""
    if case.unrest and not case.stands_halted():
        yield case.unrest


def _ends_halted_where_it_must(case: Case) -> Iterator[str]:
    """A file from another time ends in a halt, and nothing is at rest as if nothing had been."""
    if case.must_end_halted and not case.stands_halted():
        yield f"no halt of {sorted(case.ends_in)} stands at the end"


def _night_is_whole(case: Case) -> Iterator[str]:
    """Nothing of a night is doubled or lost: orders, fills, reserves, records."""
    if case.books.night is not None:
        yield from night_faults(case.books.night, case.house)


_JUDGES: Final = (
    _one_order_per_leg,
    _asks_only_for_what_is_held,
    _ledger_is_the_broker,
    _ledger_balances,
    _night_is_whole,
    _entry_is_armed,
    _entry_has_both_leases,
    _entry_is_in_time,
    _halt_ends_entries,
    _halts_have_words,
    _bot_contradicts_itself,
    _comes_to_rest,
    _ends_halted_where_it_must,
)
