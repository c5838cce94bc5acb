"""Payouts of the reserves: booked once, never more than there is, and in a record with the same id."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from evening import FIRST_DAY, Evening, plan_of

from bus.commands import Outcome
from bus.messages import (
    MICROS,
    AccountStated,
    BooksRequested,
    CashMoved,
    EntryPosted,
    Message,
    PayReserve,
    ReservePaidOut,
    ReservesStated,
)


@pytest.fixture
def evening(tmp_path: Path) -> Iterator[Evening]:
    """A night that has set $200 aside for tax and $80 for payroll."""
    made = Evening(tmp_path)
    made.night()
    made.night(gain=1_000)
    made.events.clear()
    yield made
    made.close()


def pay(
    evening: Evening, purpose: str, dollars: float, command_id: str = "c1", *, is_withdrawn: bool = False
) -> Outcome:
    command = PayReserve(
        ts_event=0,
        ts_init=1,
        command_id=command_id,
        expires_boot_ns=1,
        operator="olga",
        receiver="ledger",
        halt_counter=0,
        reason="wages of March",
        purpose=purpose,  # type: ignore[arg-type]  # one of the two words
        amount_micros=round(dollars * MICROS),
        is_withdrawn=is_withdrawn,
    )
    node = evening.chain.nodes["ledger"]
    outcome = node.assembly.on_request(command, node)
    evening.deliver()
    assert isinstance(outcome, Outcome)
    return outcome


def test_a_payout_is_booked_and_recorded_under_one_id(evening: Evening) -> None:
    cash = evening.balance("1010")
    assert "Payroll paid: 50.00" in pay(evening, "PAYROLL", 50).detail
    assert (evening.balance("1040"), evening.balance("1030"), evening.balance("5110")) == (30.0, 200.0, 50.0)
    assert evening.balance("1010") == cash
    [entry] = evening.of("ledger", EntryPosted)
    [told] = evening.of("ledger", ReservePaidOut)
    assert (entry.event_type, entry.source_event_id) == ("PAYROLL_PAID", f"PAPER:{told.activity_id}:PAYROLL_PAID")
    night, payout = evening.records()[-2:]
    record = json.loads(payout.read_bytes())
    [action] = record["actions"]
    assert (action["action"], action["ids"], action["seqs"]) == ("PAYROLL_PAYOUT", [told.activity_id], [entry.seq])
    assert (action["total_micros"], action["payroll_reserve_micros"]) == (50 * MICROS, 30 * MICROS)
    assert action["context"] == "wages of March (olga)"
    assert record["prev_sha256"] == hashlib.sha256(night.read_bytes()).hexdigest()
    [shown] = evening.chain.nodes["holdings"].assembly.core.snapshot(evening.holdings, 1)
    assert (shown.payroll_reserve_micros, shown.tax_reserve_micros) == (30 * MICROS, 200 * MICROS)


def test_risk_is_told_that_less_is_set_aside(evening: Evening) -> None:
    pay(evening, "TAX", 200)
    [stated] = evening.of("ledger", ReservesStated)
    assert (stated.tax_micros, stated.payroll_micros) == (0, 80 * MICROS)


@pytest.mark.parametrize(("purpose", "dollars"), [("TAX", 200.01), ("PAYROLL", 80.01)])
def test_more_than_a_reserve_holds_is_refused_and_nothing_happens(
    evening: Evening, purpose: str, dollars: float
) -> None:
    records = len(evening.records())
    outcome = pay(evening, purpose, dollars)
    assert not outcome.is_done
    assert "Pay out at most that" in outcome.detail
    assert evening.of("ledger", EntryPosted) == []
    assert len(evening.records()) == records


def test_a_payout_that_is_told_twice_is_booked_once(evening: Evening) -> None:
    assert pay(evening, "TAX", 100).is_done
    again = pay(evening, "TAX", 100)
    assert (again.is_done, again.detail) == (False, "it is booked already")
    assert pay(evening, "TAX", 100, "c2").is_done
    assert evening.balance("1030") == 0.0


def test_the_night_after_a_payout_goes_on_from_the_books(evening: Evening) -> None:
    pay(evening, "TAX", 150)
    evening.night(gain=500)
    assert evening.balance("1030") == 150.0
    assert evening.balance("1040") == 120.0
    assert evening.balance("5120") == 150.0
    assert evening.of("holdings", BooksRequested)
    records: list[dict[str, Any]] = [json.loads(path.read_bytes()) for path in evening.records()]
    assert [record["outcome"] for record in records] == ["DONE", "DONE", "PAID", "DONE"]


def tell(evening: Evening, message: Message) -> list[Any]:
    evening.events.clear()
    evening.chain.nodes["ledger"].on_reliable(message)
    return [event.event_type for event in evening.of("ledger", EntryPosted)]


def withdrawal(dollars: int, key: str) -> CashMoved:
    at = plan_of(FIRST_DAY).close_ns
    return CashMoved(
        ts_event=at, ts_init=at, activity_id=key, kind="WITHDRAWAL", symbol="", amount_micros=-dollars * MICROS,
        broker="PAPER",
    )  # fmt: skip


def stated(evening: Evening, dollars: float) -> AccountStated:
    at = plan_of(evening.day).close_ns
    cash = round(dollars * MICROS)
    held = {symbol: sum(lot.left_nanos for lot in lots) for symbol, lots in evening.ledger.lots.items()}
    return AccountStated(
        ts_event=at, ts_init=at, session_date=evening.day.isoformat(), broker="PAPER", occasion="close",
        cash_micros=cash, symbols=tuple(held), qtys_nanos=tuple(held.values()),
    )  # fmt: skip


def test_a_withdrawal_that_carries_payouts_is_no_draw_and_books_and_broker_agree_all_the_time(
    evening: Evening,
) -> None:
    cash = sum(map(evening.balance, ("1010", "1030", "1040")))
    float_cash = evening.balance("1010")
    pay(evening, "TAX", 150)
    pay(evening, "PAYROLL", 50, "c2")
    # The broker still has it: no difference, so nothing keeps the chain from being armed.
    assert tell(evening, stated(evening, cash)) == []
    assert tell(evening, withdrawal(170, "W-1")) == ["WITHDRAWAL", "PAYOUT_WITHDRAWN"]
    assert tell(evening, withdrawal(170, "W-1")) == []
    assert tell(evening, stated(evening, cash - 170)) == []
    assert (evening.balance("1010"), evening.balance("3020")) == (float_cash, 0.0)
    # The rest of the payouts, and a draw beyond them.
    tell(evening, withdrawal(100, "W-2"))
    assert tell(evening, stated(evening, cash - 270)) == []
    assert (evening.balance("1010"), evening.balance("3020")) == (float_cash - 70, 70.0)
    assert tell(evening, withdrawal(10, "W-3")) == ["WITHDRAWAL"]


def test_a_payout_of_what_was_withdrawn_before_takes_it_from_the_reserve(evening: Evening) -> None:
    assert "know of withdrawals of 0.00" in pay(evening, "TAX", 150, is_withdrawn=True).detail
    cash = sum(map(evening.balance, ("1010", "1030", "1040")))
    float_cash = evening.balance("1010")
    tell(evening, withdrawal(150, "W-1"))
    assert pay(evening, "TAX", 150, "c2", is_withdrawn=True).is_done
    assert (evening.balance("1010"), evening.balance("1030"), evening.balance("3020")) == (float_cash, 50.0, 0.0)
    assert tell(evening, stated(evening, cash - 150)) == []
    action = json.loads(evening.records()[-1].read_bytes())["actions"][0]
    assert action["cash_micros"] == round(float_cash * MICROS)


def test_a_record_of_a_payout_that_a_crash_kept_from_the_disk_is_written_at_the_start(evening: Evening) -> None:
    pay(evening, "TAX", 150)
    payout = evening.records()[-1]
    before = payout.read_bytes()
    payout.unlink()
    evening.chain.nodes["holdings"].assembly.shell.on_start(evening.holdings, 0)
    assert payout.read_bytes() == before
