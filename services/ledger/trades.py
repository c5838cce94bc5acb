"""Tell what each entry was, from its lines alone: a trade, a closed option, a split, or a movement of cash. Pure."""

import re
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal

from msgspec import Struct

from services.ledger import accounts
from services.ledger.reading import Books, Entry

_FEES: Final = frozenset(accounts.CHARGES)
_DIVIDENDS: Final = frozenset({accounts.DIVIDENDS})
_INTEREST: Final = frozenset({accounts.INTEREST})
_OWNER: Final = frozenset({accounts.OWNER_CONTRIBUTIONS, accounts.OWNER_DRAWS, "3090"})
#: Places of a price that is worked out from cost and quantity: enough to give the cost back to the cent.
_PRICE_PLACES: Final = 10
#: OCC's symbol of an option: root, expiry as YYMMDD, C or P, strike in thousandths of a dollar, eight digits.
#: Source: OCC, "Options Symbology Initiative" (2010), section on the 21-byte option symbol.
_OCC = re.compile(r"^([A-Z][A-Z0-9.]{0,5}) *(\d{2})(\d{2})(\d{2})([CP])(\d{8})$")

Flow = Literal["DIVIDEND", "INTEREST", "OWNER", "EXPENSE", "OTHER"]


class OptionTerms(Struct, frozen=True, kw_only=True):
    """What an OCC symbol says; `strike` in dollars per share of the underlying."""

    underlying: str
    expires: date
    is_call: bool
    strike: Decimal


class Trade(Struct, frozen=True, kw_only=True):
    """A purchase or sale. Money in micro-dollars; `units` and `cash` are signed as the account gains or gives.

    `price` is per share, for an option per share of its underlying, without commission and fees. In an entry that
    takes back another one, `is_buy` and the other signs of what it was stay, and units and cash are turned.
    """

    entry: Entry
    commodity: str
    units: int
    cash: int
    commission: int
    fees: int
    price: Decimal
    is_buy: bool
    is_short: bool

    @property
    def gross(self) -> int:
        """Return what the units cost or brought, as the account gains or gives."""
        return self.cash + self.commission + self.fees


class Closure(Struct, frozen=True, kw_only=True):
    """An option that ended without a trade: `units` are what the account gains, so below zero for a long one."""

    entry: Entry
    commodity: str
    units: int
    is_short: bool
    action: Literal["EXPIRE", "EXERCISE", "ASSIGN"]


class SplitMove(Struct, frozen=True, kw_only=True):
    """A split: the units before and after, in the commodity's scale."""

    entry: Entry
    commodity: str
    old_units: int
    new_units: int
    is_short: bool

    @property
    def ratio(self) -> Fraction:
        """Return new units for each old one."""
        return Fraction(self.new_units, self.old_units)


class CashFlow(Struct, frozen=True, kw_only=True):
    """Cash that moved without units; `cash` in micro-dollars, positive = received."""

    entry: Entry
    cash: int
    kind: Flow


Move = Trade | Closure | SplitMove | CashFlow


def occ_terms(symbol: str) -> OptionTerms | None:
    """Return what an option's symbol says; None where it is no OCC symbol of a real day."""
    if (found := _OCC.match(symbol)) is None:
        return None
    root, year, month, day, right, strike = found.groups()
    try:
        expires = date(2000 + int(year), int(month), int(day))
    except ValueError:
        return None
    return OptionTerms(underlying=root, expires=expires, is_call=right == "C", strike=Decimal(strike) / 1000)


def ticker(commodity: str) -> str:
    """Return the market's name of a commodity: the ledger renames the fund whose ticker is USD."""
    return accounts.CURRENCY if commodity == accounts.unit_commodity(accounts.CURRENCY) else commodity


def net_cash(entry: Entry) -> int:
    """Return what an entry changes in the broker's cash, micro-dollars: envelopes and unsettled sums are cash too."""
    return entry.amount_on(accounts.CASH_ACCOUNTS)


def moves_of(books: Books, entry: Entry) -> tuple[Move, ...]:
    """Return what an entry was; empty where it moves neither units nor cash. One entry has one trade at most."""
    units = _unit_moves(entry)
    cash = net_cash(entry)
    moves: list[Move] = []
    for commodity, amount in units.items():
        if (split := _split(books, entry, commodity)) is not None and cash == 0:
            moves.append(split)
        elif occ_terms(commodity) is not None and (cash == 0 or len(units) > 1):
            moves.append(_closure(books, entry, commodity, amount, is_alone=len(units) == 1))
        else:
            moves.append(_trade(books, entry, commodity, amount))
    if not units and cash:
        moves.append(CashFlow(entry=entry, cash=cash, kind=_flow(entry)))
    return tuple(moves)


def trades_in(books: Books, entries: tuple[Entry, ...]) -> tuple[Trade, ...]:
    """Return the trades among some entries, in their order."""
    return tuple(move for entry in entries for move in moves_of(books, entry) if isinstance(move, Trade))


def trade_costs(entry: Entry) -> tuple[int, int]:
    """Return an entry's commission less rebates, and its other fees, in micro-dollars."""
    return entry.amount_on((accounts.COMMISSIONS, accounts.BROKER_CREDITS)), entry.amount_on(_FEES)


def _unit_moves(entry: Entry) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in entry.lines:
        if line.account == accounts.UNITS_IN_CUSTODY:
            found[line.commodity] = found.get(line.commodity, 0) + line.amount
    return {commodity: amount for commodity, amount in found.items() if amount}


def _trade(books: Books, entry: Entry, commodity: str, units: int) -> Trade:
    cash = net_cash(entry)
    commission, fees = trade_costs(entry)
    about = books.commodities[commodity]
    exact = Fraction(abs(cash + commission + fees) * 10**about.scale, 10**6 * abs(units) * about.multiplier)
    return Trade(
        entry=entry,
        commodity=commodity,
        units=units,
        cash=cash,
        commission=commission,
        fees=fees,
        price=Decimal(round(exact * 10**_PRICE_PLACES)).scaleb(-_PRICE_PLACES),
        is_buy=(units > 0) != bool(entry.reverses_seq),
        is_short=_is_short(books, entry, commodity),
    )


def _closure(books: Books, entry: Entry, commodity: str, units: int, *, is_alone: bool) -> Closure:
    is_short = _is_short(books, entry, commodity)
    if is_alone:
        action: Literal["EXPIRE", "EXERCISE", "ASSIGN"] = "EXPIRE"
    else:
        action = "ASSIGN" if is_short else "EXERCISE"
    return Closure(entry=entry, commodity=commodity, units=units, is_short=is_short, action=action)


def _split(books: Books, entry: Entry, commodity: str) -> SplitMove | None:
    closed = [close for close in entry.closed if books.lots[close.lot_id].commodity == commodity]
    opened = [lot for lot in entry.opened if lot.commodity == commodity]
    if not closed or not opened:
        return None
    return SplitMove(
        entry=entry,
        commodity=commodity,
        old_units=sum(close.qty for close in closed),
        new_units=sum(lot.qty for lot in opened),
        is_short=_is_short(books, entry, commodity),
    )


def _is_short(books: Books, entry: Entry, commodity: str) -> bool:
    touched = [lot.account for lot in entry.opened if lot.commodity == commodity]
    touched += [lot.account for c in entry.closed if (lot := books.lots[c.lot_id]).commodity == commodity]
    return any(books.lot_accounts.get(account, False) for account in touched)


def _flow(entry: Entry) -> Flow:
    used = {line.account for line in entry.lines}
    kinds: tuple[tuple[frozenset[str], Flow], ...] = (
        (_DIVIDENDS, "DIVIDEND"),
        (_INTEREST, "INTEREST"),
        (_OWNER, "OWNER"),
        (_FEES | {accounts.COMMISSIONS}, "EXPENSE"),
    )
    return next((kind for codes, kind in kinds if used & codes), "OTHER")
