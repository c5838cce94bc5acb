"""Arithmetic on an OFX document of all entries of an account: what no importer checks, each fault in words."""

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from xml.etree import ElementTree as ET

HEADER = (
    '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n<?OFX OFXHEADER="200" VERSION="220" '
    'SECURITY="NONE" OLDFILEUID="NONE" NEWFILEUID="NONE"?>\n'
)
MOMENT = re.compile(r"(\d{8})(\d{6})\.\d{3}\[0:GMT\]")
AMOUNT = re.compile(r"-?\d{1,20}(\.\d{1,10})?")
AMOUNTS = {
    "TRNAMT", "BALAMT", "TOTAL", "UNITS", "UNITPRICE", "COMMISSION", "FEES", "GAIN", "MKTVAL", "AVAILCASH",
    "MARGINBALANCE", "SHORTBALANCE", "VALUE", "OLDUNITS", "NEWUNITS", "STRIKEPRICE",
}  # fmt: skip
LENGTHS = {"NAME": 32, "MEMO": 255, "UNIQUEID": 32, "UNIQUEIDTYPE": 10, "BANKID": 9, "ACCTID": 22, "FITID": 255}
#: What importers of OFX 1.6 refuse.
REFUSED = {"AVGCOSTBASIS", "REVERSALFITID"}
TRADES = {"BUYSTOCK": 1, "BUYOPT": 1, "SELLSTOCK": -1, "SELLOPT": -1}


def faults_of(data: bytes) -> list[str]:
    """Every fault of a document; empty where it is sound."""
    try:
        text = data.decode()
        root = ET.fromstring(text.encode())
    except (UnicodeDecodeError, ET.ParseError) as error:
        return [f"it is not XML: {error}"]
    if not text.startswith(HEADER):
        return ["its header is not that of OFX 2.2"]
    faults = list(_form(root))
    return faults or [*_identity(root), *_cash(root), *_securities(root), *_trades(root), *_positions(root)]


def _form(root: ET.Element) -> Iterator[str]:
    for element in root.iter():
        value = element.text or ""
        if element.tag in REFUSED:
            yield f"{element.tag} is refused by importers"
        if element.tag.startswith("DT"):
            yield from _moment(element.tag, value)
        if element.tag in AMOUNTS and not AMOUNT.fullmatch(value):
            yield f"{element.tag} {value} is no amount"
        if len(value) > LENGTHS.get(element.tag, 10**6):
            yield f"{element.tag} is too long"
    for tag, needed in (("STMTTRN", ("DTPOSTED", "TRNAMT", "TRNTYPE")), ("INVTRAN", ("DTTRADE",))):
        for line in root.iter(tag):
            yield from (f"a {tag} has no {name}" for name in needed if line.find(name) is None)
    yield from (f"currency {each.text}" for each in root.iter("CURDEF") if each.text != "USD")


def _moment(tag: str, value: str) -> Iterator[str]:
    found = MOMENT.fullmatch(value)
    if found is None:
        yield f"{tag} {value} is not a moment in UTC"
    elif found.group(2) == "000000":
        yield f"{tag} {value} is midnight"


def _identity(root: ET.Element) -> Iterator[str]:
    ids = [each.text for each in root.iter("FITID")]
    if len(ids) != len(set(ids)):
        yield "a FITID is used twice"
    for transactions in root.iter("INVTRANLIST"):
        tags = [each.tag for each in transactions][2:]
        first = tags.index("INVBANKTRAN") if "INVBANKTRAN" in tags else len(tags)
        if any(tag != "INVBANKTRAN" for tag in tags[first:]):
            yield "a trade comes after an INVBANKTRAN"


def _number(parent: ET.Element, path: str) -> Decimal:
    try:
        return Decimal(parent.findtext(path) or "0")
    except InvalidOperation:
        return Decimal("NaN")


def _cash(root: ET.Element) -> Iterator[str]:
    bank = root.find(".//STMTRS")
    investment = root.find(".//INVSTMTRS")
    if bank is None or investment is None:
        yield "a statement is missing"
        return
    balance = _number(bank, "LEDGERBAL/BALAMT")
    lines = sum(_number(each, "TRNAMT") for each in bank.iter("STMTTRN"))
    if lines != balance:
        yield f"bank lines sum to {lines}, the balance is {balance}"
    totals = sum(Decimal(each.text or "0") for each in investment.iter("TOTAL"))
    totals += sum(_number(each, "TRNAMT") for each in investment.iter("STMTTRN"))
    available = _number(investment, "INVBAL/AVAILCASH")
    if not totals == available == balance:
        yield f"investment lines sum to {totals}, AVAILCASH is {available}, the bank has {balance}"


def _securities(root: ET.Element) -> Iterator[str]:
    listed = {each.findtext("SECID/UNIQUEID") for each in root.iter("SECINFO")}
    named = {each.findtext("UNIQUEID") for each in root.iter("SECID")}
    yield from (f"{name} is not listed" for name in sorted(str(name) for name in named - listed))


def _trades(root: ET.Element) -> Iterator[str]:
    for tag, sign in TRADES.items():
        for trade in root.iter(tag):
            body = trade[0]
            shares = int(trade.findtext("SHPERCTRCT") or "1")
            qty, total = _number(body, "UNITS"), _number(body, "TOTAL")
            costs = _number(body, "COMMISSION") + _number(body, "FEES")
            if abs(-qty * _number(body, "UNITPRICE") * shares - costs - total) >= Decimal("0.000001"):
                yield f"{tag} {body.findtext('INVTRAN/FITID')}: TOTAL is not units times price less costs"
            is_reversal = (body.findtext("INVTRAN/MEMO") or "").startswith("Reversal of entry")
            if qty * sign * (-1 if is_reversal else 1) <= 0:
                yield f"{tag} {body.findtext('INVTRAN/FITID')}: the sign of UNITS is wrong"


def _positions(root: ET.Element) -> Iterator[str]:
    moved: dict[str | None, Decimal] = {}
    for line in [*root.iter("INVBUY"), *root.iter("INVSELL"), *root.iter("CLOSUREOPT"), *root.iter("SPLIT")]:
        name = line.findtext("SECID/UNIQUEID")
        change = _number(line, "UNITS") + _number(line, "NEWUNITS") - _number(line, "OLDUNITS")
        moved[name] = moved.get(name, Decimal(0)) + change
    held = {each.findtext("SECID/UNIQUEID"): _number(each, "UNITS") for each in root.iter("INVPOS")}
    for name in sorted(str(name) for name in moved.keys() | held.keys()):
        if moved.get(name, 0) != held.get(name, 0):
            yield f"{name}: lines give {moved.get(name, 0)} units, the position is {held.get(name, 0)}"
