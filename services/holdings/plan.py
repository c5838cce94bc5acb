"""Show a night before it happens: every step, as it would be if each order filled whole at its price. Pure."""

from typing import Final

from msgspec import Struct

from bus.messages import CENT_MICROS
from config.holdings import HoldingsSettings
from services.holdings.night import Allocate, Buy, Finish, Night, Sell, Step, next_step, played
from services.holdings.portfolio import Portfolio

#: One allocation before each of the sales and one after, a rebalance, four sales for the float, one purchase.
_STEPS_MAX: Final = 16


class Plan(Struct, frozen=True, kw_only=True):
    """A whole night: its steps in order, and the portfolio after each of them."""

    steps: tuple[Step, ...]
    portfolios: tuple[Portfolio, ...]
    before: Portfolio

    @property
    def after(self) -> Portfolio:
        """Return the portfolio at the end."""
        return self.portfolios[-1] if self.portfolios else self.before

    @property
    def allocations(self) -> tuple[Allocate, ...]:
        """Return what is set aside, in order."""
        return tuple(step for step in self.steps if isinstance(step, Allocate))

    @property
    def sales(self) -> tuple[Sell, ...]:
        """Return what is sold, in order."""
        return tuple(step for step in self.steps if isinstance(step, Sell))

    @property
    def purchases(self) -> tuple[Buy, ...]:
        """Return what is bought."""
        return tuple(step for step in self.steps if isinstance(step, Buy))


def plan_night(night: Night, settings: HoldingsSettings) -> Plan:
    """Return the night's plan from where it stands.

    Raises:
        RuntimeError: the night does not come to an end, a fault of the program.
    """
    before = night.portfolio
    steps: list[Step] = []
    portfolios: list[Portfolio] = []
    for _ in range(_STEPS_MAX):
        step = next_step(night, settings)
        if isinstance(step, Finish):
            return Plan(steps=tuple(steps), portfolios=tuple(portfolios), before=before)
        night = played(night, step)
        steps.append(step)
        portfolios.append(night.portfolio)
    raise RuntimeError(f"A night has more than {_STEPS_MAX} steps: {steps}")


def plan_words(plan: Plan, as_of: str) -> tuple[str, ...]:
    """Return the plan as people read it: one line for each movement, and the cash after all of them."""
    lines = [f"at the prices of {as_of}"]
    for step in plan.steps:
        match step:
            case Allocate(allocated=found):
                if found.funded_micros:
                    lines.append(f"set aside {_money(found.tax_funded_micros)} for tax")
                    lines.append(f"set aside {_money(found.payroll_funded_micros)} for payroll")
            case Sell():
                lines += (f"sell {_money(leg.amount_micros)} of {leg.symbol}" for leg in step.legs)
            case Buy():
                lines += (f"buy {_money(leg.amount_micros)} of {leg.symbol}" for leg in step.purchase.legs)
            case Finish():
                break
    if len(lines) == 1:
        lines.append("nothing is to be done")
    return (*lines, f"cash then {_money(plan.after.cash_micros)}")


def _money(micros: int) -> str:
    sign, cents = ("-" if micros < 0 else ""), abs(micros) // CENT_MICROS
    return f"{sign}${cents // 100:,}.{cents % 100:02d}"
