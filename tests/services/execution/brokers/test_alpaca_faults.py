"""The whole way of a trade through execution and Alpaca's adapter, with each request on it spoiled in each way.

A playbook buys, is protected, leaves and is closed. Whatever one request meets, no order is there twice, every
execution is booked once, nothing is held or open at the end, and the chain halts only where a person has to act.
"""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from alpaca_bench import SECOND, Bench, opened_bench
from exchange import MICROS, NANOS
from fault_proxy import Fault, Request

from bus import messages as m
from services.execution.orders import OrderState

SHARES = 100
#: Real time is only lost where somebody is silent.
CALL_NS = SECOND // 4
#: An order that nobody finds is given up after a minute of answers; everything else is settled long before.
PATIENCE_S = 180

#: What becomes of one request. All but the last are over by themselves.
OUTCOMES: dict[str, dict[str, Any]] = {
    "silent before": {"kind": "silent_before"},
    "silent after": {"kind": "silent_after"},
    "late": {"kind": "late"},
    "reset before": {"kind": "reset_before"},
    "reset after": {"kind": "reset_after"},
    "500 after": {"kind": "status_after", "status": 500},
    "503 before": {"kind": "status_before", "status": 503},
    "504 after": {"kind": "status_after", "status": 504},
    "429": {"kind": "status_before", "status": 429, "headers": {"Retry-After": "2"}},
    "truncated": {"kind": "truncated"},
    "garbage": {"kind": "garbage"},
    "401": {"kind": "status_before", "status": 401},
}
#: Which request is spoiled: method, path, and how many like it come before it on the way.
PHASES: dict[str, tuple[str, str, int]] = {
    "entry": ("POST", "/v2/orders", 0),
    "stop": ("POST", "/v2/orders", 1),
    "exit": ("POST", "/v2/orders", 2),
    "cancel": ("DELETE", "/v2/orders/.*", 0),
    "look-up": ("GET", "/v2/orders:by_client_order_id", 0),
    "executions": ("GET", "/v2/account/activities/FILL", 1),
    "open orders": ("GET", "/v2/orders", 2),
    "account": ("GET", "/v2/account", 1),
}
#: Where 401 meets a request that only asks, a person is called as well.
CALLS_A_PERSON = "401"


class Trade:
    """One trade of 100 SPY, played by execution over the line; `line` is spoiled as the test says."""

    def __init__(self, bench: Bench, kit: Any) -> None:
        self.bench, self.kit = bench, kit
        self.quote(10_000)
        self.rig = kit.Rig(self._broker()).armed()
        self.steps = 0

    def _broker(self) -> Any:
        return self.bench.restart(call_ns=CALL_NS, clock=lambda: self.rig.boot_ns if hasattr(self, "rig") else 0)

    def restart(self) -> None:
        """Let the process die, and a new one begin with its journal."""
        old = self.rig
        self.rig = self.kit.Rig(self._broker(), journal=old.journal)
        self.rig.boot_ns, self.rig.now_ns = old.boot_ns, old.now_ns
        self.rig.start()

    def quote(self, bid_cents: int) -> None:
        price = bid_cents * MICROS // 100
        self.bench.exchange.set_quote("SPY", price, price + 20_000)

    def tick(self, at_s: int) -> None:
        """Let the bot hear quotes at this second of the session."""
        self.steps += 1
        self.rig.market(self.kit.spy(self.steps, at_s=at_s))

    def let(self, seconds: int, until: Any) -> None:
        """Let time pass until something holds, at most for so long."""
        for second in range(seconds):
            if until():
                return
            self.rig.idle_for(1, every=0.5)
            if second == 3:
                self.bench.line.release_late()

    @property
    def orders(self) -> list[Any]:
        return self.rig.state.orders()

    @property
    def is_over(self) -> bool:
        state = self.rig.state
        return not state.has_open_orders and not state.open_intents()

    def held(self) -> int:
        return self.bench.exchange.positions.get("SPY", 0)

    def is_protected(self) -> bool:
        """Tell whether what is held has a stop at the broker, or nothing is held and nothing waits."""
        stops = [one for one in self.bench.exchange.open_orders() if one.ticket.order_type == "TRAILING_STOP"]
        known = sum(one.ticket.qty_nanos for one in stops) == self.held()
        return known and all(one.state is OrderState.WORKING or not one.is_open for one in self.orders)

    def play(self) -> None:
        """Enter, wait for the protection, leave, and wait for the end."""
        self.tick(1)
        self.rig.give(self.kit.submit())
        self.let(PATIENCE_S, lambda: self.is_over or (self.held() and self.is_protected()))
        self.tick(3600)
        self.let(PATIENCE_S, lambda: self.is_over)

    def hold(self) -> None:
        """Hold what has to be true at the end, whatever happened."""
        exchange = self.bench.exchange
        names = [one.ticket.client_id for one in exchange.all_orders()]
        assert len(names) == len(set(names))
        for side in ("BUY", "SELL"):
            traded = sum(one.qty_nanos for one in exchange.trades() if one.side == side)
            assert traded in {0, SHARES * NANOS}, f"{side}: {traded}"
        booked = [one for one in self.rig.journal if isinstance(one, m.OrderFilled)]
        assert len({one.execution_id for one in booked}) == len(booked) == len(exchange.trades())
        assert sum(one.qty_nanos for one in booked) == sum(one.qty_nanos for one in exchange.trades())
        assert self.held() == 0
        assert exchange.open_orders() == []
        assert self.is_over


@pytest.fixture
def trade(kit: Any) -> Iterator[Trade]:
    with opened_bench() as bench:
        yield Trade(bench, kit)


@pytest.mark.parametrize("phase", list(PHASES))
@pytest.mark.parametrize("outcome", [name for name in OUTCOMES if name != CALLS_A_PERSON])
def test_a_trade_when_a_request_on_its_way_is_spoiled_then_it_ends_as_if_nothing_had_been(
    trade: Trade, outcome: str, phase: str
) -> None:
    method, path, skips = PHASES[phase]
    fault = trade.bench.line.spoil(method, path, skips=skips, **OUTCOMES[outcome])
    trade.play()
    assert fault.times == 0, "the request never came"
    trade.hold()
    assert trade.rig.halts == []


@pytest.mark.parametrize("phase", list(PHASES))
def test_a_trade_when_the_keys_are_refused_on_its_way_then_a_person_is_called_and_nothing_is_doubled(
    trade: Trade, phase: str
) -> None:
    method, path, skips = PHASES[phase]
    fault = trade.bench.line.spoil(method, path, skips=skips, **OUTCOMES[CALLS_A_PERSON])
    trade.play()
    assert fault.times == 0
    [(rule, words), *_others] = trade.rig.halts
    assert rule == "broker_failure"
    assert "alpaca_trading_key" in words
    names = [one.ticket.client_id for one in trade.bench.exchange.all_orders()]
    assert len(names) == len(set(names))


def test_a_trade_when_the_process_dies_after_each_request_then_the_next_one_ends_it(kit: Any) -> None:
    for skips in range(3):
        with opened_bench() as bench:
            trade = Trade(bench, kit)
            bench.line.spoil("POST", "/v2/orders", "reset_after", skips=skips)
            trade.tick(1)
            trade.rig.give(kit.submit())
            trade.let(5, lambda trade=trade, skips=skips: trade.bench.posts() > skips)
            if skips == 2:
                trade.tick(3600)
                trade.let(10, lambda trade=trade: trade.bench.posts() > 2)
            trade.restart()
            trade.let(PATIENCE_S, lambda trade=trade: trade.held() == 0 or trade.is_protected())
            trade.tick(3601)
            trade.let(PATIENCE_S, lambda trade=trade: trade.is_over)
            trade.hold()
            assert trade.rig.halts == []


def test_a_trade_when_the_line_is_cut_for_a_minute_then_it_ends_as_if_nothing_had_been(trade: Trade) -> None:
    trade.tick(1)
    trade.rig.give(trade.kit.submit())
    trade.bench.line.cut()
    trade.rig.idle_for(60, every=2)
    assert trade.rig.halts == []
    trade.bench.line.mend()
    trade.let(PATIENCE_S, trade.is_protected)
    trade.tick(3600)
    trade.let(PATIENCE_S, lambda: trade.is_over)
    trade.hold()


@pytest.mark.parametrize("seed", range(8))
def test_a_trade_when_a_sixth_of_all_requests_is_spoiled_then_it_ends_as_if_nothing_had_been(
    trade: Trade, seed: int
) -> None:
    chance = random.Random(seed)
    # Silence is left out only because it takes real time; the playbooks above have it at each place.
    kinds = [name for name in OUTCOMES if name not in {"silent before", "silent after", "late", CALLS_A_PERSON}]

    def spoiled(request: Request) -> Fault | None:
        kind = OUTCOMES[chance.choice(kinds)]
        return Fault(request.method, ".*", **kind) if chance.random() < 1 / 6 else None

    trade.bench.line.chooser = spoiled
    trade.play()
    trade.hold()
    assert trade.rig.halts == []


def test_an_entry_when_it_fills_in_part_and_its_stop_would_be_a_wash_trade_then_it_is_sold_and_a_person_is_told(
    trade: Trade,
) -> None:
    trade.bench.exchange.set_quote("SPY", 100 * MICROS, 100 * MICROS + 20_000, ask_nanos=60 * NANOS)
    trade.tick(1)
    trade.rig.give(trade.kit.submit())
    trade.let(30, lambda: trade.is_over)
    assert [one.ticket.side for one in trade.bench.exchange.trades()] == ["BUY", "SELL"]
    assert trade.held() == 0
    assert trade.bench.exchange.open_orders() == []
    [(_rule, words)] = trade.rig.halts
    assert "potential wash trade" in words
