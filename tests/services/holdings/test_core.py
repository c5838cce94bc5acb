"""Nights of the holdings through risk, execution with the paper broker, and the ledger, in one process."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from evening import FIRST_DAY, HOLDINGS, Evening, plan_of
from msgspec.structs import replace

from bus.actor import Actor
from bus.local import LocalNode
from bus.messages import (
    NANOS,
    BooksReported,
    BooksRequested,
    ChainDisarmed,
    FundsQuoted,
    GainsAllocated,
    HoldingsOrderDenied,
    HoldingsOrderEnded,
    HoldingsOrderRequested,
    HoldingsSnapshot,
    HoldingsWindowOpened,
    KillSwitchTripped,
    NightBegan,
    NightEnded,
    NightStepped,
    OrderFilled,
    OrderPrepared,
    PreviewHoldings,
    ReserveAllocated,
    RunHoldings,
)
from services.holdings.core import AskAgain
from services.holdings.run import TABLE, Phase, next_phase


@pytest.fixture
def evening(tmp_path: Path) -> Iterator[Evening]:
    made = Evening(tmp_path)
    yield made
    made.close()


def ended(evening: Evening) -> NightEnded:
    (found,) = evening.of("holdings", NightEnded)
    assert isinstance(found, NightEnded)
    return found


def balanced(evening: Evening) -> bool:
    snapshot = evening.chain.nodes["ledger"].assembly.core.snapshot(evening.ledger, 0)[0]
    return snapshot.imbalance == 0 and not snapshot.suspended


def test_the_first_night_buys_all_but_the_float(evening: Evening) -> None:
    evening.night()
    assert evening.fills() == {"AAA": 54 * NANOS, "BBB": 72 * NANOS}
    assert (evening.balance("1010"), evening.balance("1220")) == (1_000, 9_000)
    assert ended(evening).outcome == "DONE"
    assert ended(evening).detail == ""
    assert balanced(evening)


def test_a_night_without_news_does_nothing(evening: Evening) -> None:
    evening.night()
    evening.night()
    assert evening.fills() == {}
    assert ended(evening).outcome == "DONE"
    assert [one.kind for one in evening.of("holdings", NightStepped)] == ["ALLOCATE"]


def test_a_gain_is_set_aside_in_the_ledger_and_the_rest_is_bought(evening: Evening) -> None:
    evening.night()
    evening.night(gain=1_000)
    assert (evening.balance("1030"), evening.balance("1040")) == (200, 80)
    assert evening.fills()["AAA"] == 3_888_000_000
    assert evening.fills()["BBB"] == 5_184_000_000
    assert evening.balance("1010") == 1_072
    assert balanced(evening)
    ids = {one.activity_id for one in evening.of("holdings", ReserveAllocated)}
    assert ids == {"holdings-2025-03-11-1-TAX", "holdings-2025-03-11-1-PAYROLL"}
    assert {f"PAPER:{key}:{kind}_RESERVE" for key, kind in zip(sorted(ids), ("PAYROLL", "TAX"), strict=True)} <= set(
        evening.ledger.booked
    )


def test_a_loss_is_carried_into_later_nights(evening: Evening) -> None:
    evening.night()
    evening.night(gain=-10)
    assert evening.holdings.reserves.carry_micros == 10_000_000
    assert evening.balance("1030") == 0
    evening.night(gain=210)
    assert (evening.balance("1030"), evening.balance("1040")) == (40, 16)


def test_prices_that_rise_take_the_float_from_its_target_and_it_is_restored(evening: Evening) -> None:
    evening.night()
    evening.prices.update(AAA=200.0, BBB=100.0)
    evening.night()
    assert all(moved < 0 for moved in evening.fills().values())
    after = evening.holdings.books
    values = evening.balance("1010"), evening.balance("1030"), evening.balance("1040")
    held = sum(lot.qty_nanos - lot.closed_nanos for lot in after.lots if lot.symbol == "AAA") * 200 / NANOS
    held += sum(lot.qty_nanos - lot.closed_nanos for lot in after.lots if lot.symbol == "BBB") * 100 / NANOS
    assert values[0] == pytest.approx(0.1 * (values[0] + held), abs=0.02)
    gain = after.gain_micros / 1_000_000
    assert values[1] == pytest.approx(0.2 * gain, abs=0.01)
    assert values[2] == pytest.approx(0.08 * gain, abs=0.01)
    assert balanced(evening)
    evening.night()
    assert evening.fills() == {}


def test_a_rebalance_comes_after_its_interval_and_sells_before_it_buys(evening: Evening) -> None:
    evening.night()
    evening.prices["AAA"] = 110.0
    evening.day = date(2025, 9, 9)
    evening.night()
    assert "SELL_FOR_REBALANCE" not in [one.kind for one in evening.of("holdings", NightStepped)]
    evening.prices["AAA"] = 130.0
    evening.night()
    kinds = [one.kind for one in evening.of("holdings", NightStepped)]
    assert kinds == ["ALLOCATE", "SELL_FOR_REBALANCE", "ALLOCATE", "BUY"]
    assert ended(evening).is_rebalance
    assert evening.holdings.last_rebalance == "2025-09-10"
    (snapshot,) = evening.chain.nodes["holdings"].assembly.core.snapshot(evening.holdings, 0)
    assert isinstance(snapshot, HoldingsSnapshot)
    assert snapshot.next_rebalance == "2026-03-10"
    evening.night()
    assert evening.fills() == {}


def test_a_rebalance_inside_its_band_deals_in_nothing_and_begins_its_clock_anew(tmp_path: Path) -> None:
    evening = Evening(tmp_path, {**HOLDINGS, "band_percent": "5"})
    evening.night()
    evening.prices["AAA"] = 103.0
    evening.day = date(2025, 9, 10)
    evening.night()
    assert "SELL_FOR_REBALANCE" not in [one.kind for one in evening.of("holdings", NightStepped)]
    assert evening.holdings.last_rebalance == "2025-09-10"
    evening.close()


def test_a_session_has_one_night(evening: Evening) -> None:
    evening.night()
    node = evening.chain.nodes["holdings"]
    (opened,) = evening.of("risk", HoldingsWindowOpened)
    before = len(evening.events)
    node.on_reliable(opened)
    evening.chain._deliver()
    assert len(evening.events) == before


def test_nothing_is_asked_where_the_holdings_are_not_enabled(tmp_path: Path) -> None:
    evening = Evening(tmp_path, {"is_enabled": False})
    evening.night()
    assert evening.of("risk", HoldingsWindowOpened) == []
    assert evening.of("holdings", NightBegan) == []
    evening.close()


def test_a_fund_without_a_price_skips_the_night(evening: Evening) -> None:
    del evening.prices["BBB"]
    evening.night()
    assert ended(evening).outcome == "SKIPPED"
    assert "BBB has no fresh price" in ended(evening).detail
    assert evening.fills() == {}


def test_shares_that_the_books_do_not_know_skip_the_night(evening: Evening) -> None:
    evening.night()
    quotes = evening.of("risk", FundsQuoted)[-1]
    books = evening.of("ledger", BooksReported)[-1]
    core, state = evening.chain.nodes["holdings"].assembly.core, evening.holdings
    window = evening.of("risk", HoldingsWindowOpened)[0]
    began = core.decide(state, replace(window, session_date="2025-03-11"), 0)
    for event in began:
        state = core.evolve(state, event)
    asked = replace(books, request_id="2025-03-11:1", session_date="2025-03-11")
    for event in core.decide(state, asked, 0):
        state = core.evolve(state, event)
    line = replace(quotes.quotes[0], held_nanos=quotes.quotes[0].held_nanos - 1)
    other = replace(quotes, request_id="2025-03-11:1", quotes=(line, *quotes.quotes[1:]))
    found = core.decide(state, other, 0)
    assert isinstance(found[-1], NightEnded)
    assert "54000000000 by the books and 53999999999 at the broker" in found[-1].detail


def test_after_a_kill_switch_there_is_no_night_and_the_next_one_takes_the_loss(evening: Evening) -> None:
    evening.night()
    evening.night(gain=-300)
    assert evening.of("risk", KillSwitchTripped)
    assert evening.of("holdings", NightBegan) == []
    evening.night()
    assert evening.holdings.reserves.carry_micros == 300_000_000


def test_a_chain_that_is_disarmed_has_no_night(evening: Evening) -> None:
    evening.night(last=0)
    for name in ("risk", "execution"):
        evening.chain.nodes[name].on_input(ChainDisarmed(ts_event=0, ts_init=0, detail="a test"))
    evening.chain.play(evening._batches(plan_of(FIRST_DAY).flatten_ns, 30))
    assert evening.of("risk", HoldingsWindowOpened) == []
    assert evening.of("holdings", NightBegan) == []


def test_a_denied_order_is_said_and_the_night_comes_to_its_end(evening: Evening) -> None:
    core = evening.chain.nodes["risk"].assembly.core
    core._limits = replace(core._limits, funds=frozenset({"AAA"}))
    evening.night()
    (denied,) = evening.of("risk", HoldingsOrderDenied)
    assert (denied.symbol, denied.rule) == ("BBB", "holdings_fund")
    assert evening.fills() == {"AAA": 54 * NANOS}
    assert ended(evening).outcome == "DONE"
    assert "BBB: denied" in ended(evening).detail


def test_what_the_holdings_bought_has_no_stop_and_survives_the_kill_switch(evening: Evening) -> None:
    evening.night()
    tripped = KillSwitchTripped(ts_event=0, ts_init=0, session_date="2025-03-10", pnl_micros=-2, limit_micros=1)
    evening.chain.nodes["execution"].on_reliable(tripped)
    evening.chain.play(evening._batches(evening.of("holdings")[-1].ts_event + NANOS, 5))
    assert {order.leg for order in evening.of("execution", OrderPrepared)} == {"fund"}
    assert {fill.side for fill in evening.of("execution", OrderFilled)} == {"BUY"}


# --- crashes -----------------------------------------------------------------------------------------------------


KEEP: Any = LocalNode._keep


def _moved(evening: Evening) -> dict[str, Any]:
    return {
        "balances": dict(evening.ledger.holdings.balances),
        "reserves": evening.holdings.reserves,
        "mark": evening.holdings.gain_mark_micros,
        "last": (evening.holdings.last_session, evening.holdings.last_rebalance, evening.holdings.records),
        "requests": [one.intent_id for one in evening.of("holdings", HoldingsOrderRequested)],
        "allocations": [one.activity_id for one in evening.of("holdings", ReserveAllocated)],
        "records": [path.name for path in evening.records()],
    }


def test_a_service_that_starts_anew_after_every_event_ends_as_one_that_never_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = []
    for name, crashes in (("calm", False), ("crashing", True)):
        evening = Evening(tmp_path / name)
        node = evening.chain.nodes["holdings"]
        journal: list[Any] = []
        starts = [0]

        def keep(
            self: Actor[Any],
            events: Any,
            cause: Any,
            node: Any = node,
            journal: list[Any] = journal,
            crashes: bool = crashes,
            starts: list[int] = starts,
        ) -> Any:
            if self is node and crashes:
                state = node.assembly.core.initial()
                for event in journal:
                    state = node.assembly.core.evolve(state, event)
                assert state == node.state
                starts[0] += 1
                node.assembly.shell.on_start(state, 0)
            if self is node:
                journal.extend(events)
            return KEEP(self, events, cause)

        with monkeypatch.context() as patch:
            patch.setattr(type(node), "_keep", keep)
            for price, gain in ((100.0, 0), (180.0, 900), (90.0, -15), (140.0, 300)):
                evening.prices["AAA"] = price
                evening.night(gain=gain)
        assert balanced(evening)
        assert starts[0] > 30 or not crashes
        ends.append(_moved(evening))
        evening.close()
    assert ends[0] == ends[1]


def test_a_night_that_the_close_cut_off_is_ended_and_the_next_one_goes_on_from_the_books(evening: Evening) -> None:
    evening.night(last=1)
    assert evening.of("holdings", NightEnded) == []
    assert evening.holdings.run.open_orders
    evening.night()
    first, second = evening.of("holdings", NightEnded)
    assert first.detail.startswith("the session of 2025-03-10 is over; AAA: ")
    assert second.outcome == "DONE"
    assert evening.balance("1010") == pytest.approx(1_000, abs=1)
    assert balanced(evening)
    assert len(evening.records()) == 2


# --- the record --------------------------------------------------------------------------------------------------


def test_the_record_of_a_night_says_each_movement_with_its_entry_and_the_balances_after_it(evening: Evening) -> None:
    evening.night()
    evening.night(gain=1_000)
    record = json.loads(evening.records()[-1].read_text())
    actions = {(line["action"], line["symbol"]): line for line in record["actions"]}
    assert set(actions) == {("TAX_ALLOCATION", ""), ("PAYROLL_ALLOCATION", ""), ("BUY", "AAA"), ("BUY", "BBB")}
    bought = actions["BUY", "AAA"]
    assert (bought["total_micros"], bought["price_micros"]) == (388_800_000, 100_000_000)
    assert bought["qty_nanos"] == 3_888_000_000
    assert bought["cash_micros"] == 1_072_000_000
    assert actions["TAX_ALLOCATION", ""]["total_micros"] == 200_000_000
    seqs = {seq for line in record["actions"] for seq in line["seqs"]}
    posted = [event for event in evening.of("ledger") if type(event).__name__ == "EntryPosted"]
    assert {event.seq for event in posted if event.symbol != "CCC"} == seqs
    assert record["ledger_head"].startswith("ledger-head 2 ")
    assert record["prev_sha256"] != "0" * 64


# --- the table ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("wanted", Phase)
def test_a_phase_follows_another_by_the_table_alone(phase: Phase, wanted: Phase) -> None:
    if wanted in TABLE[phase]:
        assert next_phase(phase, wanted) is wanted
    else:
        with pytest.raises(ValueError, match="cannot become"):
            next_phase(phase, wanted)


def test_the_books_are_asked_again_while_a_fill_is_on_its_way(evening: Evening) -> None:
    evening.night()
    core = evening.chain.nodes["holdings"].assembly.core
    state = core.initial()
    for event in evening.of("holdings"):
        if isinstance(event, BooksReported) and event.request_id.endswith(":3"):
            late = replace(event, missing=event.booked and (event.booked[0].event_id,), booked=event.booked[1:])
            assert core.decide(state, late, 0) == (late,)
            waiting = core.evolve(state, late)
            (again,) = core.decide(waiting, AskAgain(ts_event=0, ts_init=0), 0)
            assert isinstance(again, BooksRequested)
            assert again.request_id.endswith(":4")
            assert sorted(again.booked) == ["PX-000001", "PX-000002"]
            return
        state = core.evolve(state, event)
    raise AssertionError("no third answer")


def test_an_answer_to_an_older_question_changes_nothing(evening: Evening) -> None:
    evening.night()
    node = evening.chain.nodes["holdings"]
    for kind in (BooksReported, FundsQuoted, HoldingsOrderEnded):
        old = evening.of("holdings", kind)[0]
        assert node.assembly.core.decide(evening.holdings, old, 0) == ()


def test_what_was_gained_before_the_first_night_is_not_set_aside(evening: Evening) -> None:
    evening.night(gain=1_000)
    (first,) = evening.of("holdings", GainsAllocated)
    assert first.gain_micros == 0
    assert evening.balance("1030") == 0


# --- what operators ask for ----------------------------------------------------------------------------------------


class Asked:
    """What a command has to carry it out: the node decides and commits as the runtime does."""

    def __init__(self, evening: Evening) -> None:
        self._node = evening.chain.nodes["holdings"]

    @property
    def state(self) -> Any:
        return self._node.state

    def decided(self, message: Any) -> Any:
        return self._node.assembly.core.decide(self._node.state, message, message.ts_init)

    def follow(self, events: Any) -> None:
        for event in events:
            self._node.state = self._node.assembly.core.evolve(self._node.state, event)


def request_of(kind: type[Any], evening: Evening, seconds: int, *, is_rebalance: bool) -> Any:
    at = plan_of(FIRST_DAY).flatten_ns + seconds * 1_000_000_000
    fields = {"command_id": "c", "expires_boot_ns": 1, "operator": "olga", "receiver": "holdings"}
    more = {"halt_counter": 0, "reason": "a test"} if kind is RunHoldings else {}
    return kind(ts_event=at, ts_init=at, is_rebalance=is_rebalance, **fields, **more)


def test_a_rebalance_that_an_operator_asks_for_is_done_in_the_next_night_without_a_band(tmp_path: Path) -> None:
    evening = Evening(tmp_path, {**HOLDINGS, "band_percent": "20", "is_auto_rebalance": False})
    evening.night()
    shell: Any = evening.chain.nodes["holdings"].assembly
    command = request_of(RunHoldings, evening, 3_600, is_rebalance=True)
    assert "next window" in shell.on_request(command, Asked(evening)).detail
    evening.prices["AAA"] = 110.0
    evening.night()
    kinds = [one.kind for one in evening.of("holdings", NightStepped)]
    assert kinds == ["ALLOCATE", "SELL_FOR_REBALANCE", "ALLOCATE", "BUY"]
    assert evening.holdings.last_rebalance == "2025-03-11"
    evening.prices["AAA"] = 121.0
    evening.night()
    assert "SELL_FOR_REBALANCE" not in [one.kind for one in evening.of("holdings", NightStepped)]
    evening.close()


def test_a_run_that_an_operator_asks_for_in_the_window_begins_at_once(evening: Evening) -> None:
    evening.night(last=60)
    node = evening.chain.nodes["holdings"]
    command = request_of(RunHoldings, evening, 61, is_rebalance=True)
    deciding = Asked(evening)
    seen: list[Any] = []
    deciding.follow = seen.extend  # type: ignore[method-assign] # looked at, not carried out
    assert "begins now" in node.assembly.on_request(command, deciding).detail
    began = next(event for event in seen if isinstance(event, NightBegan))
    assert (began.run_id, began.is_asked, began.is_rebalance_due) == ("2025-03-10-2", True, True)
    assert isinstance(seen[-1], BooksRequested)


def test_a_preview_says_what_the_next_run_would_do_and_changes_nothing(evening: Evening) -> None:
    node = evening.chain.nodes["holdings"]
    question = request_of(PreviewHoldings, evening, 61, is_rebalance=False)
    assert not node.assembly.on_request(question, Asked(evening)).is_done
    evening.night()
    before = evening.holdings
    said = node.assembly.on_request(question, Asked(evening))
    assert json.loads(said.body) == ["at the prices of 2025-03-10", "nothing is to be done", "cash then $1,000.00"]
    assert evening.holdings is before


def test_an_order_to_holdings_that_are_switched_off_is_refused(tmp_path: Path) -> None:
    evening = Evening(tmp_path, {"is_enabled": False})
    command = request_of(RunHoldings, evening, 0, is_rebalance=True)
    said = evening.chain.nodes["holdings"].assembly.on_request(command, Asked(evening))
    assert (said.is_done, said.detail) == (False, "the holdings are switched off")
    evening.close()
