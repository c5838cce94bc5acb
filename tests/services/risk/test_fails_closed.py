"""Every fact that the table of checks reads is taken away in turn, and each time the answer is no."""

from collections.abc import Callable
from typing import Any, Final

import pytest
from msgspec import Struct
from msgspec.structs import replace

from bus.messages import MICROS, QuoteBatch, SignalRaised
from services.risk import market as markets
from services.risk import portfolio as book
from services.risk.checks import CHECKS, first_denial
from services.risk.day import Day, Standing
from services.risk.facts import Facts
from services.risk.market import NO_MARKS, Market
from services.risk.pace import Pace
from services.risk.valuation import Valuation

Take = Callable[[Facts], Facts]


def _facts(world: Any) -> Facts:
    state = world.state
    return Facts(
        now_ns=world.now,
        limits=world.settings,
        day=state.day,
        market=state.market,
        valuation=Valuation(state.day.portfolio),
    )


def _day(**changes: Any) -> Take:
    return lambda facts: replace(facts, day=replace(facts.day, **changes))


def _market(**changes: Any) -> Take:
    return lambda facts: replace(facts, market=replace(facts.market, **changes))


#: What the table reads of the day and of the market, each taken away; and the rule that then denies.
FACTS: Final[dict[str, tuple[Take, str]]] = {
    "day.plan": (_day(plan=None), "no_session"),
    "day.standing": (_day(standing=Standing()), "not_armed"),
    "day.candidates_date": (_day(candidates_date=""), "not_a_candidate"),
    "day.candidates": (_day(candidates=frozenset()), "not_a_candidate"),
    "day.account": (_day(accounts={}), "account_unknown"),
    "day.start_equity_micros": (
        lambda facts: replace(
            facts,
            day=replace(facts.day, accounts={d: replace(a, cash_micros=0) for d, a in facts.day.accounts.items()}),
        ),
        # A cent was lost, and nothing may be.
        "daily_loss",
    ),
    "day.account.buying_power_micros": (
        lambda facts: replace(
            facts,
            day=replace(
                facts.day, accounts={d: replace(a, buying_power_micros=0) for d, a in facts.day.accounts.items()}
            ),
        ),
        "buying_power",
    ),
    "day.asset_of": (_day(assets={}), "asset_unknown"),
    "day.assets_date": (_day(assets_date="2013-10-07"), "asset_unknown"),
    "market.quote_of": (_market(board=markets.blank().board), "missing_quote"),
    "market.volumes": (_market(volumes=markets.blank().volumes), "volume"),
    "market.marks and bids": (
        lambda facts: replace(facts, market=replace(facts.market, marks=NO_MARKS, board=_board_without_bbb(facts))),
        "unmarked_position",
    ),
}
#: What the table reads to find out whether something bad is known. Nothing known is the good case, and none of it can
#: be lost alone: all of it is folded from the journal. What is known of it denies, in the tests of each check.
EVIDENCE: Final = {"day.is_tripped", "day.portfolio", "day.pace", "day.peak_micros", "day.reserved_micros"}


def _board_without_bbb(facts: Facts) -> Any:
    world_quote = facts.market.quote_of("AAA")
    assert world_quote is not None
    batch = QuoteBatch.of((world_quote,), ts_event=facts.now_ns, ts_init=facts.now_ns, step=1)
    return markets.blank().board.heard(batch)


@pytest.fixture
def holding(new_world: type[Any]) -> Any:
    """Return a world that holds one position and would approve a signal for another name."""
    world = new_world().ready()
    world.hear(world.fill("BBB", shares=1, cents=20_00), world.quote("BBB", 19_99, 20_00))
    return world


def test_signal_when_every_fact_is_there_then_nothing_denies(holding: Any) -> None:
    assert first_denial(holding.signal(), _facts(holding)) is None


@pytest.mark.parametrize("name", sorted(FACTS))
def test_signal_when_one_fact_is_taken_away_then_denied(holding: Any, name: str) -> None:
    take, rule = FACTS[name]
    denial = first_denial(holding.signal(), take(_facts(holding)))
    assert denial is not None
    assert denial.rule == rule


class _Watched:
    """Stands for a fact and notes what is read of it."""

    def __init__(self, name: str, real: object, reads: set[str]) -> None:
        self._name, self._real, self._reads = name, real, reads

    def __getattr__(self, part: str) -> Any:
        self._reads.add(f"{self._name}.{part}")
        return getattr(self._real, part)


def test_facts_when_the_table_reads_them_then_each_is_taken_away_above(holding: Any) -> None:
    reads: set[str] = set()
    real = _facts(holding)
    watched = Facts(
        now_ns=real.now_ns,
        limits=real.limits,
        day=_Watched("day", real.day, reads),
        market=_Watched("market", real.market, reads),
        valuation=real.valuation,
    )
    for check in CHECKS:
        assert check.find(holding.signal(), watched) is None, check.rule
    covered = {*FACTS, *EVIDENCE, "market.marks", "market.bids"}
    assert reads - covered == set(), "a check reads a fact that no test takes away"
    assert len(reads) > 12


def test_checks_when_no_fact_is_known_then_each_that_needs_one_denies_by_itself(new_world: type[Any]) -> None:
    world = new_world()
    blank, signal = _facts(world), world.signal(reference_micros=MICROS, exit_at_ns=1, expires_ns=1)
    passing = {check.rule for check in CHECKS if check.find(signal, blank) is None}
    assert passing == {check.rule for check in CHECKS if check.needs_evidence}


@pytest.mark.parametrize("name", [name for name in SignalRaised.__struct_fields__ if name.endswith(("_ns", "_micros"))])
def test_signal_when_a_number_of_its_own_is_nothing_then_denied(holding: Any, name: str) -> None:
    assert first_denial(holding.signal(**{name: 0}), _facts(holding)) is not None


#: A limit at nothing, and the rule that then denies whatever is asked for.
NO_ROOM: Final[dict[str, tuple[Any, str]]] = {
    "total_allocation_ppm": (0, "allocation"),
    "max_risk_per_trade_ppm": (0, "size_zero"),
    "max_open_positions": (0, "max_open_positions"),
    "position_per_symbol_ppm": (0, "position_per_symbol"),
    "order_notional_max_micros": (0, "order_notional"),
    "order_max_nanos": (0, "order_shares"),
    "trades_per_day_max": (0, "trades_per_day"),
    "orders_per_second_max": (0, "orders_per_second"),
    "orders_per_minute_max": (0, "orders_per_minute"),
    "repeated_orders_max": (0, "repeated_order"),
    "max_spread_ppm": (0, "spread"),
    "max_quote_age_ns": (-1, "stale_quote"),
    "price_collar_ppm": (-1, "price_collar"),
    "price_jump_percent": (100, "price_jump"),
    "min_volume_nanos": (2**62, "volume"),
    "daily_loss_limit_ppm": (-1, "daily_loss"),
    "enabled_strategies": (frozenset(), "strategy_disabled"),
    "is_broker_enabled": (False, "broker_disabled"),
}
#: What is no limit of an entry: a switch towards less, a list of what is forbidden, or a way of counting.
NOT_A_LIMIT: Final = {
    "is_fractional",
    "daily_loss_from",
    "repeats_window_ns",
    "broker_rejections_max",
    "rejections_window_ns",
    "restricted",
    "is_defending",
    "options",
    "broker_name",
    "entry_timeout_ns",
    "funds",
}


@pytest.mark.parametrize("name", sorted(NO_ROOM))
def test_limit_when_it_leaves_nothing_then_its_rule_denies(new_world: type[Any], name: str) -> None:
    value, rule = NO_ROOM[name]
    world = new_world(**{name: value}).ready()
    assert world.hear(world.signal())[0].rule == rule


def test_limits_when_listed_then_each_is_one_of_the_above(new_world: type[Any]) -> None:
    assert set(new_world.LIMITS) == {*NO_ROOM, *NOT_A_LIMIT}


def test_state_when_it_is_new_then_it_holds_no_fact_that_allows_anything(new_world: type[Any]) -> None:
    day, market = new_world().state.day, new_world().state.market
    assert isinstance(day, Day)
    assert isinstance(market, Market)
    assert (day.plan, day.account, day.candidates, day.assets) == (None, None, frozenset(), {})
    assert day.standing == Standing(is_armed=False)
    assert day.portfolio == book.EMPTY
    assert day.pace == Pace()
    assert isinstance(day.standing, Struct)
