"""What the paper broker charges: so much for each order that trades, and so much for each share."""

from msgspec import Struct

from bus.messages import cash_micros

_CENT_MICROS = 10_000


class Commission(Struct, frozen=True, kw_only=True):
    """Charges in micro-dollars: `order_micros` with an order's first fill, `share_micros` for each share filled."""

    share_micros: int = 0
    order_micros: int = 0

    def of_fill(self, qty_nanos: int, *, is_first: bool) -> int:
        """Return what one fill costs, in whole cents, half to even, as cash is booked."""
        return cash_micros(self.share_micros, qty_nanos) + (self._order_cents if is_first else 0)

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
