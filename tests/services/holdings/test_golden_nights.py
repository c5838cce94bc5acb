"""Nights whose every figure was computed by hand; each is told by the second implementation too."""

from decimal import Decimal

from nights import SETTINGS, fund, micros, plan_of, sheet_of

from bus.messages import MICROS
from services.holdings.allocation import Allocated
from services.holdings.plan import Plan
from services.holdings.portfolio import Fund, Leg, Reserves, portfolio_of


def money(amount_micros: int) -> float:
    return amount_micros / MICROS


def legs(found: tuple[Leg, ...]) -> dict[str, float]:
    return {leg.symbol: money(leg.amount_micros) for leg in found}


def sales(plan: Plan) -> list[dict[str, float]]:
    return [legs(step.legs) for step in plan.sales]


def purchases(plan: Plan) -> list[dict[str, float]]:
    return [legs(step.purchase.legs) for step in plan.purchases]


def allocated(plan: Plan) -> list[tuple[float, float, float]]:
    def figures(found: Allocated) -> tuple[float, float, float]:
        return money(found.base_micros), money(found.tax_micros), money(found.payroll_micros)

    return [figures(step.allocated) for step in plan.allocations]


def on_target(cost: float | None = None) -> list[Fund]:
    a, b = (6_000, 4_000) if cost is None else (cost * 0.6, cost * 0.4)
    return [fund("AAA", 6_000, 100, 6_000, a), fund("BBB", 4_000, 50, 4_000, b)]


def agrees(plan: Plan, gain: float, *, is_rebalance: bool = False) -> bool:
    """Whether the second implementation ends with the same cash, reserves and shares."""
    sheet = sheet_of(plan.before, SETTINGS)
    sheet.night(Decimal(str(gain)), rebalances=is_rebalance)
    ours = {held.symbol: Decimal(held.qty_nanos) / 10**9 for held in plan.after.funds}
    theirs = {symbol: row.shares for symbol, row in sheet.rows.items()}
    return sheet.cash * MICROS == plan.after.cash_micros and ours == theirs


def test_a_first_funding_buys_all_but_the_float() -> None:
    plan = plan_of(10_000, [fund("AAA", 6_000, 100), fund("BBB", 4_000, 50)])
    assert purchases(plan) == [{"AAA": 5_400, "BBB": 3_600}]
    assert money(plan.after.cash_micros) == 1_000
    assert agrees(plan, 0)


def test_a_gain_is_set_aside_and_the_rest_is_reinvested() -> None:
    plan = plan_of(2_000, [fund("AAA", 6_000, 100, 5_400), fund("BBB", 4_000, 50, 3_600)], 1_000)
    assert allocated(plan) == [(1_000, 200, 80)]
    assert purchases(plan) == [{"AAA": 388.80, "BBB": 259.20}]
    assert money(plan.after.cash_micros) == 1_072.00
    assert agrees(plan, 1_000)


def test_a_loss_is_earned_back_before_anything_is_set_aside() -> None:
    funds = [fund("AAA", 6_000, 100, 5_400), fund("BBB", 4_000, 50, 3_600)]
    reserves, bases, carries = Reserves(), [], []
    for gain in (-500, 300, 400):
        plan = plan_of(1_000, funds, gain, reserves=reserves)
        found = plan.allocations[0].allocated
        reserves = found.reserves
        bases.append(money(found.base_micros))
        carries.append(money(reserves.carry_micros))
    assert (bases, carries) == ([0, 0, 200], [500, 200, 0])
    assert (money(found.tax_micros), money(found.payroll_micros)) == (40, 16)


def test_an_empty_float_is_restored_with_the_tax_on_its_own_sale() -> None:
    plan = plan_of(0, on_target(5_000))
    assert sales(plan) == [{"AAA": 686.50, "BBB": 457.67}]
    assert allocated(plan)[1:] == [(572.08, 114.42, 45.77)]
    assert money(plan.after.cash_micros) == 983.98
    assert plan.purchases == ()
    assert agrees(plan, 0)


def test_a_float_restored_at_a_loss_sets_nothing_aside() -> None:
    plan = plan_of(0, on_target(15_000))
    assert sales(plan) == [{"AAA": 600, "BBB": 400}]
    assert money(plan.after.reserves.carry_micros) == 500
    assert money(plan.after.cash_micros) == 1_000
    assert agrees(plan, 0)


def test_a_dropped_fund_is_sold_whole_on_a_rebalance() -> None:
    funds = [
        fund("AAA", 6_000, 100, 3_000),
        fund("BBB", 4_000, 50, 2_000),
        fund("CCC", 0, 10, 4_000, 3_800),
    ]
    plan = plan_of(1_000, funds, is_rebalance=True)
    assert sales(plan) == [{"CCC": 4_000}]
    assert allocated(plan)[1:] == [(200, 40, 16)]
    assert purchases(plan) == [{"AAA": 2_369.76, "BBB": 1_579.84}]
    assert money(plan.after.cash_micros) == 994.40
    assert agrees(plan, 0, is_rebalance=True)


def test_less_than_a_dollar_above_the_float_is_left() -> None:
    plan = plan_of(1_001.10, [fund("AAA", 6_000, 100, 5_400), fund("BBB", 4_000, 50, 3_600)])
    assert money(plan.after.cash_micros) == 1_001.10
    assert (plan.sales, plan.purchases) == ((), ())


def small_account() -> list[Fund]:
    return [fund(f"E{place:02d}", 8_100 if place == 0 else 100, 20 + place) for place in range(20)]


def test_legs_below_a_dollar_go_into_one() -> None:
    plan = plan_of(30, small_account())
    assert purchases(plan) == [{"E00": 27.00}]
    assert agrees(plan, 0)


def test_a_small_fund_is_bought_on_a_later_night() -> None:
    portfolio = portfolio_of(micros(30), small_account(), Reserves())
    for _ in range(300):
        portfolio = plan_of(money(portfolio.cash_micros) + 1.5, list(portfolio.funds)).after
    assert all(held.qty_nanos > 0 for held in portfolio.funds)


def test_reserves_that_cash_cannot_fund_are_met_by_a_sale() -> None:
    plan = plan_of(50, [fund("AAA", 6_000, 100, 600), fund("BBB", 4_000, 50, 400)], 1_000)
    first = plan.allocations[0].allocated
    assert money(first.reserves.due_micros) == 230
    assert sales(plan) == [{"AAA": 184.20, "BBB": 122.80}]
    assert money(plan.after.cash_micros) == 77.00
    assert plan.after.reserves.due_micros == 0
    assert agrees(plan, 1_000)


def test_a_rebalance_sells_what_has_grown_and_buys_with_what_the_tax_leaves() -> None:
    plan = plan_of(1_000, [fund("AAA", 6_000, 100, 6_300, 4_200), fund("BBB", 4_000, 50, 2_700)], is_rebalance=True)
    assert sales(plan) == [{"AAA": 900}]
    assert allocated(plan)[1:] == [(300, 60, 24)]
    assert purchases(plan) == [{"BBB": 824.40}]
    assert money(plan.after.cash_micros) == 991.60
    assert agrees(plan, 0, is_rebalance=True)


def test_cents_that_do_not_divide_go_to_the_largest_remainders() -> None:
    plan = plan_of(10, [fund("AAA", 3_334, 100), fund("BBB", 3_333, 50), fund("CCC", 3_333, 50)])
    assert purchases(plan) == [{"AAA": 3.00, "BBB": 3.00, "CCC": 3.00}]
    assert money(plan.after.cash_micros) == 1.00
    assert agrees(plan, 0)
