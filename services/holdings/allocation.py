"""Set gains aside: tax first, then payroll, both on the same base, each paid only from cash that is there. Pure."""

from msgspec import Struct, structs

from bus.messages import round_to_cent
from services.holdings.portfolio import BPS, Portfolio, Reserves, down_to_cent


class Rates(Struct, frozen=True, kw_only=True):
    """What part of the gains is set aside; payroll is a part of what the tax leaves."""

    tax_bps: int
    payroll_bps: int


class Allocated(Struct, frozen=True, kw_only=True):
    """One allocation, with every figure that it was computed from.

    `base_micros` is the gain less the losses carried forward; `tax_micros` and `payroll_micros` are what was allocated
    on it; `tax_funded_micros` and `payroll_funded_micros` are what was moved into the reserves, older dues included.
    """

    gain_micros: int
    carry_before_micros: int
    base_micros: int
    tax_micros: int
    payroll_micros: int
    tax_funded_micros: int
    payroll_funded_micros: int
    reserves: Reserves

    @property
    def funded_micros(self) -> int:
        """Return what leaves the cash."""
        return self.tax_funded_micros + self.payroll_funded_micros


def allocate(gain_micros: int, cash_micros: int, reserves: Reserves, rates: Rates) -> Allocated:
    """Allocate a gain, or a loss, that was not allocated before.

    A loss is carried forward and earned back before anything is reserved again; a reserve is never released. So the
    sum of all bases is the highest point that the cumulative gain has ever reached.
    """
    base = max(gain_micros - reserves.carry_micros, 0)
    carry = max(reserves.carry_micros - gain_micros, 0)
    tax = round_to_cent(base * rates.tax_bps, BPS)
    payroll = round_to_cent((base - tax) * rates.payroll_bps, BPS)
    tax_owed = reserves.tax_due_micros + tax
    payroll_owed = reserves.payroll_due_micros + payroll
    there = max(down_to_cent(cash_micros), 0)
    tax_funded = min(tax_owed, there)
    payroll_funded = min(payroll_owed, there - tax_funded)
    return Allocated(
        gain_micros=gain_micros,
        carry_before_micros=reserves.carry_micros,
        base_micros=base,
        tax_micros=tax,
        payroll_micros=payroll,
        tax_funded_micros=tax_funded,
        payroll_funded_micros=payroll_funded,
        reserves=Reserves(
            carry_micros=carry,
            tax_due_micros=tax_owed - tax_funded,
            payroll_due_micros=payroll_owed - payroll_funded,
        ),
    )


def funded(portfolio: Portfolio, allocated: Allocated) -> Portfolio:
    """Return the portfolio after the money was moved into the reserves."""
    return structs.replace(
        portfolio, cash_micros=portfolio.cash_micros - allocated.funded_micros, reserves=allocated.reserves
    )
