"""The night that docs/holdings.md computes by hand, line by line as the code does it."""

from pathlib import Path

from nights import SETTINGS, fund, plan_of

from bus.messages import MICROS, NANOS
from services.holdings.night import Allocate, Sell
from services.holdings.plan import Plan
from services.holdings.portfolio import float_target_micros
from services.holdings.top_up import shortfall_micros

DOC = Path(__file__).parents[3] / "docs" / "holdings.md"


def money(micros: int) -> str:
    return f"{micros / MICROS:,.2f}"


def lines(plan: Plan) -> list[str]:
    said: list[str] = []
    tax = payroll = 0
    for step, after in zip(plan.steps, plan.portfolios, strict=True):
        match step:
            case Allocate(allocated=found):
                tax, payroll = tax + found.tax_funded_micros, payroll + found.payroll_funded_micros
                said.append(
                    f"set aside      gain {money(found.gain_micros)}, base {money(found.base_micros)}, tax "
                    f"{money(found.tax_micros)}, payroll {money(found.payroll_micros)}; cash {money(after.cash_micros)}"
                )
                missing = max(shortfall_micros(after, SETTINGS.float_bps), 0)
                wanted = float_target_micros(after, SETTINGS.float_bps)
                said.append(f"float          {money(wanted)} wanted, {money(missing)} missing")
            case Sell():
                for leg in step.legs:
                    shares = f"{leg.qty_nanos / NANOS:.9f}".rstrip("0")
                    said.append(f"sell           {leg.symbol} {shares} for {money(leg.amount_micros)}")
                said.append(f"cash           {money(after.cash_micros)}")
            case _:
                raise AssertionError(step)
    said.append(f"reserves       tax {money(tax)}, payroll {money(payroll)}")
    values = ", ".join(f"{held.symbol} {money(held.value_micros)}" for held in plan.after.funds)
    return [*said, f"funds          {values}"]


def test_the_worked_night_is_what_the_code_does() -> None:
    funds = [fund("AAA", 6_000, 100, 6_000, 4_800), fund("BBB", 4_000, 50, 4_000, 4_000)]
    block = DOC.read_text(encoding="utf-8").split("```")[1].strip().splitlines()
    assert lines(plan_of(500, funds, 400)) == block
