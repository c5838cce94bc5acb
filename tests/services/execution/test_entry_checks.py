"""The limits that execution holds an entry against by itself: each alone refuses, whatever risk has said."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from bus import messages as m
from bus.testing import a_plan
from services.execution.brokers.paper import PaperBroker
from services.execution.decisions import entry_of
from services.execution.entry_checks import EntryChecks
from services.execution.settings import EntryLimits

LIMITS = EntryLimits(
    notional_max_micros=10_002 * m.MICROS,
    qty_max_nanos=100 * m.NANOS,
    per_second_max=2,
    collar_ppm=50_000,
    quote_age_max_ns=2_000_000_000,
)
SECOND = 1_000_000_000
ASSET = m.AssetLine(symbol="SPY", is_tradable=True, is_fractionable=True, is_shortable=False)


class Case:
    """An entry for 100 SPY that nothing is wrong with: quoted a second ago at 100.00 to 100.02."""

    def __init__(self, desk: Any, kit: Any) -> None:
        self.kit = kit
        self.state = desk.state
        self.state.assets = {"SPY": ASSET}
        self.checks = EntryChecks(LIMITS)
        self.checks.hear(kit.spy(1))
        self.now = kit.OPEN_NS + 2 * SECOND
        self.is_external = False

    def entry(self, **changes: object) -> m.OrderPrepared:
        return entry_of(self.kit.submit(**changes), "acc", self.now)

    def refusal(self, **changes: object) -> str | None:
        return self.checks.refusal(self.state, self.entry(**changes), self.now, is_external=self.is_external)


@pytest.fixture
def case(desk: Any, kit: Any) -> Case:
    return Case(desk, kit)


def test_entry_when_nothing_is_wrong_then_may_leave(case: Case) -> None:
    assert case.refusal() is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shares": 101}, "101 shares: MAX_ORDER_SHARES is 100"),
        ({"shares": 0}, "0 shares"),
        ({"qty_nanos": 100 * m.NANOS + 1}, "100.000000001 shares: MAX_ORDER_SHARES is 100"),
        ({"reference_micros": 100_030_000}, "$10,003 for one entry: MAX_ORDER_NOTIONAL is $10,002"),
        ({"order_type": "LIMIT", "limit_micros": 101 * m.MICROS}, "$10,100 for one entry"),
        ({"reference_micros": 90 * m.MICROS}, "SPY: its price is more than 5 % from the newest ask"),
        ({"limit_micros": 95 * m.MICROS}, "SPY: its price is more than 5 % from the newest ask"),
        ({"symbol": "QQQ"}, "QQQ: the broker has not said yet whether it may be traded"),
    ],
)
def test_entry_when_it_is_wrong_itself_then_is_refused_in_words(
    case: Case, changes: dict[str, object], words: str
) -> None:
    assert str(case.refusal(**changes)).startswith(words)


@pytest.mark.parametrize(("price", "may"), [(95.019, True), (95.018, False), (105.021, True), (105.022, False)])
def test_entry_when_its_price_is_near_five_percent_of_the_ask_then_the_border_is_exact(
    case: Case, price: float, may: bool
) -> None:
    assert (case.refusal(shares=1, reference_micros=round(price * m.MICROS)) is None) is may


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("SPY", 0.0, 100.02, 0, 10), "SPY: no sound quote was heard"),
        (("SPY", 100.0, 0.0, 10, 0), "SPY: no sound quote was heard"),
        (("SPY", 100.1, 100.02, 10, 10), "SPY: no sound quote was heard"),
        (("SPY", 120.0, 120.02, 10, 10), "$12,002 for one entry"),
    ],
)
def test_entry_when_the_newest_quote_is_no_market_for_it_then_is_refused(
    case: Case, kit: Any, row: Any, words: str
) -> None:
    case.checks.hear(kit.quotes(2, row))
    assert str(case.refusal()).startswith(words)


def test_entry_when_its_quote_is_older_than_two_seconds_or_missing_then_is_refused(case: Case) -> None:
    case.now = case.kit.OPEN_NS + 3 * SECOND
    assert case.refusal() is None
    case.now += 1
    assert case.refusal() == "SPY: its newest quote is 2 s old: see MAX_QUOTE_AGE"
    case.checks = EntryChecks(LIMITS)
    assert case.refusal() == "SPY: no sound quote was heard"


def test_entry_when_the_settings_are_tighter_then_it_is_held_against_them(case: Case) -> None:
    case.checks = EntryChecks(replace(LIMITS, collar_ppm=15_000))
    case.checks.hear(case.kit.spy(1))
    assert case.refusal(reference_micros=100_000_000) is None
    words = "SPY: its price is more than 1.5 % from the newest ask: see EXECUTION_COLLAR"
    assert case.refusal(reference_micros=98_500_000) == words
    case.checks = EntryChecks(replace(LIMITS, quote_age_max_ns=SECOND))
    case.checks.hear(case.kit.spy(1))
    assert case.refusal() is None
    case.now += 1
    assert case.refusal() == "SPY: its newest quote is 1 s old: see MAX_QUOTE_AGE"


def test_entry_when_the_session_is_not_the_time_for_it_then_is_refused(case: Case) -> None:
    plan = a_plan()
    case.now = plan.open_ns - 1
    assert case.refusal() == "the session is not open"
    case.now = plan.flatten_ns
    assert case.refusal() == "the session takes no entries any more"
    case.now = plan.open_ns
    case.state.plan = replace(plan, is_trading_day=False)
    assert case.refusal() == "the session is not open"
    case.state.plan = None
    assert case.refusal() == "the session is not open"


def test_entry_when_the_symbol_is_restricted_or_somebody_elses_then_is_refused(case: Case) -> None:
    case.is_external = True
    assert str(case.refusal()).startswith("SPY: somebody else")
    case.is_external = False
    case.state.assets = {"SPY": m.AssetLine(symbol="SPY", is_tradable=False, is_fractionable=False, is_shortable=False)}
    assert case.refusal() == "SPY: the broker does not let it be traded"


def test_intent_when_an_entry_of_it_was_sent_then_no_other_one_leaves(case: Case) -> None:
    sent = case.entry()
    case.checks.note_sent(sent, case.now)
    assert case.refusal() is None, "the same order, which certainly did not get there"
    other = replace(sent, client_order_id="tb1-other", attempt=2)
    words = case.checks.refusal(case.state, other, case.now, is_external=False)
    assert words == f"an entry of this intent was sent already: {sent.client_order_id}"


def test_entries_when_more_come_in_a_second_than_allowed_then_the_next_second_takes_them(case: Case) -> None:
    for number in range(2):
        case.checks.note_sent(case.entry(intent_id=f"i-{number}"), case.now)
    assert str(case.refusal()).startswith("2 entries were sent within a second")
    case.now += SECOND
    assert case.refusal() is None


def test_entry_when_refused_by_execution_itself_then_expires_in_words_and_the_broker_never_sees_it(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker()), checks=EntryChecks(LIMITS)).armed()
    rig.market(kit.spy(1))
    assert kit.names(rig.give(kit.submit(shares=101))) == ["OrderPrepared:entry"]
    expired, closed = rig.idle()
    assert kit.names([expired, closed]) == ["OrderExpired", "IntentClosed"]
    assert expired.detail == "101 shares: MAX_ORDER_SHARES is 100"
    assert rig.broker.calls.count("submit") == 0
    good = kit.submit(intent_id="2013-10-08:open:SPY:BULLISH:2")
    assert kit.names(rig.give(good)) == ["OrderPrepared:entry", "OrderAccepted"]
