"""The tax view of sales: commissions inside basis and proceeds, and wash sales by a named rule. Pure.

The ledger's own gains stay economic; this view is worked out again from its postings and lots each time, for an
estimate and not as tax advice. Short sales are listed as they were booked: the rules here are of long lots only.

What is taken from the law: a loss does not count as far as shares of the same security were acquired within 30 days
before or after the sale; it is added to the basis of those shares, and the time for which the sold ones were held to
theirs. Replacements are taken in the order of their purchase, each share once, never from the lot that is sold.
Source: 26 U.S.C. 1091; 26 CFR 1.1091-1 and 1.1091-2; IRS Publication 550 (2024), "Wash Sales"; Form 8949 (2024).
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct

from bus.messages import round_to_cent
from services.ledger.lots import is_long_term
from services.ledger.reading import Books, CloseRow, Entry, LotRow, utc_day
from services.ledger.trades import net_cash, occ_terms, trade_costs

Rule = Literal["none", "us-same-security-1", "us-with-calls-1"]

#: Rule version -> what it takes for substantially identical. A changed rule is a new version beside the old one.
RULES: Final[dict[Rule, str]] = {
    "none": "No wash sales: gains and losses as they were made.",
    "us-same-security-1": "Replacements are purchases of the same security, as on a broker's Form 1099-B.",
    "us-with-calls-1": "The same, and calls on a share replace it: a contract to acquire it, as 26 U.S.C. 1091 says.",
}
WINDOW_DAYS: Final = 30
#: Into how many parts wash sales may split a lot before neighbours are put together: their added basis is then
#: shared by all their shares, and the shorter of their added times is kept. The sum of all gains stays exact.
PARTS_MAX: Final = 32
_NS_PER_DAY: Final = 86_400 * 1_000_000_000


class TaxLine(Struct, frozen=True, kw_only=True):
    """One line as on Form 8949: shares of one lot with one history. Money in micro-dollars, quantity in the scale.

    `acquired_ns` is earlier than the purchase by the days that a wash sale before has added.
    """

    close_id: int
    seq: int
    commodity: str
    qty: int
    acquired_ns: int
    sold_ns: int
    is_long_term: bool
    proceeds: int
    basis: int
    disallowed: int

    @property
    def gain(self) -> int:
        """Return the gain or loss that counts."""
        return self.proceeds - self.basis + self.disallowed


class Adjustment(Struct, frozen=True, kw_only=True):
    """A disallowed loss, and the shares to whose basis it goes: the columns of the ledger's wash_adjustment table."""

    loss_close_id: int
    replacement_lot_id: int
    qty: int
    disallowed: int
    basis_added: int
    holding_days_added: int
    rule_version: str


class TaxView(Struct, frozen=True, kw_only=True):
    """All sales of the books under one rule, by the order in which they were booked."""

    rule: Rule
    lines: tuple[TaxLine, ...]
    adjustments: tuple[Adjustment, ...]


class _Part(Struct, kw_only=True):
    """Shares of a lot that share a history: what was added to their basis and to their time, and if they replace."""

    qty: int
    extra: int
    days: int = 0
    is_replacement: bool = False


def tax_view(books: Books, rule: Rule) -> TaxView:
    """Return every sale of the books as the rule sees it. Later purchases can change it for 30 days."""
    return _Sales(books, rule).view()


class _Sales:
    """Walks through the sales in their order; `_parts` is what each lot still has, from its front."""

    def __init__(self, books: Books, rule: Rule) -> None:
        self._books = books
        self._rule: Rule = rule
        self._entries = tuple(entry for entry in books.entries if entry.seq not in books.undone)
        self._parts: dict[int, list[_Part]] = {}
        self._bought: dict[str, list[LotRow]] = {}
        self._lines: list[TaxLine] = []
        self._adjustments: list[Adjustment] = []
        for entry in self._entries:
            self._open(entry)

    def view(self) -> TaxView:
        for entry in self._entries:
            gone: dict[str, list[_Part]] = {}
            taken = [(close, self._take(close.lot_id, close.qty)) for close in entry.closed]
            for close, parts in taken:
                if not close.is_sale:
                    gone.setdefault(self._books.lots[close.lot_id].commodity, []).extend(parts)
            left = self._carry(entry, gone)
            sales = [(close, parts) for close, parts in taken if close.is_sale]
            # What an exercised put had cost to buy goes off the proceeds of the shares that it has sold.
            costs = sum(trade_costs(entry)) + left
            so_far, whole = 0, sum(close.qty for close, _ in sales)
            for close, parts in sales:
                before, so_far = so_far, so_far + close.qty
                self._sell(entry, close, parts, _share(costs, so_far, whole) - _share(costs, before, whole))
        return TaxView(rule=self._rule, lines=tuple(self._lines), adjustments=tuple(self._adjustments))

    def _open(self, entry: Entry) -> None:
        """Give each bought lot its share of the purchase's costs; a split's lots get theirs when it comes."""
        is_purchase = not entry.closed and net_cash(entry) != 0
        costs = sum(trade_costs(entry)) if is_purchase else 0
        whole = sum(lot.qty for lot in entry.opened)
        so_far = 0
        for lot in entry.opened:
            before, so_far = so_far, so_far + lot.qty
            extra = _share(costs, so_far, whole) - _share(costs, before, whole)
            self._parts[lot.lot_id] = [_Part(qty=lot.qty, extra=extra)]
            if is_purchase and not self._books.lot_accounts.get(lot.account, False):
                self._bought.setdefault(lot.commodity, []).append(lot)

    def _take(self, lot_id: int, qty: int) -> list[_Part]:
        """Take shares from the front of a lot, with what belongs to them."""
        parts = self._parts.get(lot_id, [])
        taken: list[_Part] = []
        while qty > 0 and parts:
            front = _split_front(parts, min(qty, parts[0].qty))
            taken.append(parts.pop(0))
            qty -= front.qty
        if not parts:
            self._used_up(self._books.lots[lot_id])
        return taken

    def _used_up(self, lot: LotRow) -> None:
        """Take a lot that can replace nothing any more from the list of those that can."""
        lots = self._bought.get(lot.commodity, [])
        place = bisect_left(lots, lot.acquired_ns, key=_acquired)
        while place < len(lots) and lots[place].acquired_ns == lot.acquired_ns:
            if lots[place].lot_id == lot.lot_id:
                del lots[place]
                return
            place += 1

    def _carry(self, entry: Entry, gone: dict[str, list[_Part]]) -> int:
        """Move what belongs to the old lots of a split, or to an exercised call, onto the new lots in their order.

        Returns what found no new lot.
        """
        loose = 0
        for commodity, parts in gone.items():
            lots = [lot for lot in entry.opened if lot.commodity == commodity]
            new, old = sum(lot.qty for lot in lots), sum(part.qty for part in parts)
            if not lots:
                loose += sum(part.extra for part in parts)
            for part in parts:
                part.qty = part.qty * new // max(old, 1)
            for lot in lots:
                self._parts[lot.lot_id] = _fill(parts, lot.qty)
        for lot in entry.opened[:1] if loose else ():
            self._parts[lot.lot_id][0].extra += loose
            loose = 0
        return loose

    def _sell(self, entry: Entry, close: CloseRow, taken: list[_Part], costs: int) -> None:
        lot = self._books.lots[close.lot_id]
        received, paid_for = self._books.sale_figures(close)
        proceeds = received - costs
        done = 0
        for part in taken:
            start, done = done, done + part.qty
            basis = _share(paid_for, done, close.qty) - _share(paid_for, start, close.qty) + part.extra
            paid = _share(proceeds, done, close.qty) - _share(proceeds, start, close.qty)
            acquired = lot.acquired_ns - part.days * _NS_PER_DAY
            held = (utc_day(entry.occurred_ns) - utc_day(acquired)).days
            loss = max(basis - paid, 0)
            is_long = not self._books.lot_accounts.get(lot.account, False)
            disallowed = self._replace(close, lot, part.qty, loss=loss, held=held) if loss and is_long else 0
            self._lines.append(
                TaxLine(
                    close_id=close.close_id,
                    seq=entry.seq,
                    commodity=lot.commodity,
                    qty=part.qty,
                    acquired_ns=acquired,
                    sold_ns=entry.occurred_ns,
                    is_long_term=is_long and is_long_term(acquired, entry.occurred_ns),
                    proceeds=paid,
                    basis=basis,
                    disallowed=disallowed,
                )
            )

    def _replace(self, close: CloseRow, lot: LotRow, qty: int, *, loss: int, held: int) -> int:
        """Match a loss with replacements and move it to their basis; return how much of it does not count."""
        sold_ns = self._books.by_seq[close.tx_seq].occurred_ns
        matched = moved = 0
        for other, per_share in self._candidates(lot, sold_ns):
            if matched == qty:
                break
            parts = self._parts[other.lot_id]
            index = 0
            while index < len(parts) and matched < qty:
                if parts[index].is_replacement:
                    index += 1
                    continue
                # Whole units of the replacement, as many as cover what is left of the loss.
                wanted = -(-(qty - matched) // per_share)
                tail = parts[index:]
                part = _split_front(tail, min(wanted, tail[0].qty))
                parts[index:] = tail
                matched = min(matched + part.qty * per_share, qty)
                added = _share(loss, matched, qty) - moved
                moved += added
                part.extra += added
                part.days += held
                part.is_replacement = True
                self._adjustments.append(
                    Adjustment(
                        loss_close_id=close.close_id,
                        replacement_lot_id=other.lot_id,
                        qty=part.qty,
                        disallowed=added,
                        basis_added=added,
                        holding_days_added=held,
                        rule_version=self._rule,
                    )
                )
            if len(parts) > PARTS_MAX:
                self._parts[other.lot_id] = _merge(parts)
            if all(part.is_replacement for part in parts):
                self._used_up(other)
        return moved

    def _candidates(self, sold: LotRow, sold_ns: int) -> Iterator[tuple[LotRow, int]]:
        """Lots that can replace, by purchase, and how many units of what was sold one unit of theirs covers."""
        if self._rule == "none":
            return
        found = [(lot, 1) for lot in self._bought_around(sold.commodity, sold_ns) if lot.lot_id != sold.lot_id]
        if self._rule == "us-with-calls-1":
            found += self._calls_on(sold.commodity, sold_ns)
            found.sort(key=lambda each: (each[0].acquired_ns, each[0].lot_id))
        yield from found

    def _calls_on(self, commodity: str, sold_ns: int) -> list[tuple[LotRow, int]]:
        calls: list[tuple[LotRow, int]] = []
        share_scale = self._books.commodities[commodity].scale
        for name in self._bought:
            terms = occ_terms(name)
            if terms is not None and terms.is_call and terms.underlying == commodity:
                about = self._books.commodities[name]
                covers = about.multiplier * 10 ** (share_scale - about.scale)
                calls += [(lot, covers) for lot in self._bought_around(name, sold_ns)]
        return calls

    def _bought_around(self, commodity: str, sold_ns: int) -> list[LotRow]:
        """Return the purchases within the window of a sale; a queue of lots is in the order of their purchase."""
        lots = self._bought.get(commodity, [])
        day_ns = sold_ns // _NS_PER_DAY * _NS_PER_DAY
        first = bisect_left(lots, day_ns - WINDOW_DAYS * _NS_PER_DAY, key=_acquired)
        return lots[first : bisect_left(lots, day_ns + (WINDOW_DAYS + 1) * _NS_PER_DAY, key=_acquired)]


def _acquired(lot: LotRow) -> int:
    return lot.acquired_ns


def _merge(parts: list[_Part]) -> list[_Part]:
    """Put neighbours in pairs together, replacements with replacements and others with others."""
    merged: list[_Part] = []
    is_open = False
    for part in parts:
        last = merged[-1] if merged else None
        if is_open and last is not None and last.is_replacement == part.is_replacement:
            last.qty += part.qty
            last.extra += part.extra
            last.days = min(last.days, part.days)
            is_open = False
        else:
            merged.append(part)
            is_open = True
    return merged


def _split_front(parts: list[_Part], qty: int) -> _Part:
    """Cut the first part so that it has `qty`; return it. What was added to it is divided by quantity, to the cent."""
    front = parts[0]
    if qty < front.qty:
        extra = _share(front.extra, qty, front.qty)
        rest = _Part(
            qty=front.qty - qty, extra=front.extra - extra, days=front.days, is_replacement=front.is_replacement
        )
        front.qty, front.extra = qty, extra
        parts.insert(1, rest)
    return front


def _fill(parts: list[_Part], qty: int) -> list[_Part]:
    """Take parts off the front until they have `qty`; what rounding has left over joins the last one."""
    taken: list[_Part] = []
    while parts and qty > 0:
        front = _split_front(parts, min(qty, parts[0].qty))
        taken.append(parts.pop(0))
        qty -= front.qty
    if qty and taken:
        taken[-1].qty += qty
    return taken or [_Part(qty=qty, extra=0)]


def _share(amount: int, part: int, whole: int) -> int:
    """Return the part of an amount that goes to the first `part` of `whole`, rounded once; all of it at the end."""
    if part == whole:
        return amount
    return round_to_cent(amount * part, whole)
