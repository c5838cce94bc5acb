"""Twenty thousand generated signals against an oracle that keeps books of its own and knows no check.

Hypothesis draws every choice of a play, so one that breaks a limit is cut down to the simplest that does. The oracle
hears the same world in dollars, shares and seconds as exact fractions. It judges every approval by the limits as an
operator writes them; what is denied it does not judge, but each limit has to bind now and then.
"""

import random
from collections import Counter, deque
from fractions import Fraction
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bus.messages import MICROS, NANOS, HaltRaised, Quote, QuoteBatch, SubmitOrder

NAMES: Final = tuple(f"N{number}" for number in range(12))
PLAYS: Final = 400
#: In each play; together they are twenty thousand.
SIGNALS: Final = 50
#: Rules that have to bind at least once in all plays together, or the generator proves nothing.
BINDING: Final = {
    "allocation",
    "already_open",
    "buying_power",
    "daily_loss",
    "max_open_positions",
    "not_tradable",
    "order_notional",
    "orders_per_minute",
    "orders_per_second",
    "position_per_symbol",
    "price_collar",
    "repeated_order",
    "restricted",
    "signal_expired",
    "size_zero",
    "spread",
    "stale_quote",
    "trades_per_day",
}


class Oracle:
    """The limits in an operator's units, and books in exact fractions of dollars and shares."""

    def __init__(self, rng: random.Random) -> None:
        self.cash = Fraction(rng.choice((2_000, 100_000, 5_000_000)))
        self.power = self.cash * Fraction(rng.choice((10, 60, 100, 200)), 100)
        self.allocation = Fraction(rng.choice((20, 50, 100)), 100)
        self.risk = Fraction(rng.choice((5, 25, 100)), 10_000)
        self.positions = rng.choice((1, 3, 8))
        self.per_symbol = Fraction(rng.choice((1, 5, 40)), 100)
        self.notional = Fraction(rng.choice((100, 5_000, 60_000)))
        self.shares = Fraction(rng.choice((20, 1_000)))
        self.loss = Fraction(rng.choice((5, 40)), 1_000)
        self.spread = Fraction(15, 1_000)
        self.collar = Fraction(5, 100)
        self.per_second, self.per_minute, self.per_day = rng.choice(((2, 8, 40), (4, 30, 90), (3, 10, 9)))
        self.repeats = 3
        self.is_fractional = rng.random() < 0.4
        self.restricted = frozenset(rng.sample(NAMES, 1))
        self.untradable = frozenset(rng.sample(NAMES, 1))
        self.whole = frozenset(rng.sample(NAMES, 4))
        self.held: dict[str, list[Fraction]] = {}
        self.working: dict[str, list[Fraction]] = {}
        self.spent = self.realized = Fraction(0)
        self.asks: dict[str, Fraction] = {}
        self.bids: dict[str, Fraction] = {}
        self.marks: dict[str, Fraction] = {}
        self.heard: dict[str, int] = {}
        self.approved: deque[tuple[int, str, Fraction, Fraction]] = deque()
        self.total = 0

    def limits(self) -> dict[str, Any]:
        """Return the same limits as the service reads them."""
        return {
            "total_allocation_ppm": int(self.allocation * 1_000_000),
            "max_risk_per_trade_ppm": int(self.risk * 1_000_000),
            "max_open_positions": self.positions,
            "position_per_symbol_ppm": int(self.per_symbol * 1_000_000),
            "order_notional_max_micros": int(self.notional * MICROS),
            "order_max_nanos": int(self.shares * NANOS),
            "is_fractional": self.is_fractional,
            "daily_loss_limit_ppm": int(self.loss * 1_000_000),
            "trades_per_day_max": self.per_day,
            "orders_per_second_max": self.per_second,
            "orders_per_minute_max": self.per_minute,
            "min_volume_nanos": 0,
            "restricted": self.restricted,
        }

    def committed(self) -> Fraction:
        """Return what is held at its cost and what is ordered at its ask."""
        return sum((cost for _, cost in self.held.values()), Fraction(0)) + self.reserved()

    def reserved(self) -> Fraction:
        """Return what orders may still cost."""
        return sum((qty * ask for qty, ask in self.working.values()), Fraction(0))

    def result(self) -> Fraction:
        """Return the day's result at the newest bids."""
        open_gain = sum((qty * self.marks[name] - cost for name, (qty, cost) in self.held.items()), Fraction(0))
        return self.realized + open_gain

    def faults(self, order: SubmitOrder, signal: Any, now_ns: int) -> list[str]:
        """Return every limit that this approval breaks."""
        name, qty = order.symbol, Fraction(order.qty_nanos, NANOS)
        ask, bid = self.asks[name], self.bids[name]
        cost, price = qty * ask, Fraction(signal.reference_micros, MICROS)
        opened = self.held.keys() | self.working.keys()
        broken = {
            "no quantity": qty <= 0,
            "fraction": qty.denominator > 1 and (not self.is_fractional or name in self.whole),
            "step": (qty * 10_000).denominator > 1,
            "reservation": Fraction(order.reference_micros, MICROS) != ask,
            "notional": cost > self.notional,
            "shares": qty > self.shares,
            "risk": cost * Fraction(signal.trail_bps, 10_000) > self.cash * self.risk,
            "share of positions": cost > self.cash * self.allocation / self.positions,
            "allocation": self.committed() + cost > self.cash * self.allocation,
            "symbol": cost > self.cash * self.per_symbol,
            "cash": cost > self.cash - self.spent - self.reserved(),
            "power": cost > self.power - self.spent - self.reserved(),
            "positions": len(opened) >= self.positions,
            "second position": name in opened,
            "spread": (ask - bid) > ask * self.spread,
            "crossed": bid >= ask,
            "stale": abs(now_ns - self.heard[name]) > 2_000_000_000,
            "collar": abs(ask - price) > price * self.collar,
            "expired": now_ns > signal.expires_ns,
            "loss": self.result() < -self.cash * self.loss,
            "restricted": name in self.restricted,
            "untradable": name in self.untradable,
            "day": self.total >= self.per_day,
            "second": self._within(now_ns, 1) >= self.per_second,
            "minute": self._within(now_ns, 60) >= self.per_minute,
            "repeat": self._equal(now_ns, name, qty, ask) >= self.repeats,
        }
        return [limit for limit, is_broken in broken.items() if is_broken]

    def _within(self, now_ns: int, seconds: int) -> int:
        return sum(at_ns > now_ns - seconds * 1_000_000_000 for at_ns, *_ in self.approved)

    def _equal(self, now_ns: int, name: str, qty: Fraction, ask: Fraction) -> int:
        return sum(at_ns > now_ns - 10_000_000_000 and same == [name, qty, ask] for at_ns, *same in self.approved)

    def approve(self, order: SubmitOrder, now_ns: int) -> None:
        """Keep an approval in the books."""
        qty, ask = Fraction(order.qty_nanos, NANOS), Fraction(order.reference_micros, MICROS)
        self.working[order.symbol] = [qty, ask]
        self.approved.append((now_ns, order.symbol, qty, ask))
        self.total += 1


class Play:
    """One session of random events: the service on one side, the oracle on the other."""

    def __init__(self, new_world: type[Any], rng: random.Random) -> None:
        self.rng = rng
        self.oracle = Oracle(self.rng)
        self.world = new_world(**self.oracle.limits())
        self.intents: dict[str, str] = {}
        self.rules: Counter[str] = Counter()
        world, oracle = self.world, self.oracle
        account = replace(world.account(cash=int(oracle.cash)), buying_power_micros=int(oracle.power * MICROS))
        world.hear(world.plan(), world.armed(), world.candidates(*NAMES), account, world.bars(*NAMES))
        for name in NAMES:
            flags = {"is_tradable": name not in oracle.untradable, "is_fractionable": name not in oracle.whole}
            world.hear(world.assets(name, **flags))
            self.quote(name, self.rng.randint(2_00, 900_00))

    def quote(self, name: str, ask: int | None = None, gap: int | None = None, age_ns: int | None = None) -> None:
        """Hear a quote: mostly narrow and new; now and then wide, crossed, or old."""
        rng, oracle = self.rng, self.oracle
        if ask is None:
            ask = max(int(oracle.asks[name] * 100 * Fraction(rng.randint(970, 1030), 1_000)), 1_00)
        if gap is None:
            gap = rng.choice((*[1] * 12, max(ask // 70, 1), max(ask // 60, 1), -1, 0))
        if age_ns is None:
            age_ns = rng.choice((*[0] * 12, 2_000_000_000, 2_000_000_001))
        at_ns = self.world.now - age_ns
        row = Quote(name, (ask - gap) * 10_000, ask * 10_000, 100 * NANOS, 100 * NANOS, at_ns)
        self.world.hear(QuoteBatch.of((row,), ts_event=self.world.now, ts_init=self.world.now, step=1))
        oracle.asks[name], oracle.bids[name] = Fraction(ask, 100), Fraction(ask - gap, 100)
        oracle.heard[name] = at_ns
        if gap >= 0:
            # The result is reckoned with the last bid that was not above its ask.
            oracle.marks[name] = oracle.bids[name]

    def ask_for(self, number: int) -> None:
        """Raise a signal and judge what comes of it."""
        rng, world, oracle = self.rng, self.world, self.oracle
        name = rng.choice(NAMES)
        if rng.random() < 0.9:
            self.quote(name, rng.choice((None, int(oracle.asks[name] * 100))))
        reference = int(oracle.asks[name] * MICROS * Fraction(rng.choice((*[100] * 12, 96, 105, 106, 94)), 100))
        signal = world.signal(
            name,
            signal_id=f"s{number}",
            reference_micros=reference,
            trail_bps=rng.choice((50, 200, 1_000)),
            expires_ns=world.now + rng.choice((*[5] * 12, 0, -1)) * 1_000_000_000,
        )
        self.judge(signal)

    def judge(self, signal: Any) -> None:
        """Let the service answer, and judge an approval by the oracle."""
        world, oracle = self.world, self.oracle
        event, *more = world.hear(signal)
        if not isinstance(event, SubmitOrder):
            self.rules[event.rule] += 1
            if any(isinstance(one, HaltRaised) for one in more):
                world.hear(world.armed())
            return
        self.rules["approved"] += 1
        assert oracle.faults(event, signal, world.now) == [], event
        oracle.approve(event, world.now)
        self.intents[event.symbol] = event.intent_id

    def ask_again_and_again(self, first: int, times: int) -> None:
        """Raise the same signal at the same price, a second apart, each approval ending without a fill."""
        name, world = self.rng.choice(NAMES), self.world
        cents = int(self.oracle.asks[name] * 100)
        for number in range(first, first + times):
            world.now += 1_000_000_000
            self.quote(name, cents, gap=1, age_ns=0)
            self.judge(world.signal(name, signal_id=f"s{number}", trail_bps=200, expires_ns=world.now + 1_000_000_000))
            if name in self.oracle.working:
                del self.oracle.working[name]
                self._close(name)

    def trade(self) -> None:
        """Fill, end or sell something that is open."""
        rng, oracle = self.rng, self.oracle
        if oracle.working and rng.random() < 0.7:
            self._fill_or_end(rng.choice(sorted(oracle.working)))
        elif oracle.held:
            self._sell(rng.choice(sorted(oracle.held)))

    def _fill_or_end(self, name: str) -> None:
        qty, ask = self.oracle.working.pop(name)
        if self.rng.random() < 0.5:
            # The approval is gone without a fill, so the same order may come again at once.
            self._close(name)
            return
        price = Fraction(int(ask * 100), 100)
        self.oracle.held[name] = [qty, qty * price]
        self.oracle.spent += qty * price
        self._tell(name, qty, price, "BUY")

    def _sell(self, name: str) -> None:
        qty, cost = self.oracle.held.pop(name)
        cents = int(self.oracle.asks[name] * 100)
        lost = self.rng.choice((*[0] * 30, *[1] * 30, *[30] * 10, cents // 2))
        price = Fraction(max(cents - lost, 1_00), 100)
        self.oracle.spent -= qty * price
        self.oracle.realized += qty * price - cost
        self._tell(name, qty, price, "SELL")
        self._close(name)

    def _tell(self, name: str, qty: Fraction, price: Fraction, side: str) -> None:
        nanos = int(qty * NANOS)
        ids = {"intent_id": self.intents[name], "client_order_id": f"{self.intents[name]} {side}"}
        fill = self.world.fill(name, side=side, cents=int(price * 100), qty_nanos=nanos, order_qty_nanos=nanos, **ids)
        self.world.hear(replace(fill, cumulative_qty_nanos=nanos))

    def _close(self, name: str) -> None:
        self.world.hear(replace(self.world.closed(name), intent_id=self.intents.pop(name)))


@settings(
    max_examples=PLAYS,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(rng=st.randoms(use_true_random=True))
def test_twenty_thousand_orders_when_generated_then_none_is_approved_beyond_a_limit(
    new_world: type[Any], rules_met: Counter[str], rng: random.Random
) -> None:
    play = Play(new_world, rng)
    for number in range(SIGNALS - 6):
        if rng.random() < 0.7:
            play.world.now += rng.choice((1, 100, 500, 1_000, 5_000)) * 1_000_000
        play.quote(rng.choice(NAMES))
        if rng.random() < 0.5:
            play.trade()
        play.ask_for(number)
    play.ask_again_and_again(SIGNALS - 6, 6)
    assert play.rules.total() == SIGNALS
    rules_met.update(play.rules)


def test_the_generated_orders_when_all_are_judged_then_every_limit_has_bound(rules_met: Counter[str]) -> None:
    assert rules_met.total() >= PLAYS * SIGNALS == 20_000
    assert rules_met["approved"] > PLAYS * SIGNALS // 20
    assert {rule for rule in BINDING if not rules_met[rule]} == set()


@pytest.fixture(scope="module")
def rules_met() -> Counter[str]:
    """Return how often each rule was met, over all plays."""
    return Counter()
