"""The ledger's decisions: recipes, refusals, idempotency, and gains against exact fractions."""

from collections import deque
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.messages import (
    MICROS,
    NANOS,
    CashMoved,
    EntryPosted,
    EntrySuspended,
    LedgerSnapshot,
    Message,
    OrderFilled,
)
from services.ledger.core import LedgerCore, LedgerState
from services.ledger.lots import BrokenEntryError, units_open
from services.ledger.settings import LedgerSettings

NOW = 1_700_000_100_000_000_000
YEAR_NS = 367 * 86_400 * NANOS
CENT = 10_000


def run(core: LedgerCore, messages: Sequence[Message]) -> tuple[LedgerState, list[Any]]:
    state, events = core.initial(), []
    for message in messages:
        for event in core.decide(state, message, NOW):
            state = core.evolve(state, event)
            events.append(event)
    return state, events


def lines_of(entry: EntryPosted) -> dict[str, int]:
    return {line.account: line.amount for line in entry.lines}


def test_decide_when_deposit_then_cash_against_contributions(core: LedgerCore, deposit: CashMoved) -> None:
    _, (entry,) = run(core, [deposit])
    assert lines_of(entry) == {"1010": 100_000_000_000, "3010": -100_000_000_000}
    assert (entry.seq, entry.event_type, entry.source_event_id) == (1, "DEPOSIT", "PAPER:A-1:DEPOSIT")
    assert entry.ts_event == deposit.ts_event


def test_decide_when_withdrawal_then_draws_against_cash(core: LedgerCore, deposit: CashMoved) -> None:
    out = msgspec.structs.replace(deposit, kind="WITHDRAWAL", amount_micros=-5 * MICROS)
    _, (entry,) = run(core, [out])
    assert lines_of(entry) == {"1010": -5 * MICROS, "3020": 5 * MICROS}


def test_decide_when_buy_then_cost_commission_cash_and_units(core: LedgerCore, day: list[Message]) -> None:
    _, events = run(core, day[:2])
    assert lines_of(events[1]) == {
        "1210": 1_000 * MICROS,
        "5010": 350_000,
        "1010": -1_000 * MICROS - 350_000,
        "9010": 10 * NANOS,
        "9090": -10 * NANOS,
    }
    assert events[1].source_event_id == "PAPER:PX-1:FILL"
    assert events[1].gain_micros == 0


def test_decide_when_sale_spans_two_lots_then_oldest_cost_goes_first(core: LedgerCore, day: list[Message]) -> None:
    state, events = run(core, day[:4])
    # 10 at 100 and 5 of the 10 at 110: cost 1550, proceeds 1800.
    assert events[3].gain_micros == 250 * MICROS
    assert lines_of(events[3]) == {
        "1210": -1_550 * MICROS,
        "1010": 1_800 * MICROS - 20_000,
        "5010": 20_000,
        "4010": -250 * MICROS,
        "9010": -15 * NANOS,
        "9090": 15 * NANOS,
    }
    assert units_open(state.lots["AAPL"]) == 5 * NANOS
    assert [lot.left_micros for lot in state.lots["AAPL"]] == [550 * MICROS]


def test_decide_when_sold_at_a_loss_then_gain_account_is_debited(
    core: LedgerCore, fill: Callable[..., OrderFilled]
) -> None:
    _, events = run(core, [fill("BUY", "AAPL", NANOS, 100 * MICROS), fill("SELL", "AAPL", NANOS, 90 * MICROS)])
    assert events[1].gain_micros == -10 * MICROS
    assert lines_of(events[1])["4010"] == 10 * MICROS


def test_decide_when_held_over_a_year_then_gain_is_split_by_term(
    core: LedgerCore, fill: Callable[..., OrderFilled]
) -> None:
    first = fill("BUY", "AAPL", NANOS, 100 * MICROS)
    later = first.ts_event + YEAR_NS
    second = fill("BUY", "AAPL", NANOS, 200 * MICROS, ts_event=later)
    sale = fill("SELL", "AAPL", 2 * NANOS, 250 * MICROS, ts_event=later + NANOS)
    _, events = run(core, [first, second, sale])
    assert lines_of(events[2])["4020"] == -150 * MICROS
    assert lines_of(events[2])["4010"] == -50 * MICROS


def test_decide_when_rebate_then_broker_credits(core: LedgerCore, fill: Callable[..., OrderFilled]) -> None:
    _, (entry,) = run(core, [fill("BUY", "AAPL", NANOS, 100 * MICROS, commission_micros=-3_000)])
    assert lines_of(entry)["4190"] == -3_000
    assert lines_of(entry)["1010"] == -100 * MICROS + 3_000


def test_decide_when_ticker_is_usd_then_shares_do_not_mix_with_dollars(
    core: LedgerCore, fill: Callable[..., OrderFilled]
) -> None:
    state, (entry,) = run(core, [fill("BUY", "USD", NANOS, 50 * MICROS)])
    assert {line.commodity for line in entry.lines} == {"USD", "USD/UNITS"}
    assert set(state.sums.values()) == {0}


def test_decide_when_told_again_then_nothing(core: LedgerCore, day: list[Message]) -> None:
    state, _ = run(core, day)
    assert [event for message in day for event in core.decide(state, message, NOW)] == []


def test_decide_when_told_differently_then_suspended_with_both(core: LedgerCore, day: list[Message]) -> None:
    state, _ = run(core, day)
    changed = msgspec.structs.replace(day[1], price_micros=101 * MICROS)
    (event,) = core.decide(state, changed, NOW)
    assert isinstance(event, EntrySuspended)
    assert "BUY of 10 AAPL and -1,000.35 dollars" in event.detail
    assert "-1,010.35" in event.detail


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"side": "SELL"}, "the books hold 0"),
        ({"qty_nanos": 0}, "no quantity"),
        ({"broker": "OTHER"}, "broker OTHER"),
        ({"qty_nanos": 2**62, "price_micros": 2**53}, "beyond what the ledger can hold"),
    ],
)
def test_decide_when_fill_cannot_be_booked_then_suspended_with_reason(
    core: LedgerCore, fill: Callable[..., OrderFilled], changes: dict[str, Any], words: str
) -> None:
    message = fill("BUY", "AAPL", NANOS, 100 * MICROS, **changes)
    state, (event,) = run(core, [message])
    assert isinstance(event, EntrySuspended)
    assert words in event.detail
    assert (state.last_seq, state.lots) == (0, {})


def test_decide_when_more_is_sold_than_held_then_suspended_and_lots_stay(
    core: LedgerCore, fill: Callable[..., OrderFilled]
) -> None:
    state, events = run(core, [fill("BUY", "AAPL", NANOS, MICROS), fill("SELL", "AAPL", NANOS + 1, MICROS)])
    assert isinstance(events[1], EntrySuspended)
    assert units_open(state.lots["AAPL"]) == NANOS


def test_decide_when_bought_before_a_booked_lot_then_suspended(
    core: LedgerCore, fill: Callable[..., OrderFilled]
) -> None:
    late = fill("BUY", "AAPL", NANOS, MICROS, ts_event=NOW)
    _, events = run(core, [late, fill("BUY", "AAPL", NANOS, MICROS, ts_event=NOW - 1)])
    assert isinstance(events[1], EntrySuspended)


def test_decide_when_sold_before_it_was_bought_then_suspended(
    core: LedgerCore, fill: Callable[..., OrderFilled]
) -> None:
    late = fill("BUY", "AAPL", NANOS, MICROS, ts_event=NOW)
    _, events = run(core, [late, fill("SELL", "AAPL", NANOS, MICROS, ts_event=NOW - 1)])
    assert isinstance(events[1], EntrySuspended)


@pytest.mark.parametrize(("kind", "amount"), [("DEPOSIT", 0), ("DEPOSIT", -1), ("WITHDRAWAL", 1)])
def test_decide_when_cash_has_the_wrong_sign_then_suspended(
    core: LedgerCore, deposit: CashMoved, kind: str, amount: Any
) -> None:
    _, (event,) = run(core, [msgspec.structs.replace(deposit, kind=kind, amount_micros=amount)])
    assert isinstance(event, EntrySuspended)


def test_decide_when_suspended_event_is_told_again_then_said_once_and_booked_once_it_fits(
    core: LedgerCore, fill: Callable[..., OrderFilled]
) -> None:
    sale = fill("SELL", "AAPL", NANOS, 2 * MICROS, ts_event=NOW)
    buy = fill("BUY", "AAPL", NANOS, MICROS, ts_event=NOW - 1)
    state, events = run(core, [sale, sale, buy, sale])
    assert [type(event) for event in events] == [EntrySuspended, EntryPosted, EntryPosted]
    assert state.suspended == {}


def test_decide_when_ids_are_long_then_source_ids_stay_short_and_distinct(
    core: LedgerCore, fill: Callable[..., OrderFilled]
) -> None:
    long = [fill("BUY", "AAPL", NANOS, MICROS, execution_id="x" * 95 + letter) for letter in "ab"]
    _, events = run(core, long)
    assert len({event.source_event_id for event in events}) == 2
    assert all(len(event.source_event_id) <= 96 for event in events)


def test_evolve_when_journal_is_folded_again_then_same_state(core: LedgerCore, day: list[Message]) -> None:
    state, events = run(core, day)
    wire = [msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=EntryPosted) for event in events]
    again = core.initial()
    for event in wire:
        again = core.evolve(again, event)
    assert again == state


def test_evolve_when_entry_is_missing_then_error_names_it(core: LedgerCore, day: list[Message]) -> None:
    _, events = run(core, day)
    with pytest.raises(BrokenEntryError, match="entry 2 after entry 0"):
        core.evolve(core.initial(), events[1])


def test_evolve_when_gain_is_misstated_then_error(core: LedgerCore, day: list[Message]) -> None:
    _, events = run(core, day)
    state = core.initial()
    for event in events[:3]:
        state = core.evolve(state, event)
    with pytest.raises(BrokenEntryError, match="AAPL"):
        core.evolve(state, msgspec.structs.replace(events[3], gain_micros=events[3].gain_micros + 1))


def test_decide_when_own_clock_stands_still_then_recorded_when_the_event_was_made(
    core: LedgerCore, deposit: CashMoved
) -> None:
    (entry,) = core.decide(core.initial(), deposit, 0)
    assert entry.ts_init == deposit.ts_init


def test_snapshot_when_day_is_booked_then_cash_gain_and_zero_imbalance(
    core: LedgerCore, day: list[Message], fill: Callable[..., OrderFilled]
) -> None:
    state, _ = run(core, [*day, fill("SELL", "TSLA", NANOS, MICROS)])
    (shown,) = core.snapshot(state, NOW)
    assert isinstance(shown, LedgerSnapshot)
    assert (shown.ledger, shown.entries, shown.imbalance, shown.suspended) == ("books", 5, 0, 1)
    assert shown.realized_micros == 250 * MICROS
    # 100000 - 1000.35 - 1100 + 1799.98 - 1000
    assert shown.cash_micros == 98_699_630_000


TRADES = st.lists(
    st.tuples(
        st.booleans(),
        st.integers(min_value=1, max_value=50 * NANOS),
        st.integers(min_value=1, max_value=500 * MICROS),
        st.integers(min_value=-10_000, max_value=2 * MICROS),
    ),
    min_size=1,
    max_size=30,
)


def booked_trade(number: int, trade: tuple[bool, int, int, int], held: int) -> OrderFilled:
    is_buy, qty, price, commission = trade
    is_buy = is_buy or held == 0
    return OrderFilled(
        ts_event=NOW + number, ts_init=NOW, execution_id=f"E{number}", client_order_id="c",
        broker_order_id="b", intent_id="i", leg="entry", session_date="2025-03-12", strategy="open",
        symbol="AAPL", side="BUY" if is_buy else "SELL", qty_nanos=qty if is_buy else min(qty, held),
        price_micros=price, commission_micros=commission, cumulative_qty_nanos=qty, order_qty_nanos=qty,
        broker="PAPER", reason="",
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(TRADES)
def test_books_when_trades_are_random_then_balanced_and_gains_exact_to_the_cent(trades: list[Any]) -> None:
    core = LedgerCore(LedgerSettings(broker_name="PAPER", settlement_days=0), "books")
    state = core.initial()
    exact: deque[list[Fraction]] = deque()
    gains = oracle_gains = Fraction(0)
    # The last trade sells all that is left, so that every lot must end at cost 0.
    for number in range(len(trades) + 1):
        held = units_open(state.lots.get("AAPL", ()))
        trade = trades[number] if number < len(trades) else (False, held, 10 * MICROS, 0)
        if trade[1] == 0:
            continue
        message = booked_trade(number, trade, held)
        (entry,) = core.decide(state, message, NOW)
        assert isinstance(entry, EntryPosted)
        state = core.evolve(state, entry)
        assert set(state.sums.values()) <= {0}
        amounts = lines_of(entry)
        cash = abs(amounts.get("1010", 0) + message.commission_micros)
        if message.side == "BUY":
            exact.append([Fraction(message.qty_nanos), Fraction(cash)])
            continue
        cost = oracle_cost(exact, message.qty_nanos)
        gains += entry.gain_micros
        oracle_gains += cash - cost
        assert abs(entry.gain_micros - (cash - cost)) <= CENT
        assert abs(gains - oracle_gains) <= CENT / 2
    assert units_open(state.lots["AAPL"]) == 0
    assert gains == oracle_gains
    assert state.lots["AAPL"] == ()


def oracle_cost(lots: deque[list[Fraction]], qty: int) -> Fraction:
    """Exact first-in-first-out cost, by fractions."""
    cost, wanted = Fraction(0), Fraction(qty)
    while wanted:
        units, total = lots[0]
        part = min(units, wanted)
        cost += total * part / units
        lots[0] = [units - part, total - total * part / units]
        wanted -= part
        if lots[0][0] == 0:
            lots.popleft()
    return cost


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(min_value=-(10**12), max_value=10**12), min_size=1, max_size=20))
def test_cash_when_movements_are_random_then_every_one_is_booked_or_suspended(amounts: list[int]) -> None:
    core = LedgerCore(LedgerSettings(broker_name="PAPER", settlement_days=0), "books")
    moves = [
        CashMoved(
            ts_event=NOW, ts_init=NOW, activity_id=f"A{number}", amount_micros=amount, broker="PAPER",
            kind="DEPOSIT" if number % 2 else "WITHDRAWAL",
        )
        for number, amount in enumerate(amounts)
    ]  # fmt: skip
    state, events = run(core, moves)
    assert len(events) == len(moves)
    booked = sum(line.amount for event in events if isinstance(event, EntryPosted) for line in event.lines[:1])
    assert state.cash_micros == booked
    assert state.last_seq + len(state.suspended) == len(moves)
