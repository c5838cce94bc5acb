"""Show a night before it happens: every step, as it would be if each order filled whole at its price. Pure."""

from typing import Final

from msgspec import Struct

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
