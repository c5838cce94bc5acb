"""Write the books as one OFX 2.2 document: a bank statement, an investment statement and the list of securities.

No other code writes OFX. The document follows from the ledger alone: no clock, no random, so that two exports of the
same days are the same bytes. docs/ofx.md says what each entry becomes.
Source: "Open Financial Exchange", specification 2.2 (2016), chapters 11 and 13.
"""

import argparse
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256
from typing import Final, Literal
from xml.etree import ElementTree as ET

from config.identity import Identity
from services.ledger import accounts
from services.ledger.arguments import add_ledger, add_out, add_period, deliver, period_of, sound_books
from services.ledger.book import LedgerError
from services.ledger.ofx_text import (
    MEMO_LENGTH_MAX,
    NAME_LENGTH_MAX,
    account_ids,
    day_end,
    day_start,
    fitid,
    leaf,
    moment,
    money,
    number,
    plain,
    unique_id,
    units,
)
from services.ledger.reading import Books, Entry, Period, utc_day
from services.ledger.trades import (
    CashFlow,
    Closure,
    Move,
    SplitMove,
    Trade,
    moves_of,
    net_cash,
    occ_terms,
    ticker,
)

View = Literal["both", "bank", "investment"]

_HEADER: Final = (
    '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'
    '<?OFX OFXHEADER="200" VERSION="220" SECURITY="NONE" OLDFILEUID="NONE" NEWFILEUID="NONE"?>\n'
)
_PRICE_PLACES: Final = 10
_BANK_KINDS: Final = {
    "DIVIDEND": ("DIV", "DIV"),
    "INTEREST": ("INT", "INT"),
    "OWNER": ("DEP", "DEBIT"),
    "EXPENSE": ("CREDIT", "FEE"),
    "OTHER": ("CREDIT", "DEBIT"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell the command line of `export-ofx`."""
    add_ledger(parser)
    add_period(parser)
    add_out(parser)
    parser.add_argument(
        "--view",
        choices=("both", "bank", "investment"),
        default="both",
        help="one of the two statements alone: an importer that reads both counts the cash twice",
    )


def run(args: argparse.Namespace) -> int:
    """Export what is asked for; return 0.

    Raises:
        LedgerError: there is no sound ledger, its books have findings, or it is not known whose account it is.
        OSError: the file cannot be written.
    """
    books = sound_books(args)
    if not books.is_named:
        raise LedgerError(
            f"The name of {args.ledger} does not say which account it is of, and OFX must. Give the copy the ledger's "
            "own name: ENTITY_JURISDICTION_account_BROKER_BOT_BOT_ledger.db."
        )
    period = period_of(args, books)
    data = generate_ofx(books, period, view=args.view)
    count = len(books.within(period))
    deliver(args.out, data, f"OFX 2.2 ({args.view}) of {count} entries until {period.last} UTC.")
    return 0


def generate_ofx(books: Books, period: Period, *, view: View = "both") -> bytes:
    """Return the document of a period: UTF-8, the same bytes for the same books and days."""
    return _Document(books, period).write(view)


class _Document:
    """One export: the statements' shared facts, and the securities that they name."""

    def __init__(self, books: Books, period: Period) -> None:
        self._books = books
        self._period = period
        self._entries = books.within(period)
        self._moves = tuple(move for entry in self._entries for move in moves_of(books, entry))
        self._securities: set[str] = set()
        self._as_of = day_end(period.last)
        self._bank_id, self._broker_id, self._account_id = account_ids(books.identity)

    def write(self, view: View) -> bytes:
        ofx = ET.Element("OFX")
        self._sign_on(ofx)
        if view != "investment":
            self._bank(ofx)
        if view != "bank":
            self._investment(ofx)
            self._security_list(ofx)
        ET.indent(ofx, " ")
        return f"{_HEADER}{ET.tostring(ofx, encoding='unicode', short_empty_elements=False)}\n".encode()

    def _sign_on(self, ofx: ET.Element) -> None:
        answer = ET.SubElement(ET.SubElement(ofx, "SIGNONMSGSRSV1"), "SONRS")
        _status(answer)
        leaf(answer, "DTSERVER", self._as_of)
        leaf(answer, "LANGUAGE", "ENG")
        leaf(ET.SubElement(answer, "FI"), "ORG", plain(self._broker_id, NAME_LENGTH_MAX))

    def _answer(self, ofx: ET.Element, message_set: str, name: str) -> ET.Element:
        wrapper = ET.SubElement(ET.SubElement(ofx, message_set), name)
        leaf(wrapper, "TRNUID", _document_id(self._books.identity, self._period, name))
        _status(wrapper)
        return wrapper

    def _span(self, parent: ET.Element) -> None:
        first = self._period.first
        if first is None:
            oldest = min((entry.occurred_ns for entry in self._entries), default=self._period.end_ns - 1)
            first = utc_day(oldest)
        leaf(parent, "DTSTART", day_start(first))
        leaf(parent, "DTEND", self._as_of)

    # The bank's view: every movement of cash, whatever it was for.

    def _bank(self, ofx: ET.Element) -> None:
        statement = ET.SubElement(self._answer(ofx, "BANKMSGSRSV1", "STMTTRNRS"), "STMTRS")
        leaf(statement, "CURDEF", accounts.CURRENCY)
        account = ET.SubElement(statement, "BANKACCTFROM")
        leaf(account, "BANKID", self._bank_id)
        leaf(account, "ACCTID", self._account_id)
        leaf(account, "ACCTTYPE", "CHECKING")
        lines = ET.SubElement(statement, "BANKTRANLIST")
        self._span(lines)
        by_seq = {move.entry.seq: move for move in self._moves if not isinstance(move, Closure)}
        for entry in self._entries:
            if cash := net_cash(entry):
                _bank_line(lines, entry, cash, move=by_seq.get(entry.seq), side="BANK")
        balance = ET.SubElement(statement, "LEDGERBAL")
        leaf(balance, "BALAMT", money(self._balance(accounts.CASH_ACCOUNTS)))
        leaf(balance, "DTASOF", self._as_of)

    # The investment view: the same cash once more, as trades, income and the rest.

    def _investment(self, ofx: ET.Element) -> None:
        statement = ET.SubElement(self._answer(ofx, "INVSTMTMSGSRSV1", "INVSTMTTRNRS"), "INVSTMTRS")
        leaf(statement, "DTASOF", self._as_of)
        leaf(statement, "CURDEF", accounts.CURRENCY)
        account = ET.SubElement(statement, "INVACCTFROM")
        leaf(account, "BROKERID", self._broker_id)
        leaf(account, "ACCTID", self._account_id)
        lines = ET.SubElement(statement, "INVTRANLIST")
        self._span(lines)
        # Every other line goes before the first INVBANKTRAN: the document type of OFX wants it, and libofx insists.
        for move in self._moves:
            if not _is_bank_only(move):
                self._investment_line(lines, move)
        for move in self._moves:
            if isinstance(move, CashFlow) and _is_bank_only(move):
                line = ET.SubElement(lines, "INVBANKTRAN")
                _bank_line(line, move.entry, move.cash, move=move, side="INV")
                leaf(line, "SUBACCTFUND", "CASH")
        self._positions(statement)
        self._balances(statement)

    def _investment_line(self, lines: ET.Element, move: Move) -> None:
        if isinstance(move, Trade):
            self._trade(lines, move)
        elif isinstance(move, Closure):
            self._closure(lines, move)
        elif isinstance(move, SplitMove):
            self._split(lines, move)
        else:
            self._income(lines, move)

    def _trade(self, lines: ET.Element, trade: Trade) -> None:
        is_option = self._is_option(trade.commodity)
        verb = "BUY" if trade.is_buy else "SELL"
        line = ET.SubElement(lines, verb + ("OPT" if is_option else "STOCK"))
        body = ET.SubElement(line, f"INV{verb}")
        _transaction(body, trade.entry, trade.commodity)
        self._security(body, trade.commodity)
        leaf(body, "UNITS", self._units(trade.commodity, trade.units))
        leaf(body, "UNITPRICE", number(trade.price, 2))
        if trade.commission:
            leaf(body, "COMMISSION", money(trade.commission))
        if trade.fees:
            leaf(body, "FEES", money(trade.fees))
        leaf(body, "TOTAL", money(trade.cash))
        if not trade.is_buy and not trade.is_short:
            leaf(body, "GAIN", money(trade.entry.gain_micros))
        leaf(body, "SUBACCTSEC", _held_in(is_short=trade.is_short))
        leaf(body, "SUBACCTFUND", "CASH")
        leaf(line, *_trade_type(trade, is_option=is_option))
        if is_option:
            leaf(line, "SHPERCTRCT", str(self._multiplier(trade.commodity)))

    def _closure(self, lines: ET.Element, closure: Closure) -> None:
        line = ET.SubElement(lines, "CLOSUREOPT")
        _transaction(line, closure.entry, closure.commodity)
        self._security(line, closure.commodity)
        leaf(line, "OPTACTION", closure.action)
        leaf(line, "UNITS", self._units(closure.commodity, closure.units))
        leaf(line, "SHPERCTRCT", str(self._multiplier(closure.commodity)))
        leaf(line, "SUBACCTSEC", _held_in(is_short=closure.is_short))
        if closure.action == "EXPIRE":
            leaf(line, "GAIN", money(closure.entry.gain_micros))

    def _split(self, lines: ET.Element, split: SplitMove) -> None:
        line = ET.SubElement(lines, "SPLIT")
        _transaction(line, split.entry, split.commodity)
        self._security(line, split.commodity)
        leaf(line, "SUBACCTSEC", _held_in(is_short=split.is_short))
        leaf(line, "OLDUNITS", self._units(split.commodity, split.old_units))
        leaf(line, "NEWUNITS", self._units(split.commodity, split.new_units))
        leaf(line, "NUMERATOR", str(split.ratio.numerator))
        leaf(line, "DENOMINATOR", str(split.ratio.denominator))

    def _income(self, lines: ET.Element, flow: CashFlow) -> None:
        is_income = flow.kind == "DIVIDEND"
        line = ET.SubElement(lines, "INCOME" if is_income else "INVEXPENSE")
        commodity = accounts.unit_commodity(flow.entry.symbol)
        _transaction(line, flow.entry, commodity)
        self._security(line, commodity)
        if is_income:
            leaf(line, "INCOMETYPE", "DIV")
        leaf(line, "TOTAL", money(flow.cash))
        leaf(line, "SUBACCTSEC", "CASH")
        leaf(line, "SUBACCTFUND", "CASH")

    def _positions(self, statement: ET.Element) -> None:
        held: dict[tuple[str, bool], tuple[int, int]] = {}
        for lot, qty, cost in self._books.open_lots(self._period.end_ns):
            key = (lot.commodity, self._books.lot_accounts.get(lot.account, False))
            so_far = held.get(key, (0, 0))
            held[key] = (so_far[0] + qty, so_far[1] + cost)
        positions = ET.SubElement(statement, "INVPOSLIST")
        for (commodity, is_short), (qty, cost) in sorted(held.items()):
            sign = -1 if is_short else 1
            name = "POSOPT" if self._is_option(commodity) else "POSSTOCK"
            line = ET.SubElement(ET.SubElement(positions, name), "INVPOS")
            self._security(line, commodity)
            leaf(line, "HELDINACCT", _held_in(is_short=is_short))
            leaf(line, "POSTYPE", "SHORT" if is_short else "LONG")
            leaf(line, "UNITS", self._units(commodity, sign * qty))
            leaf(line, "UNITPRICE", number(self._unit_cost(commodity, qty, cost), 2))
            leaf(line, "MKTVAL", money(sign * cost))
            leaf(line, "DTPRICEASOF", self._as_of)
            leaf(line, "MEMO", "At cost: the ledger keeps no market prices")

    def _balances(self, statement: ET.Element) -> None:
        shorts = [code for code, is_short in self._books.lot_accounts.items() if is_short]
        balances = ET.SubElement(statement, "INVBAL")
        leaf(balances, "AVAILCASH", money(self._balance(accounts.CASH_ACCOUNTS)))
        leaf(balances, "MARGINBALANCE", money(0))
        leaf(balances, "SHORTBALANCE", money(-self._balance(shorts)))
        listed = ET.SubElement(balances, "BALLIST")
        for code in accounts.ENVELOPES:
            if (account := self._books.accounts.get(code)) is not None:
                line = ET.SubElement(listed, "BAL")
                leaf(line, "NAME", plain(f"Account {code}", NAME_LENGTH_MAX))
                leaf(line, "DESC", plain(account.name, 80))
                leaf(line, "BALTYPE", "DOLLAR")
                leaf(line, "VALUE", money(self._balance((code,))))
                leaf(line, "DTASOF", self._as_of)

    def _security_list(self, ofx: ET.Element) -> None:
        underlyings = {terms.underlying for name in self._securities if (terms := occ_terms(name)) is not None}
        listed = ET.SubElement(ET.SubElement(ofx, "SECLISTMSGSRSV1"), "SECLIST")
        for commodity in sorted(self._securities | underlyings):
            terms = occ_terms(commodity)
            line = ET.SubElement(listed, "STOCKINFO" if terms is None else "OPTINFO")
            about = ET.SubElement(line, "SECINFO")
            _security_id(about, commodity)
            leaf(about, "SECNAME", plain(ticker(commodity), 120))
            leaf(about, "TICKER", plain(ticker(commodity), 32))
            if terms is not None:
                leaf(line, "OPTTYPE", "CALL" if terms.is_call else "PUT")
                leaf(line, "STRIKEPRICE", number(terms.strike, 2))
                leaf(line, "DTEXPIRE", day_end(terms.expires))
                leaf(line, "SHPERCTRCT", str(self._multiplier(commodity)))
                _security_id(line, terms.underlying)

    def _security(self, parent: ET.Element, commodity: str) -> None:
        self._securities.add(commodity)
        _security_id(parent, commodity)

    def _is_option(self, commodity: str) -> bool:
        # A symbol that is no OCC symbol cannot be listed as an option: strike and expiry would be missing.
        return occ_terms(commodity) is not None

    def _multiplier(self, commodity: str) -> int:
        about = self._books.commodities.get(commodity)
        return 1 if about is None else about.multiplier

    def _units(self, commodity: str, amount: int) -> str:
        return units(amount, self._books.commodities[commodity].scale)

    def _unit_cost(self, commodity: str, qty: int, cost: int) -> Decimal:
        about = self._books.commodities[commodity]
        exact = Fraction(cost * 10**about.scale, 10**6 * qty * about.multiplier)
        return Decimal(round(exact * 10**_PRICE_PLACES)).scaleb(-_PRICE_PLACES)

    def _balance(self, codes: Iterable[str]) -> int:
        wanted = frozenset(codes)
        return sum(entry.amount_on(wanted) for entry in self._books.until(self._period.end_ns))


def _status(parent: ET.Element) -> None:
    status = ET.SubElement(parent, "STATUS")
    leaf(status, "CODE", "0")
    leaf(status, "SEVERITY", "INFO")


def _transaction(parent: ET.Element, entry: Entry, commodity: str) -> None:
    transaction = ET.SubElement(parent, "INVTRAN")
    leaf(transaction, "FITID", fitid(entry.seq, "INV", commodity, entry.source_event_id))
    leaf(transaction, "DTTRADE", moment(entry.occurred_ns))
    leaf(transaction, "MEMO", _memo(entry))


def _bank_line(parent: ET.Element, entry: Entry, cash: int, *, move: Move | None, side: str) -> None:
    line = ET.SubElement(parent, "STMTTRN")
    received, paid = _BANK_KINDS[move.kind if isinstance(move, CashFlow) else "OTHER"]
    leaf(line, "TRNTYPE", received if cash > 0 else paid)
    leaf(line, "DTPOSTED", moment(entry.occurred_ns))
    leaf(line, "TRNAMT", money(cash))
    leaf(line, "FITID", fitid(entry.seq, side, "", entry.source_event_id))
    leaf(line, "NAME", plain(f"{entry.event_type.capitalize()} {entry.symbol}".replace("_", " "), NAME_LENGTH_MAX))
    leaf(line, "MEMO", _memo(entry))


def _memo(entry: Entry) -> str:
    # Importers of OFX 1.6 refuse REVERSALFITID, so that a reversal is marked in words.
    mark = f"Reversal of entry {entry.reverses_seq}. " if entry.reverses_seq else ""
    return plain(mark + entry.description, MEMO_LENGTH_MAX)


def _is_bank_only(move: Move) -> bool:
    """Tell whether a movement of cash has no security that it belongs to, or no element of its own."""
    return isinstance(move, CashFlow) and not (move.kind in ("DIVIDEND", "EXPENSE") and move.entry.symbol)


def _trade_type(trade: Trade, *, is_option: bool) -> tuple[str, str]:
    if is_option:
        opens = trade.is_buy != trade.is_short
        kind = "OPTBUYTYPE" if trade.is_buy else "OPTSELLTYPE"
        return kind, ("BUY" if trade.is_buy else "SELL") + ("TOOPEN" if opens else "TOCLOSE")
    if trade.is_buy:
        return "BUYTYPE", "BUYTOCOVER" if trade.is_short else "BUY"
    return "SELLTYPE", "SELLSHORT" if trade.is_short else "SELL"


def _held_in(*, is_short: bool) -> str:
    return "SHORT" if is_short else "CASH"


def _security_id(parent: ET.Element, commodity: str) -> None:
    security = ET.SubElement(parent, "SECID")
    leaf(security, "UNIQUEID", unique_id(ticker(commodity)))
    leaf(security, "UNIQUEIDTYPE", "TICKER" if occ_terms(commodity) is None else "OCC")


def _document_id(identity: Identity, period: Period, name: str) -> str:
    first: date | str = period.first or "start"
    return sha256(f"{identity.bot_identity}:{name}:{first}:{period.last}".encode()).hexdigest()[:32]
