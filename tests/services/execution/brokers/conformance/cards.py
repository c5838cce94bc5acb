"""What a card is, and what is asked of a broker that lacks what a card needs."""

import functools
from collections.abc import Callable, Mapping
from typing import Final

from conformance.rig import OTHER, SYMBOL, Outcome, Rig, micros

from bus import messages as m
from services.execution.brokers import reports as r
from services.execution.brokers.interface import NotFoundProof

Check = Callable[..., None]


def card(*needs: str) -> Callable[[Check], Check]:
    """Make a test a card. A rig that lacks one of `needs` is asked what `ABSENT` says of it instead."""

    def wrap(check: Check) -> Check:
        @functools.wraps(check)
        def played(rig: Rig, **more: object) -> None:
            for need in needs:
                if rig.lacks(need):
                    ABSENT[need](rig)
                    return
            check(rig, **more)

        played.needs = needs  # type: ignore[attr-defined] - read by the table
        return played

    return wrap


def is_embedded(rig: Rig) -> None:
    """In this house: no line can fail, and one look-up is proof."""
    assert rig.broker.not_found_proof == NotFoundProof(answers=1, over_ns=0)
    assert rig.broker.clock(rig.now_ns) is None
    assert rig.reports_of("tb1-never").state == "NOT_FOUND"
    assert isinstance(rig.submit("tb1-here", limit=50), r.BrokerAccepted)
    assert rig.reports_of("tb1-here").state == "WORKING"
    assert rig.listed() == ["tb1-here"]


def has_another_line(rig: Rig) -> None:
    """The line of this house cannot end a call so."""
    if rig.lacks("network"):
        is_embedded(rig)
        return
    assert isinstance(rig.submit("tb1-plain", limit=50), r.BrokerAccepted)
    rig.settle()
    assert rig.reports_of("tb1-plain").state == "WORKING"


def is_alone(rig: Rig) -> None:
    """Nobody else has a hand in the account."""
    rig.holds(10)
    rig.submit("tb1-mine", limit=50)
    assert rig.listed() == ["tb1-mine"]
    assert rig.positions() == {SYMBOL: 10 * m.NANOS}
    assert len(rig.executions()) == 1


def trades_everything(rig: Rig) -> None:
    """The house has no list of assets: everything may be traded, in fractions too."""
    lines = rig.broker.assets((OTHER, SYMBOL), rig.now_ns)
    assert [(a.symbol, a.is_tradable, a.is_fractionable) for a in lines] == [(OTHER, True, True), (SYMBOL, True, True)]
    assert rig.place("tb1-nobody-quotes", symbol="ZZZZZ", limit=5).state == "WORKING"
    assert rig.cancel("tb1-nobody-quotes").state == "CANCELLED"


def lends_nothing(rig: Rig) -> None:
    """Nothing is lent to be sold short."""
    rig.quote(SYMBOL, micros(100), micros(100.02))
    assert not rig.broker.assets((SYMBOL,), rig.now_ns)[0].is_shortable
    assert rig.place("tb1-short", "SELL").state == "REJECTED"
    assert rig.positions() == {}


def takes_whole_shares(rig: Rig) -> None:
    """Fractions are refused."""
    rig.quote(SYMBOL, micros(100), micros(100.02))
    assert rig.place("tb1-half", shares=0.5).state == "REJECTED"


def allows_both_sides(rig: Rig) -> None:
    """Orders of both sides may stand in one symbol."""
    rig.holds(10)
    assert rig.place("tb1-sell", "SELL", 10, limit=120).state == "WORKING"
    assert rig.place("tb1-buy", "BUY", 10, limit=80).state == "WORKING"


def has_no_fence(rig: Rig) -> None:
    """The house has no switch against new orders: the call changes nothing."""
    rig.broker.fence(is_up=True, now_ns=rig.now_ns)
    assert isinstance(rig.submit("tb1-through", limit=50), r.BrokerAccepted)


def has_no_clock(rig: Rig) -> None:
    """The house has no clock of its own."""
    assert rig.broker.clock(rig.now_ns) is None


def refuses_trailing_buys(rig: Rig) -> None:
    """A trailing stop can only sell."""
    rig.quote(SYMBOL, micros(100), micros(100.02))
    assert rig.place("tb1-trail", trail_bps=200).state == "REJECTED"


def refuses_options(rig: Rig) -> None:
    """Options are refused."""
    assert rig.place("tb1-put", symbol=rig.put, shares=1, limit=2).state == "REJECTED"


def keeps_no_hours(rig: Rig) -> None:
    """The house of this rig keeps no hours: an order stays open until it is cancelled."""
    assert rig.place("tb1-open", limit=50).state == "WORKING"
    assert rig.cancel("tb1-open").state == "CANCELLED"


def takes_nothing_back(rig: Rig) -> None:
    """An execution stands: nothing is taken back."""
    rig.holds(10)
    assert list(rig.broker.reversals([fill.execution_id for fill in rig.executions()], rig.now_ns)) == []


def tells_no_expiry(rig: Rig) -> None:
    """No expiry is told: the position is simply gone."""
    rig.holds(10)
    assert not any(isinstance(one, r.BrokerExpiry) for one in rig.broker.activities(rig.now_ns))


def lists_at_once(rig: Rig) -> None:
    """An execution is listed as it is made."""
    rig.place("tb1-a", shares=20, limit=110)
    for size in (10, 5, 5):
        rig.quote(SYMBOL, micros(100), micros(100.02), size, size)
        rig.settle()
    assert [fill.qty_nanos for fill in rig.executions()] == [size * m.NANOS for size in (10, 5, 5)]


def tells_no_money(rig: Rig) -> None:
    """No other money is told; where some moves, an operator tells it."""
    before = list(rig.broker.activities(rig.now_ns))
    rig.settle()
    assert [one.activity_id for one in rig.broker.activities(rig.now_ns)] == [one.activity_id for one in before]


#: Capability -> what is asked of a rig that lacks it. The first line of each docstring stands in the table.
ABSENT: Final[Mapping[str, Callable[[Rig], None]]] = {
    "network": is_embedded,
    "foreign": is_alone,
    "shorts": lends_nothing,
    "asset-list": trades_everything,
    "fractions": takes_whole_shares,
    "wash-rule": allows_both_sides,
    "fence": has_no_fence,
    "clock": has_no_clock,
    "trailing-buy": refuses_trailing_buys,
    "options": refuses_options,
    "sessions": keeps_no_hours,
    "corrections": takes_nothing_back,
    "expiries": tells_no_expiry,
    "late-listing": lists_at_once,
    "money": tells_no_money,
    **dict.fromkeys(Outcome, has_another_line),
}
