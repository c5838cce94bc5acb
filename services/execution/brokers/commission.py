"""What the paper broker charges: for each order that trades, for each share, and the regulators' fees on sales."""

from typing import Final

from msgspec import Struct

from bus.messages import NANOS, cash_micros

_CENT_MICROS: Final = 10_000
_MILLION: Final = 1_000_000
#: A sale pays the trading activity fee of at most so many shares. Source: DriveWealth, Regulatory (SEC/TAF) fees
#: (2021), and Alpaca, Regulatory fees (2025): 0.000119 and 0.000166 dollars a share, at most 5.95 and 8.30 dollars.
_TAF_SHARES_MAX: Final = 50_000


class Commission(Struct, frozen=True, kw_only=True):
    """Charges in micro-dollars: `order_micros` with an order's first fill, `share_micros` for each share filled.

    On sales also the SEC's fee, `sec_cents` for each million dollars, and FINRA's trading activity fee, `taf_micros`
    for each share. Of an option, a contract counts as a share.
    """

    share_micros: int = 0
    order_micros: int = 0
    sec_cents: int = 0
    taf_micros: int = 0

    def of_fill(self, qty_nanos: int, *, is_first: bool) -> int:
        """Return what one fill costs, in whole cents, half to even, as cash is booked."""
        shares = cash_micros(self.share_micros, qty_nanos) if self.share_micros else 0
        return shares + (self._order_cents if is_first else 0)

    def of_sale(self, qty_nanos: int, proceeds_micros: int, *, is_first: bool) -> int:
        """Return what one fill of a sale costs, at most what it brings; each fee is rounded up to a cent.

        Source: Alpaca, Regulatory fees (support page, 2025): SEC and TAF on sells only, each rounded up to the penny.
        """
        charge = self.of_fill(qty_nanos, is_first=is_first)
        if not (self.sec_cents or self.taf_micros):
            return min(charge, proceeds_micros)
        sec = -(-proceeds_micros * self.sec_cents // (_MILLION * 100))
        taf = -(-min(qty_nanos, _TAF_SHARES_MAX * NANOS) * self.taf_micros // NANOS)
        fees = sum(-(-fee // _CENT_MICROS) * _CENT_MICROS for fee in (sec, taf))
        return min(charge + fees, proceeds_micros)

    def spendable(self, cash: int, *, is_first: bool) -> int:
        """Return what of this cash may go into shares at their price plus `share_micros` each.

        Price and charge are each rounded to a cent, so a cent is kept back for both.
        """
        if not (self.share_micros or self.order_micros):
            return cash
        return cash - (self._order_cents if is_first else 0) - 2 * _CENT_MICROS

    @property
    def _order_cents(self) -> int:
        return -(-self.order_micros // _CENT_MICROS) * _CENT_MICROS


FREE = Commission()
