"""The screener's decider: every rule with its reason, the unknown, the order, the bounds, once a session."""

import pytest
from msgspec.structs import replace

from bus.codec import FRAME_BYTES_MAX, decode_message, encode_message
from bus.messages import (
    MICROS,
    NANOS,
    CandidatesRanked,
    FeedEnded,
    ListedPut,
    Message,
    OptionsListed,
    Reason,
    SessionPlanned,
)
from services.screener.core import ScreenerCore, ScreenerState, rank
from services.screener.settings import ScreenerSettings
from services.screener.universe import UniverseLoaded, UniverseRow

DAY = "2013-10-08"
SETTINGS = ScreenerSettings(
    candidates_max=100,
    source="generated",
    data_dir="",
    session_date=DAY,
    symbols=(),
    seed=7,
    price_min_micros=5 * MICROS,
    price_max_micros=1_000 * MICROS,
    gap_max_bps=1_500,
    volume_min_nanos=100_000 * NANOS,
    float_min_shares=1_000,
)
PLAN = SessionPlanned(
    ts_event=5,
    ts_init=5,
    session_date=DAY,
    open_ns=10,
    close_ns=20,
    is_half_day=False,
    is_trading_day=True,
    start_open_ns=10,
    start_mid_ns=11,
    start_close_ns=12,
    flatten_ns=19,
)


def row(symbol: str = "ABC", **changes: int) -> UniverseRow:
    usual = UniverseRow(
        symbol=symbol,
        prior_close_micros=48 * MICROS,
        prior_volume_nanos=2_000_000 * NANOS,
        price_micros=48_840_000,
        float_shares=50_000,
    )
    return replace(usual, **changes)


def universe(*rows: UniverseRow) -> UniverseLoaded:
    return UniverseLoaded(ts_event=5, ts_init=6, session_date=DAY, source="made here", rows=rows)


def ranked(*rows: UniverseRow, settings: ScreenerSettings = SETTINGS) -> CandidatesRanked:
    return rank(universe(*rows), settings, 7)


def reason(one: UniverseRow, rule: str, settings: ScreenerSettings = SETTINGS) -> Reason:
    said = ranked(one, settings=settings)
    reasons = (said.candidates or said.rejected)[0].reasons
    return next(each for each in reasons if each.rule == rule)


def test_rank_when_a_name_passes_then_every_rule_gives_a_reason_for_people() -> None:
    said = ranked(row())
    (candidate,) = said.candidates
    assert [(r.rule, r.value, r.threshold, r.passed) for r in candidate.reasons] == [
        ("price_min", "$48.84", ">= $5.00", True),
        ("price_max", "$48.84", "<= $1,000.00", True),
        ("gap", "+1.75 %", "<= 15.00 % either way", True),
        ("volume", "2,000,000 shares", ">= 100,000 shares", True),
        ("float", "50,000 shares", ">= 1,000 shares", True),
    ]
    assert (candidate.rank, candidate.score, candidate.gap_bps) == (1, 175, 175)
    assert (said.ts_event, said.ts_init, said.source, said.rejected_total) == (5, 7, "made here", 0)


@pytest.mark.parametrize(
    ("one", "rule", "value"),
    [
        (row(price_micros=4_990_000, prior_close_micros=4_900_000), "price_min", "$4.99"),
        (row(price_micros=1_000_010_000, prior_close_micros=990 * MICROS), "price_max", "$1,000.01"),
        (row(price_micros=40_790_000), "gap", "-15.03 %"),
        (row(price_micros=55_200_001), "gap", "+15.01 %"),
        (row(prior_volume_nanos=100_000 * NANOS - 1), "volume", "99,999 shares"),
        (row(float_shares=999), "float", "999 shares"),
    ],
)
def test_rank_when_one_rule_fails_then_only_that_reason_has_not_passed(one: UniverseRow, rule: str, value: str) -> None:
    said = ranked(one)
    assert (said.candidates, said.rejected_total) == ((), 1)
    failed = [each for each in said.rejected[0].reasons if not each.passed]
    assert [(each.rule, each.value) for each in failed] == [(rule, value)]
    assert len(said.rejected[0].reasons) == 5


@pytest.mark.parametrize(
    "one",
    [
        row(price_micros=5 * MICROS, prior_close_micros=5 * MICROS),
        row(price_micros=1_000 * MICROS, prior_close_micros=1_000 * MICROS),
        row(price_micros=55_200_000),
        row(price_micros=40_800_000),
        row(prior_volume_nanos=100_000 * NANOS),
        row(float_shares=1_000),
    ],
)
def test_rank_when_exactly_on_a_limit_then_it_passes(one: UniverseRow) -> None:
    assert len(ranked(one).candidates) == 1


def test_rank_when_the_price_is_unknown_then_price_and_gap_fail() -> None:
    said = ranked(row(price_micros=0))
    failed = [(each.rule, each.value) for each in said.rejected[0].reasons if not each.passed]
    assert failed == [("price_min", "unknown"), ("price_max", "unknown"), ("gap", "unknown")]


def test_rank_when_the_price_is_unknown_and_no_minimum_is_set_then_it_fails_still() -> None:
    assert not reason(row(price_micros=0), "price_min", replace(SETTINGS, price_min_micros=0)).passed


def test_rank_when_the_prior_close_is_unknown_then_the_gap_fails() -> None:
    assert reason(row(prior_close_micros=0), "gap").value == "unknown"
    assert ranked(row(prior_close_micros=0)).candidates == ()


@pytest.mark.parametrize(("field", "rule"), [("prior_volume_nanos", "volume"), ("float_shares", "float")])
def test_rank_when_volume_or_float_is_unknown_then_it_passes_and_says_so(field: str, rule: str) -> None:
    found = reason(row(**{field: 0}), rule)
    assert (found.value, found.passed) == ("unknown", True)


def test_rank_when_many_pass_then_gap_then_volume_then_symbol_order_them() -> None:
    said = ranked(
        row("DDD", price_micros=48 * MICROS),
        row("CCC"),
        row("BBB"),
        row("AAA", prior_volume_nanos=9_000_000 * NANOS),
        row("EEE", price_micros=45 * MICROS),
    )
    assert [(c.rank, c.symbol) for c in said.candidates] == [
        (1, "EEE"),
        (2, "AAA"),
        (3, "BBB"),
        (4, "CCC"),
        (5, "DDD"),
    ]
    assert said.candidates[0].gap_bps == -625
    assert said.candidates[0].score == 625


def test_rank_when_the_operator_wants_more_or_fewer_then_so_many_have_a_place() -> None:
    rows = [row(f"A{i:03d}") for i in range(700)]
    for wanted in (1, 500):
        said = ranked(*rows, settings=replace(SETTINGS, candidates_max=wanted))
        assert len(said.candidates) == wanted
        assert said.rejected_total == 700 - wanted
        assert len(encode_message(said)) <= FRAME_BYTES_MAX


def test_rank_when_over_a_hundred_pass_then_the_rest_are_rejected_for_their_place() -> None:
    said = ranked(*(row(f"A{i:03d}") for i in range(103)))
    assert len(said.candidates) == 100
    assert [(r.symbol, r.reasons[-1].rule, r.reasons[-1].value) for r in said.rejected] == [
        ("A100", "rank", "place 101"),
        ("A101", "rank", "place 102"),
        ("A102", "rank", "place 103"),
    ]


def test_rank_when_over_a_hundred_are_rejected_then_the_first_are_listed_and_all_counted() -> None:
    said = ranked(*(row(f"A{i:03d}", price_micros=1_000_000) for i in reversed(range(150))))
    assert [r.symbol for r in said.rejected] == [f"A{i:03d}" for i in range(50)]
    assert said.rejected_total == 150


def test_rank_when_nothing_is_loaded_then_the_list_is_empty() -> None:
    said = ranked()
    assert (said.candidates, said.rejected, said.rejected_total) == ((), (), 0)


def drive(core: ScreenerCore, state: ScreenerState, message: Message) -> tuple[ScreenerState, list[Message]]:
    events = list(core.decide(state, message, 7))
    for event in events:
        state = core.evolve(state, event)
    return state, events


def test_decide_when_the_session_is_planned_and_loaded_then_each_is_journaled_once() -> None:
    core = ScreenerCore(SETTINGS)
    state, events = drive(core, core.initial(), PLAN)
    assert events == [PLAN]
    state, events = drive(core, state, PLAN)
    assert events == []
    state, events = drive(core, state, universe(row()))
    assert [type(event) for event in events] == [CandidatesRanked]
    state, events = drive(core, state, universe(row("OTHER")))
    assert events == []


def test_decide_when_the_next_session_comes_then_it_is_ranked_too() -> None:
    core = ScreenerCore(SETTINGS)
    state, _ = drive(core, core.initial(), PLAN)
    state, _ = drive(core, state, universe(row()))
    state, events = drive(core, state, replace(PLAN, session_date="2013-10-09"))
    assert len(events) == 1
    _, events = drive(core, state, replace(universe(row()), session_date="2013-10-09"))
    assert [type(event) for event in events] == [CandidatesRanked]


def test_decide_when_puts_are_listed_then_each_name_is_said_once_a_session() -> None:
    core = ScreenerCore(SETTINGS)
    state, _ = drive(core, core.initial(), PLAN)
    first = OptionsListed(ts_event=1, ts_init=1, session_date=PLAN.session_date, underlying="AIG", puts=())
    for listed, count in (
        (first, 1),
        (first, 0),
        (replace(first, underlying="BAC"), 1),
        (first, 0),
        (replace(first, session_date="2013-10-09"), 1),
        (replace(first, session_date="2013-10-09", underlying="BAC"), 1),
    ):
        state, events = drive(core, state, listed)
        assert len(events) == count


def test_decide_when_a_live_chain_is_asked_for_again_then_the_newer_one_is_said() -> None:
    core = ScreenerCore(replace(SETTINGS, source="ibkr"))
    state, _ = drive(core, core.initial(), PLAN)
    first = OptionsListed(ts_event=5, ts_init=1, session_date=PLAN.session_date, underlying="AIG", puts=())
    for listed, count in ((first, 1), (first, 0), (replace(first, ts_event=6), 1), (first, 0)):
        state, events = drive(core, state, listed)
        assert len(events) == count


def test_list_of_puts_when_it_is_as_long_as_it_gets_then_it_fits_one_frame() -> None:
    puts = tuple(
        ListedPut(symbol=f"ABCDEF251219P{strike:08d}", open_interest=10**9, delta_ppm=10**6) for strike in range(200)
    )
    listed = OptionsListed(ts_event=1, ts_init=1, session_date="2013-10-09", underlying="ABCDEF", puts=puts)
    assert decode_message(encode_message(listed)) == listed


def test_decide_when_anything_else_comes_then_nothing_follows() -> None:
    core = ScreenerCore(SETTINGS)
    ended = FeedEnded(ts_event=1, ts_init=1, step=1, steps=1)
    state = core.initial()
    assert core.observe(state, ended) is state
    assert core.evolve(state, ended) is state
    assert (core.decide(state, ended, 7), core.settle(state, 7), core.snapshot(state, 7)) == ((), (), ())


def test_rank_when_the_list_is_as_long_as_it_gets_then_it_still_fits_one_frame() -> None:
    long = [row(f"LONGSYM.{i:03d}/ABCDEFGHIJK", prior_volume_nanos=10**9 * NANOS) for i in range(100)]
    dear = [row(f"LONGDEAR.{i:03d}/ABCDEFGHIJ", price_micros=10**12, float_shares=10**11) for i in range(100)]
    said = ranked(*long, *dear)
    assert (len(said.candidates), len(said.rejected)) == (100, 50)
    assert len(encode_message(said)) < FRAME_BYTES_MAX
