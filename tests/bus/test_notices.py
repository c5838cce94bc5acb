"""Which messages make a notice, in which words, and how many notices make one letter."""

import pytest
from msgspec.structs import replace

from bus.messages import MICROS, NANOS, HaltRaised, Message, OrderFilled
from bus.notices import Notice, Wishes, letter, notice_of

ALL = Wishes(fills=True, exits=True, failures=True)
NONE = Wishes(fills=False, exits=False, failures=False)
AT_NS = 1_772_548_200_000_000_000
BUY = OrderFilled(
    ts_event=AT_NS,
    ts_init=AT_NS,
    execution_id="e1",
    client_order_id="tb1-x",
    broker_order_id="b1",
    intent_id="i1",
    leg="entry",
    session_date="2026-03-03",
    strategy="open",
    symbol="SPY",
    side="BUY",
    qty_nanos=1_500 * NANOS,
    price_micros=501_250_000,
    commission_micros=0,
    cumulative_qty_nanos=1_500 * NANOS,
    order_qty_nanos=2_000 * NANOS,
    broker="PAPER",
    reason="above 501.10",
)
SALE = replace(BUY, leg="stop", side="SELL", qty_nanos=NANOS // 4, price_micros=499_123_400, order_qty_nanos=0)
HALT = HaltRaised(
    ts_event=AT_NS, ts_init=AT_NS, counter=7, source="risk", rule="daily_loss_limit", detail="the day's loss is $500.00"
)


@pytest.mark.parametrize(
    ("message", "wish"), [(BUY, "fills"), (SALE, "exits"), (replace(BUY, leg="exit"), "exits"), (HALT, "failures")]
)
def test_notice_is_made_for_its_own_setting_alone(message: Message, wish: str) -> None:
    assert notice_of(message, NONE) is None
    assert notice_of(message, replace(ALL, **{wish: False})) is None
    assert notice_of(message, replace(NONE, **{wish: True})) is not None


def test_notice_of_a_purchase_says_what_was_bought_and_what_is_open() -> None:
    notice = notice_of(BUY, ALL)

    assert notice == Notice(
        kind="fill",
        subject="open: bought 1,500 SPY at 501.25",
        text="open: bought 1,500 SPY at 501.25 through PAPER, 500 of the order still open (entry: above 501.10).",
        at_utc="2026-03-03T14:30:00.000Z",
    )


def test_notice_of_a_sale_of_a_fraction_keeps_every_digit() -> None:
    notice = notice_of(SALE, ALL)

    assert notice is not None
    assert notice.subject == "open: sold 0.25 SPY at 499.1234"


def test_notice_of_a_halt_says_who_halted_why_and_what_ends_it() -> None:
    notice = notice_of(HALT, ALL)

    assert notice is not None
    assert notice.subject == "HALTED: daily_loss_limit"
    assert notice.text == ("Halt 7 by risk, daily_loss_limit: the day's loss is $500.00. Only an operator arms again.")


def test_letter_puts_a_failure_into_the_subject_and_counts_the_rest() -> None:
    told = [notice for notice in (notice_of(BUY, ALL), notice_of(HALT, ALL), notice_of(SALE, ALL)) if notice]

    subject, text = letter("TBOT_USA_main_PAPER_BOT01", told, lost=0)

    assert subject == "[TBOT_USA_main_PAPER_BOT01] HALTED: daily_loss_limit (and 2 more)"
    assert [line[:24] for line in text.splitlines()[:3]] == ["2026-03-03T14:30:00.000Z"] * 3
    assert "lost" not in text


def test_letter_when_many_wait_stays_short_and_says_what_is_missing() -> None:
    notice = notice_of(BUY, ALL)
    assert notice is not None

    _, text = letter("BOT", [notice] * 61, lost=3)

    assert text.count("bought") == 50
    assert "11 more are not written out" in text
    assert "3 notices before these are lost" in text


def test_price_in_whole_dollars_has_its_cents() -> None:
    notice = notice_of(replace(BUY, price_micros=20 * MICROS), ALL)

    assert notice is not None
    assert notice.subject.endswith("at 20.00")
