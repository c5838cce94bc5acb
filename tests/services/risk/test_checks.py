"""Every check denies what it is for, in words, and denies when its fact is missing."""

from collections.abc import Callable
from typing import Any

import pytest

from bus.messages import ChainDisarmed, HaltRaised, KillSwitchTripped, OrderDenied, SubmitOrder
from config.env_bot import BY_KEY
from services.risk.checks import CHECKS, WORDS_MAX

Prepare = Callable[[Any], None]


def _halt(world: Any, counter: int) -> HaltRaised:
    return HaltRaised(ts_event=1, ts_init=1, counter=counter, source="watchdog", rule="operator", detail="asked to")


def _trip(world: Any) -> None:
    tripped = KillSwitchTripped(ts_event=1, ts_init=1, session_date=world.DAY, pnl_micros=-1, limit_micros=0)
    world.state = world.core.evolve(world.state, tripped)


def _past(world: Any) -> None:
    world.now = world.OPEN - 1
    world.hear(world.quote())


def _flatten(world: Any) -> None:
    world.now = world.CLOSE - 5 * world.MINUTE
    world.hear(world.quote())


def _open(world: Any, *symbols: str) -> None:
    for symbol in symbols:
        world.hear(world.quote(symbol), world.fill(symbol, shares=1))


def _losing(world: Any) -> None:
    # 100 shares bought at 50.00 and marked at 29.99: 2,001 dollars lost, 2,000 allowed.
    world.hear(world.fill("BBB", shares=100), world.quote("BBB", 29_99, 30_00))


DENIALS: list[tuple[str, Prepare, dict[str, Any], str, str]] = [
    (
        "other_session",
        lambda w: None,
        {"session_date": "2013-10-07"},
        "signal of 2013-10-07",
        "session 2013-10-08",
    ),
    (
        "not_a_trading_day",
        lambda w: w.hear(w.plan(is_trading_day=False)),
        {},
        "not a trading day",
        "a trading day of",
    ),
    (
        "not_armed",
        lambda w: w.hear(ChainDisarmed(ts_event=1, ts_init=1, detail="stopped by ann")),
        {},
        "not armed: stopped by ann",
        "armed by an operator",
    ),
    ("halted", lambda w: w.hear(_halt(w, 1)), {}, "halt 1: asked to", "no halt"),
    ("kill_switch", _trip, {}, "the kill switch tripped", "not tripped"),
    ("session_phase", _past, {}, "13:29:59 UTC", "13:30:00 UTC to before 19:55:00 UTC"),
    ("session_phase", _flatten, {}, "19:55:00 UTC", "13:30:00 UTC to before 19:55:00 UTC"),
    ("exit_time_passed", lambda w: None, {"exit_at_ns": 1}, "its exit was due at 00:00:00 UTC", "an exit in"),
    (
        "not_a_candidate",
        lambda w: w.hear(w.quote("INV")),
        {"symbol": "INV"},
        "INV is not a candidate",
        "a candidate",
    ),
    ("books_disagree", lambda w: w.hear(w.fill("BBB", side="SELL")), {}, "BBB: execution", "no sale beyond"),
    (
        "unmarked_position",
        lambda w: w.hear(w.fill("UNHEARD")),
        {},
        "no bid heard for UNHEARD",
        "a bid for every",
    ),
    ("daily_loss", _losing, {}, "-$2,001.00 today", "a loss of at most $2,000.00"),
    ("missing_quote", lambda w: None, {"instrument": "ZZZ"}, "no quote of ZZZ was heard", "a quote of ZZZ"),
    ("one_sided_quote", lambda w: w.hear(w.quote(bid=0)), {}, "bid 1,000 shares at $0.00", "both sides"),
    ("one_sided_quote", lambda w: w.hear(w.quote(ask=0)), {}, "ask 1,000 shares at $0.00", "both sides"),
    ("one_sided_quote", lambda w: w.hear(w.quote(bid_size=0)), {}, "bid 0 shares", "both sides"),
    ("one_sided_quote", lambda w: w.hear(w.quote(ask_size=0)), {}, "ask 0 shares", "both sides"),
    ("crossed_quote", lambda w: w.hear(w.quote(bid=50_01)), {}, "bid $50.01, ask $50.00", "a bid below"),
    ("locked_quote", lambda w: w.hear(w.quote(bid=50_00)), {}, "bid and ask are both $50.00", "a bid below"),
    ("stale_quote", lambda w: w.hear(w.quote(ts=w.NOW - 2 * w.SECOND - 1)), {}, "2.1 s old", "at most 2.0 s"),
    (
        "stale_quote",
        lambda w: w.hear(w.quote(ts=w.NOW + 3 * w.SECOND)),
        {},
        "3.0 s ahead of the clock",
        "at most",
    ),
    (
        "price_jump",
        lambda w: None,
        {"reference_micros": 5_000_000},
        "ask $50.00, signal at $5.00",
        "less than 10",
    ),
    ("price_jump", lambda w: None, {"reference_micros": 500_000_000}, "signal at $500.00", "less than 10 times"),
    ("spread", lambda w: w.hear(w.quote(bid=11_82, ask=12_10)), {}, "2.32 % of $12.10", "at most 1.5 %"),
    (
        "volume",
        lambda w: w.hear(w.quote("DDD")),
        {"instrument": "DDD"},
        "no minute of DDD",
        "at least 50,000",
    ),
    (
        "already_open",
        lambda w: _open(w, "AAA"),
        {"signal_id": "another"},
        "AAA is open",
        "one position in AAA",
    ),
    (
        "already_open",
        lambda w: w.hear(w.signal()),
        {"signal_id": "another"},
        "AAA is open",
        "one position in AAA",
    ),
]


@pytest.mark.parametrize(("rule", "prepare", "changes", "value", "limit"), DENIALS)
def test_signal_when_one_fact_is_bad_then_its_rule_denies_in_words(
    new_world: type[Any], rule: str, prepare: Prepare, changes: dict[str, Any], value: str, limit: str
) -> None:
    world = new_world().ready()
    prepare(world)

    (denied,) = world.hear(world.signal(**changes))

    assert isinstance(denied, OrderDenied)
    assert denied.rule == rule
    assert value in denied.value
    assert limit in denied.limit


def test_signal_when_all_facts_are_good_then_it_is_approved(new_world: type[Any]) -> None:
    world = new_world().ready()
    assert isinstance(world.hear(world.signal())[-1], SubmitOrder)


@pytest.mark.parametrize(
    ("missing", "rule"),
    [
        ("plan", "no_session"),
        ("armed", "not_armed"),
        ("candidates", "not_a_candidate"),
        ("account", "account_unknown"),
        ("quotes", "missing_quote"),
        ("bars", "volume"),
        ("assets", "asset_unknown"),
    ],
)
def test_signal_when_an_input_never_came_then_denied(new_world: type[Any], missing: str, rule: str) -> None:
    world = new_world()
    world.hear(*(message for name, message in world.inputs().items() if name != missing))

    (denied,) = world.hear(world.signal())

    assert (type(denied), denied.rule) == (OrderDenied, rule)


def test_signal_when_nothing_at_all_is_known_then_denied(new_world: type[Any]) -> None:
    world = new_world()
    assert [event.rule for event in world.hear(world.signal())] == ["no_session"]


@pytest.mark.parametrize(("late_ns", "is_approved"), [(0, True), (1, False)])
def test_signal_when_at_its_expiry_then_approved_and_a_moment_later_denied(
    new_world: type[Any], late_ns: int, is_approved: bool
) -> None:
    world = new_world().ready()
    last = world.hear(world.signal(expires_ns=world.now - late_ns))[-1]
    assert isinstance(last, SubmitOrder) == is_approved
    if not is_approved:
        assert (last.rule, last.value) == ("signal_expired", "0.1 s too late")


@pytest.mark.parametrize(("age_ns", "is_approved"), [(2_000_000_000, True), (2_000_000_001, False)])
def test_quote_when_exactly_as_old_as_allowed_then_it_still_counts(
    new_world: type[Any], age_ns: int, is_approved: bool
) -> None:
    world = new_world().ready()
    world.hear(world.quote(ts=world.now - age_ns))
    assert isinstance(world.hear(world.signal())[-1], SubmitOrder) == is_approved


@pytest.mark.parametrize(("bid", "is_approved"), [(98_50, True), (98_49, False)])
def test_spread_when_exactly_the_limit_then_allowed(new_world: type[Any], bid: int, is_approved: bool) -> None:
    world = new_world().ready()
    world.hear(world.quote(bid=bid, ask=100_00))
    assert isinstance(world.hear(world.signal())[-1], SubmitOrder) == is_approved


@pytest.mark.parametrize(("volume", "is_approved"), [(50_000, True), (49_999, False)])
def test_volume_when_exactly_the_threshold_then_enough(new_world: type[Any], volume: int, is_approved: bool) -> None:
    world = new_world()
    world.hear(*(m for name, m in world.inputs().items() if name != "bars"))
    world.hear(world.bars("AAA", volume=volume - 20_000, step=2), world.bars("AAA", volume=20_000, step=7))
    assert isinstance(world.hear(world.signal())[-1], SubmitOrder) == is_approved


def test_volume_when_traded_before_the_open_or_told_twice_then_not_counted(new_world: type[Any]) -> None:
    world = new_world()
    world.hear(*(m for name, m in world.inputs().items() if name != "bars"))
    world.hear(world.bars("AAA", volume=90_000, step=2, end=world.OPEN))
    world.hear(*[world.bars("AAA", volume=30_000, step=3)] * 2)

    (denied,) = world.hear(world.signal())

    assert (denied.rule, denied.value) == ("volume", "30,000 shares")


def test_positions_when_as_many_as_allowed_then_denied(new_world: type[Any]) -> None:
    world = new_world(max_open_positions=2).ready()
    assert isinstance(world.hear(world.signal("BBB"))[-1], SubmitOrder)
    assert isinstance(world.hear(world.signal("CCC"))[-1], SubmitOrder)

    (denied,) = world.hear(world.signal("AAA"))

    assert (denied.rule, denied.value, denied.limit) == (
        "max_open_positions",
        "2 positions and entries are open",
        "at most 2",
    )


def test_external_position_when_reported_then_it_counts_and_blocks_its_symbol(new_world: type[Any]) -> None:
    world = new_world(max_open_positions=2)
    world.hear(*({**world.inputs(), "account": world.account(BBB=7)}).values())
    assert [event.rule for event in world.hear(world.signal("BBB"))] == ["already_open"]
    assert isinstance(world.hear(world.signal("AAA"))[-1], SubmitOrder)
    assert [event.rule for event in world.hear(world.signal("CCC"))] == ["max_open_positions"]


def test_allocation_when_less_than_one_share_is_left_then_denied(new_world: type[Any]) -> None:
    world = new_world(max_open_positions=50).ready()
    world.hear(world.fill("BBB", shares=2_499, cents=20_00), world.quote("BBB", 19_99, 20_00))

    (denied,) = world.hear(world.signal())

    assert (denied.rule, denied.value, denied.limit) == (
        "allocation",
        "$49,980.00 in use, one share costs $50.00",
        "at most $50,000.00",
    )


def test_size_when_the_risk_of_one_share_is_too_much_then_denied(new_world: type[Any]) -> None:
    world = new_world()
    world.hear(*({**world.inputs(), "account": world.account(cash=300)}).values())

    (denied,) = world.hear(world.signal())

    assert (denied.rule, denied.value, denied.limit) == (
        "size_zero",
        "no whole share: MAX_RISK_PER_TRADE",
        "at least 1 share",
    )


def test_halt_when_an_operator_answers_it_then_approved_and_a_later_halt_denies(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(_halt(world, 3))
    assert [e.rule for e in world.hear(world.signal())] == ["halted"]

    world.hear(world.armed(halt_counter=3))
    assert isinstance(world.hear(world.signal("BBB"))[-1], SubmitOrder)

    assert world.hear(_halt(world, 3)) == []
    world.hear(_halt(world, 4))
    assert [e.rule for e in world.hear(world.signal("CCC"))] == ["halted"]


def test_halt_when_armed_for_an_older_halt_then_still_halted(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(_halt(world, 3), world.armed(halt_counter=2))
    assert [e.rule for e in world.hear(world.signal())] == ["halted"]


def test_checks_when_listed_then_each_has_a_name_a_question_and_a_real_setting() -> None:
    assert len({check.rule for check in CHECKS}) == len(CHECKS)
    for check in CHECKS:
        assert check.words.endswith("?")
        assert set(check.settings) <= set(BY_KEY)


def test_checks_when_several_facts_are_bad_then_the_first_of_the_table_denies(new_world: type[Any]) -> None:
    world = new_world()
    rules = []
    for name, message in world.inputs().items():
        rules += [event.rule for event in world.hear(world.signal(signal_id=f"before {name}"))]
        world.hear(message)
    assert rules == [
        "no_session",
        "not_armed",
        "not_a_candidate",
        "account_unknown",
        "missing_quote",
        "volume",
        "asset_unknown",
    ]
    order = [check.rule for check in CHECKS]
    assert sorted(rules, key=order.index) == rules


def test_denial_when_its_words_are_long_then_they_are_cut(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(ChainDisarmed(ts_event=1, ts_init=1, detail="x" * 400))
    (denied,) = world.hear(world.signal())
    assert len(denied.value) == WORDS_MAX


def test_halt_when_it_has_no_record_of_its_own_then_denied_until_armed_again(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(_halt(world, 0))
    assert [e.rule for e in world.hear(world.signal())] == ["not_armed"]
    world.hear(world.armed(halt_counter=0))
    assert isinstance(world.hear(world.signal("BBB"))[-1], SubmitOrder)
