"""What an operator tells of the account because the broker does not: booked like the broker's own report, once."""

from collections.abc import Callable
from typing import Any

import pytest

from bus import messages as m
from bus.commands import Outcome
from bus.testing import a_plan

PUT = "SPY131011P00100000"
PUT_INTENT = f"2013-10-08:open:{PUT}:BEARISH"
DAY_NS = 86_400 * 1_000_000_000


class Deciding:
    """The runtime's part, over the tests' rig."""

    def __init__(self, rig: Any) -> None:
        self.rig = rig
        self.said: list[m.Message] = []

    @property
    def state(self) -> Any:
        return self.rig.state

    @property
    def now_ns(self) -> int:
        return self.rig.now_ns

    def decided(self, message: m.Message) -> Any:
        return self.rig.core.decide(self.rig.state, message, self.rig.now_ns)

    def follow(self, events: Any) -> None:
        for event in events:
            self.rig.state = self.rig.core.evolve(self.rig.state, event)
        self.said += events


@pytest.fixture
def house(open_broker: Callable[..., Any], kit: Any) -> Any:
    """Return a rig in the session whose broker tells of no money by itself."""

    class Silent(kit.Unreliable):
        """A broker that leaves money out."""

        tells_money = False

    rig = kit.Rig(Silent(open_broker()))
    rig.give(a_plan())
    rig.now_ns = kit.OPEN_NS
    return rig


def tell(rig: Any, kind: str, **more: Any) -> tuple[Outcome, list[m.Message]]:
    deciding = Deciding(rig)
    request = m.TellActivity(
        ts_event=rig.now_ns,
        ts_init=rig.now_ns,
        command_id="c1",
        expires_boot_ns=1,
        operator="olga",
        receiver="execution",
        halt_counter=0,
        reason="statement of October",
        kind=kind,
        **more,
    )
    return rig.shell.on_request(request, deciding), deciding.said


@pytest.mark.parametrize(
    ("kind", "symbol", "cents"), [("DIVIDEND", "SPY", 1_234), ("DEPOSIT", "", 500), ("FEE", "", -500)]
)
def test_money_when_told_then_the_ledger_hears_it_as_of_the_end_of_its_day_and_once(
    house: Any, kit: Any, kind: str, symbol: str, cents: int
) -> None:
    micros = abs(cents) * m.MICROS // 100
    outcome, (moved,) = tell(house, kind, symbol=symbol, amount_micros=micros, day="2013-10-07")
    assert outcome.is_done
    assert isinstance(moved, m.CashMoved)
    assert (moved.kind, moved.symbol, moved.amount_micros) == (kind, symbol, cents * m.MICROS // 100)
    assert moved.ts_event // DAY_NS == kit.OPEN_NS // DAY_NS - 1
    again, said = tell(house, kind, symbol=symbol, amount_micros=micros, day="2013-10-07")
    assert (again.is_done, said, again.detail) == (False, [], "exactly this was told before")
    assert tell(house, kind, symbol=symbol, amount_micros=micros, day="2013-10-08")[0].is_done


def test_money_when_it_is_of_today_then_its_time_is_now(house: Any, kit: Any) -> None:
    _, (moved,) = tell(house, "INTEREST", amount_micros=1)
    assert moved.ts_event == kit.OPEN_NS


def test_money_when_the_broker_tells_it_itself_then_is_refused(rig: Any) -> None:
    outcome, said = tell(rig, "DIVIDEND", symbol="SPY", amount_micros=1)
    assert (outcome.is_done, said) == (False, [])
    assert "PAPER tells of money itself" in outcome.detail


def test_split_when_told_then_position_and_ledger_follow_whoever_the_broker_is(
    open_broker: Callable[..., Any], kit: Any
) -> None:
    rig = kit.entered(open_broker)
    rig.market(kit.spy(2))
    refused, said = tell(rig, "SPLIT", symbol="SPY", numerator=4, denominator=1)
    assert (refused.is_done, said) == (False, [])
    assert "was bought on that day" in refused.detail
    rig.now_ns += DAY_NS
    outcome, (event,) = tell(rig, "SPLIT", symbol="SPY", numerator=4, denominator=1)
    assert outcome.is_done
    assert (event.numerator, event.denominator, event.ts_event % DAY_NS) == (4, 1, 0)
    assert rig.state.intent(kit.INTENT).held_nanos == 400 * m.NANOS


@pytest.mark.parametrize(("kind", "name"), [("EXERCISE", "ContractsExercised"), ("EXPIRY", "ContractsExpired")])
def test_contracts_when_told_to_be_gone_then_ledger_and_position_follow(
    open_broker: Callable[..., Any], kit: Any, kind: str, name: str
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker())).armed()
    rig.market(kit.quotes(1, (PUT, 2.4, 2.5, 10, 10)))
    rig.give(kit.submit(intent_id=PUT_INTENT, symbol=PUT, shares=2, order_type="LIMIT", limit_micros=2_500_000))
    rig.market(kit.quotes(2, (PUT, 2.4, 2.5, 10, 10)))
    outcome, said = tell(rig, kind, symbol=PUT, qty_nanos=2 * m.NANOS)
    assert outcome.is_done
    assert kit.names(said)[0] == name
    assert rig.state.open_intents() == []


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("DIVIDEND", {"amount_micros": 1}, "needs the symbol"),
        ("FEE", {}, "above zero"),
        ("SPLIT", {"numerator": 2, "denominator": 1}, "needs the symbol"),
        ("SPLIT", {"symbol": "SPY", "numerator": 2, "denominator": 2}, "two different numbers"),
        ("SPLIT", {"symbol": "SPY", "numerator": 2}, "two different numbers"),
        ("EXERCISE", {"symbol": "SPY", "qty_nanos": m.NANOS}, "is no option"),
        ("EXPIRY", {"symbol": PUT, "qty_nanos": m.NANOS // 2}, "whole number of contracts"),
        ("EXPIRY", {"symbol": PUT, "qty_nanos": m.NANOS}, f"the bot holds no {PUT}"),
        ("DIVIDEND", {"symbol": "S" * 40, "amount_micros": 1}, "too long"),
        ("DIVIDEND", {"symbol": "SPY", "amount_micros": 1, "day": "yesterday"}, "is no day"),
        ("DIVIDEND", {"symbol": "SPY", "amount_micros": 1, "day": "2013-10-09"}, "is no day"),
        ("DIVIDEND", {"symbol": "SPY", "amount_micros": 1, "day": "2011-10-07"}, "is no day"),
    ],
)
def test_activity_when_it_cannot_be_then_is_refused_in_words_and_nothing_is_booked(
    house: Any, kind: str, fields: dict[str, Any], words: str
) -> None:
    outcome, said = tell(house, kind, **fields)
    assert (outcome.is_done, said) == (False, [])
    assert words in outcome.detail
