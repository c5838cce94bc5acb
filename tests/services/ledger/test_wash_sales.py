"""The tax view: the examples of IRS Publication 550 and of the regulation, and what a day trader meets."""

from typing import Any

import msgspec
import pytest
from made_books import CALL, DOLLAR, SHARE, Maker, micros

from services.ledger.reading import utc_day
from services.ledger.wash_sales import Rule, TaxLine, TaxView, tax_view

BROKERS: Rule = "us-same-security-1"
WITH_CALLS: Rule = "us-with-calls-1"


def view(made: Maker, rule: Rule = BROKERS) -> TaxView:
    return tax_view(made.books(), rule)


def gains(made: Maker, rule: Rule = BROKERS) -> list[tuple[float, float]]:
    """Gain and disallowed loss of each line, in dollars."""
    return [(line.gain / DOLLAR, line.disallowed / DOLLAR) for line in view(made, rule).lines]


def test_wash_when_bought_again_within_30_days_then_the_loss_joins_the_new_basis() -> None:
    # Publication 550: 100 shares at $1,000, sold for $750, 100 bought again for $800.
    made = Maker()
    made.buy("X", "2024-01-10 15:00:00", 100, 1000)
    made.sell("X", "2024-06-03 15:00:00", 100, 750)
    made.buy("X", "2024-06-20 15:00:00", 100, 800)
    made.sell("X", "2024-12-02 15:00:00", 100, 1200)
    loss, gain = view(made).lines
    assert (loss.gain, loss.disallowed) == (0, 250 * DOLLAR)
    assert (gain.basis, gain.gain) == (1050 * DOLLAR, 150 * DOLLAR)
    # 145 days were added: the shares count as held since 27 January, still not more than a year.
    assert (gain.sold_ns - gain.acquired_ns) // 86_400 // SHARE == 145 + 165
    assert not gain.is_long_term


def test_wash_when_fewer_are_bought_than_sold_then_only_that_part_of_the_loss_is_lost() -> None:
    # Publication 550, "More or less stock bought than sold", first example: 100 bought for $5,000 and sold for
    # $4,000; 50 and 25 bought in the 30 days before.
    made = Maker()
    made.buy("M", "2013-09-26 15:00:00", 100, 5000)
    made.buy("M", "2013-12-19 15:00:00", 50, 2750)
    made.buy("M", "2013-12-27 15:00:00", 25, 1125)
    made.sell("M", "2014-01-09 15:00:00", 100, 4000)
    made.sell("M", "2014-09-03 15:00:00", 75, 9000)
    assert gains(made)[0] == (-250, 750)
    assert [line.basis / DOLLAR for line in view(made).lines[1:]] == [2750 + 500, 1125 + 250]
    assert [each.disallowed / DOLLAR for each in view(made).adjustments] == [500, 250]
    # The shares were held for 105 days, which go on.
    assert str(utc_day(view(made).lines[1].acquired_ns)) == "2013-09-05"
    assert str(utc_day(view(made).lines[2].acquired_ns)) == "2013-09-13"


def test_wash_when_more_are_bought_than_sold_then_the_first_bought_take_the_loss() -> None:
    # The same section, second example: four purchases of 50 in the days after; the first two replace.
    made = Maker()
    made.buy("M", "2013-09-26 15:00:00", 100, 5000)
    made.sell("M", "2014-02-06 15:00:00", 100, 4000)
    for day in (11, 12, 13, 14):
        made.buy("M", f"2014-02-{day} 15:00:00", 50, 1000)
    made.sell("M", "2014-09-03 15:00:00", 200, 9000)
    assert gains(made)[0] == (0, 1000)
    assert [line.basis / DOLLAR for line in view(made).lines[1:]] == [1500, 1500, 1000, 1000]
    days = [str(utc_day(line.acquired_ns)) for line in view(made).lines[1:]]
    assert days == ["2013-10-01", "2013-10-02", "2014-02-13", "2014-02-14"]


def test_wash_when_three_blocks_are_sold_at_once_then_only_the_one_at_a_loss_is_washed() -> None:
    # Publication 550, "Loss and gain on same day": blocks at 158, 100 and 95, all sold at 125, 250 bought at 100.
    made = Maker()
    for day, cost in (("2008-01-05", 15_800), ("2008-01-06", 10_000), ("2008-01-07", 9_500)):
        made.buy("X", f"{day} 15:00:00", 100, cost)
    made.sell("X", "2013-12-27 15:00:00", 300, 37_500)
    made.buy("X", "2014-01-09 15:00:00", 250, 25_000)
    made.sell("X", "2014-06-02 15:00:00", 250, 25_000)
    lines = view(made).lines
    assert [(line.gain / DOLLAR, line.disallowed / DOLLAR) for line in lines[:3]] == [(0, 3300), (2500, 0), (3000, 0)]
    first, rest = lines[3:]
    assert (first.qty, first.basis) == (100 * SHARE, 13_300 * DOLLAR)
    assert (rest.qty, rest.basis) == (150 * SHARE, 15_000 * DOLLAR)
    # The years of the block that was sold make the 100 shares long-term.
    assert str(utc_day(first.acquired_ns)) == "2008-01-18"
    assert (first.is_long_term, rest.is_long_term) == (True, False)


@pytest.mark.parametrize(
    ("bought", "disallowed"),
    [("2024-05-04", 250.0), ("2024-05-03", 0), ("2024-07-03", 250.0), ("2024-07-04", 0)],
)
def test_wash_when_30_days_are_over_then_the_loss_counts(bought: str, disallowed: float) -> None:
    made = Maker()
    made.buy("X", "2024-01-10 15:00:00", 100, 1000)
    if bought < "2024-06-03":
        made.buy("X", f"{bought} 15:00:00", 100, 800)
    made.sell("X", "2024-06-03 15:00:00", 100, 750)
    if bought > "2024-06-03":
        made.buy("X", f"{bought} 15:00:00", 100, 800)
    assert gains(made)[0][1] == disallowed


def test_wash_when_the_rest_of_the_same_purchase_is_kept_then_it_is_no_replacement() -> None:
    made = Maker()
    made.buy("X", "2024-06-01 15:00:00", 200, 2000)
    made.sell("X", "2024-06-03 15:00:00", 100, 750)
    assert gains(made) == [(-250, 0)]


def test_wash_when_the_earlier_purchase_is_gone_then_it_is_no_replacement() -> None:
    made = Maker()
    made.buy("X", "2024-06-03 14:00:00", 100, 1000)
    made.sell("X", "2024-06-03 14:10:00", 100, 1010)
    made.buy("X", "2024-06-03 14:20:00", 100, 1000)
    made.sell("X", "2024-06-03 14:30:00", 100, 950)
    assert gains(made) == [(10, 0), (-50, 0)]


def test_wash_when_a_day_has_one_losing_round_after_the_other_then_the_last_loss_counts_whole() -> None:
    made = Maker()
    for minute in (10, 20, 30):
        made.buy("X", f"2024-06-03 14:{minute}:00", 100, 1000)
        made.sell("X", f"2024-06-03 14:{minute + 5}:00", 100, 990)
    assert gains(made) == [(0, 10), (0, 20), (-30, 0)]
    assert sum(line.gain for line in view(made).lines) == sum(line.gain for line in view(made, "none").lines)


def test_wash_when_shares_replace_once_then_they_do_not_replace_again() -> None:
    made = Maker()
    made.buy("X", "2024-01-10 15:00:00", 200, 2000)
    made.buy("X", "2024-06-01 15:00:00", 50, 400)
    made.sell("X", "2024-06-03 15:00:00", 100, 750)
    made.sell("X", "2024-06-04 15:00:00", 100, 750)
    assert gains(made) == [(-125, 125), (-250, 0)]


def test_wash_when_a_call_is_bought_then_only_the_wider_rule_sees_it() -> None:
    made = Maker()
    made.buy("AAPL", "2024-01-10 15:00:00", 150, 15_000)
    made.sell("AAPL", "2024-06-03 15:00:00", 150, 12_000)
    made.buy(CALL, "2024-06-04 15:00:00", 3, 900)
    assert gains(made, BROKERS) == [(-3000, 0)]
    assert gains(made, WITH_CALLS) == [(0, 3000)]
    (adjustment,) = view(made, WITH_CALLS).adjustments
    # Two contracts cover 150 shares: one and a half, rounded up to the scale's unit.
    assert (adjustment.qty, adjustment.rule_version) == (1_500_000_000, WITH_CALLS)


def test_view_when_commissions_are_paid_then_they_are_in_basis_and_proceeds() -> None:
    made = Maker()
    made.buy("X", "2024-01-10 15:00:00", 100, 1000, commission=1.00, fees=0.50)
    made.sell("X", "2024-02-12 15:00:00", 40, 500, commission=0.80, fees=0.03)
    made.sell("X", "2024-02-13 15:00:00", 60, 800)
    first, second = view(made, "none").lines
    assert (first.proceeds, first.basis) == (micros("499.17"), micros("400.60"))
    assert (second.proceeds, second.basis) == (micros(800), micros("600.90"))


def test_view_when_shares_were_split_then_basis_and_days_go_with_them() -> None:
    made = Maker()
    made.buy("X", "2024-01-10 15:00:00", 100, 1000, commission=1)
    made.sell("X", "2024-02-12 15:00:00", 100, 900)
    made.buy("X", "2024-02-13 15:00:00", 100, 900, commission=3)
    made.split("X", "2024-03-04 15:00:00", 3, 1)
    made.sell("X", "2024-06-03 15:00:00", 100, 400)
    made.sell("X", "2024-06-04 15:00:00", 200, 900)
    lines = view(made).lines
    assert [line.disallowed / DOLLAR for line in lines] == [101, 0, 0]
    # 900 + 3 + 101, a third and two thirds.
    assert [line.basis for line in lines[1:]] == [micros("334.67"), micros("669.33")]
    assert lines[1].sold_ns - lines[1].acquired_ns > 130 * 86_400 * SHARE


def test_view_when_an_entry_was_taken_back_then_neither_is_seen() -> None:
    made = Maker()
    made.buy("X", "2024-01-10 15:00:00", 100, 1000)
    made.sell("X", "2024-06-03 15:00:00", 100, 750)
    made.reverse(made.buy("X", "2024-06-04 15:00:00", 100, 800), "2024-06-05 15:00:00")
    assert gains(made) == [(-250, 0)]


def test_view_when_a_short_sale_is_covered_then_its_gain_is_its_own() -> None:
    made = Maker()
    made.short("X", "2024-06-03 15:00:00", 5, 1000)
    made.cover("X", "2024-06-04 15:00:00", 5, 980)
    (line,) = view(made).lines
    assert (line.proceeds, line.basis, line.gain) == (micros(1000), micros(980), micros(20))


def test_view_when_a_call_is_exercised_then_what_it_cost_to_buy_is_in_the_shares_basis() -> None:
    made = Maker()
    made.buy(CALL, "2024-06-03 15:00:00", 1, 300, commission=2)
    made.exercise(CALL, "AAPL", "2024-06-10 20:00:00", 20_000)
    made.sell("AAPL", "2024-07-25 15:00:00", 100, 21_000)
    (line,) = view(made).lines
    assert (line.basis, line.gain) == (micros(20_302), micros(698))


def test_view_when_made_of_a_random_walk_then_losses_move_and_none_is_lost() -> None:
    made = Maker()
    price = 100
    for step in range(60):
        price += (step * 7919 % 11) - 5
        made.buy("X", f"2024-06-{3 + step // 15:02d} 14:{step:02d}:00", 10, price * 10, commission=0.35)
        if step % 3:
            made.sell("X", f"2024-06-{3 + step // 15:02d} 14:{step:02d}:30", 12, price * 12, commission=0.35)
    made.sell("X", "2024-09-03 14:00:00", 600 - 480, price * 120)
    whole, plain = view(made), view(made, "none")
    assert sum(line.gain for line in whole.lines) == sum(line.gain for line in plain.lines)
    assert sum(each.disallowed for each in whole.adjustments) == sum(line.disallowed for line in whole.lines) > 0
    used: dict[Any, int] = {}
    for each in whole.adjustments:
        used[each.replacement_lot_id] = used.get(each.replacement_lot_id, 0) + each.qty
    assert max(used.values()) <= 10 * SHARE
    assert all(isinstance(msgspec.structs.asdict(line)["basis"], int) for line in whole.lines)
    assert {type(line) for line in whole.lines} == {TaxLine}
