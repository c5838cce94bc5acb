"""The OFX document: what each event becomes, in the eyes of readers that this project has not written."""

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest
from made_books import CALL, IDENTITY, MARCH, Maker, at, month
from ofx_checker import faults_of
from ofx_readers import read, read_by_all

from services.ledger.generate_ofx import generate_ofx
from services.ledger.ofx_text import account_ids, moment, number, plain, unique_id
from services.ledger.reading import Period
from services.ledger.report import balances_at

ALL = Period(first=None, last=date(2025, 3, 31))


@pytest.fixture(scope="module")
def document() -> bytes:
    return generate_ofx(month().books(), ALL)


def statement(data: bytes) -> ET.Element:
    found = ET.fromstring(data).find(".//INVSTMTRS")
    assert found is not None
    return found


def test_document_when_a_month_has_every_event_then_arithmetic_finds_no_fault(document: bytes) -> None:
    assert faults_of(document) == []


def test_document_when_ofxtools_reads_it_then_both_statements_are_there(document: bytes) -> None:
    ofx = read(document)
    bank, investment = ofx.statements
    assert [type(each).__name__ for each in investment.transactions] == [
        "BUYSTOCK", "BUYSTOCK", "BUYOPT", "SELLSTOCK", "SELLOPT", "SPLIT", "INCOME", "INVEXPENSE", "SELLSTOCK",
        "BUYSTOCK", "BUYSTOCK", "BUYSTOCK", "CLOSUREOPT", "SELLSTOCK",
        "INVBANKTRAN", "INVBANKTRAN", "INVBANKTRAN", "INVBANKTRAN", "INVBANKTRAN",
    ]  # fmt: skip
    assert [each.trntype for each in bank.transactions if each.trntype not in ("CREDIT", "DEBIT")] == [
        "DEP", "DIV", "INT", "FEE", "FEE",
    ]  # fmt: skip
    assert bank.account.acctid == investment.account.acctid == "main-BOT01"
    option = next(each for each in ofx.securities if each.uniqueid == CALL)
    assert (option.opttype, option.strikeprice, option.shperctrct) == ("CALL", Decimal(200), 100)
    assert option.secid.uniqueid == "AAPL"
    # 10 AAPL, less 4, times 2, less 3.5; 2.5 BRK.B; all else is gone.
    assert {each.uniqueid: each.units for each in investment.positions} == {
        "AAPL": Decimal("8.5"), "BRK.B": Decimal("2.5"),
    }  # fmt: skip


def test_document_when_ofxtools_ofxdump_and_xmllint_read_it_then_they_agree(document: bytes, tmp_path: Path) -> None:
    read_by_all(document, tmp_path / "month.ofx")


def test_document_when_made_twice_or_for_other_days_then_ids_stay() -> None:
    books = month().books()
    assert generate_ofx(books, ALL) == generate_ofx(month().books(), ALL)
    later = Period(first=date(2025, 3, 5), last=date(2025, 3, 31))

    def ids(period: Period) -> set[str | None]:
        return {each.text for each in ET.fromstring(generate_ofx(books, period)).iter("FITID")}

    assert ids(later) < ids(MARCH) < ids(ALL)
    assert len(ids(MARCH)) == len(ids(ALL)) - 2


def test_document_when_later_entries_are_booked_then_the_period_is_the_same_bytes() -> None:
    made = month()
    before = generate_ofx(made.books(), MARCH)
    made.buy("AAPL", "2025-04-01 14:00:00", 1, 100)
    assert generate_ofx(made.books(), MARCH) == before


def test_document_when_it_begins_later_then_balances_are_still_those_of_the_end() -> None:
    data = ET.fromstring(generate_ofx(month().books(), Period(first=date(2025, 3, 20), last=date(2025, 3, 31))))
    cash = sum(b.amount for b in balances_at(month().books(), ALL.end_ns) if b.code in ("1010", "1030"))
    assert data.findtext(".//LEDGERBAL/BALAMT") == number(Decimal(cash) / 10**6, 2)
    assert len(list(data.iter("STMTTRN"))) == 2 + 1
    assert [each.findtext("VALUE") for each in data.iter("BAL")] == ["97185.4666", "30.00", "0.00"]


@pytest.mark.parametrize(("view", "absent"), [("bank", "INVSTMTRS"), ("investment", "BANKMSGSRSV1")])
def test_document_when_one_view_is_asked_for_then_the_other_is_not_in_it(view: Any, absent: str) -> None:
    data = generate_ofx(month().books(), ALL, view=view)
    assert absent.encode() not in data
    assert len(read(data).statements) == 1
    assert (b"SECLIST" in data) == (view == "investment")


def test_document_when_an_event_is_at_midnight_then_it_is_one_second_later() -> None:
    assert moment(at("2025-03-11 00:00:00") + 999_000_000) == "20250311000001.000[0:GMT]"
    assert moment(at("2025-03-11 13:30:05") + 7_000_000) == "20250311133005.007[0:GMT]"


def test_document_when_texts_are_hostile_then_they_are_escaped_and_cut() -> None:
    made = Maker()
    made.cash("DEPOSIT", "2025-03-03 10:00:00", 10, "3010")
    hostile = "<b>&amp; \x00\x1b]]> " + "ä" * 300
    made.entries[0] = msgspec.structs.replace(made.entries[0], description=hostile)
    data = generate_ofx(made.books(), MARCH)
    memo = ET.fromstring(data).findtext(".//STMTTRN/MEMO") or ""
    assert len(memo) == 255
    assert memo.startswith("<b>&amp; ]]> ä")
    assert read(data).statements[0].transactions[0].memo == memo
    assert plain(" \n", 5) == "-"


def test_document_when_the_ledger_is_empty_then_it_is_still_sound() -> None:
    data = generate_ofx(Maker().books(), MARCH)
    assert faults_of(data) == []
    assert read(data).statements[0].ledgerbal.balamt == 0


def test_document_when_a_call_is_exercised_then_it_closes_and_the_shares_are_bought() -> None:
    made = Maker()
    made.cash("DEPOSIT", "2025-03-01 10:00:00", 50_000, "3010")
    made.buy(CALL, "2025-03-04 15:00:00", 1, 300)
    made.exercise(CALL, "AAPL", "2025-03-20 20:00:00", 20_000)
    data = generate_ofx(made.books(), ALL)
    assert faults_of(data) == []
    closure = statement(data).find(".//CLOSUREOPT")
    assert closure is not None
    assert (closure.findtext("OPTACTION"), closure.findtext("UNITS")) == ("EXERCISE", "-1")
    assert statement(data).findtext(".//BUYSTOCK/INVBUY/UNITPRICE") == "200.00"
    assert statement(data).findtext(".//INVPOS/MKTVAL") == "20300.00"


def test_ids_when_names_are_long_then_they_fit_and_stay_apart() -> None:
    def ids(account: str) -> tuple[str, str, str]:
        return account_ids(msgspec.structs.replace(IDENTITY, account_name=account, broker_code="INTERACTIVE1"))

    bank, broker, account = ids("a" * 24)
    assert (len(bank), broker, len(account)) == (9, "INTERACTIVE1", 22)
    assert ids("a" * 23 + "b")[2] != account
    assert len(unique_id("X" * 40)) == 32


def edit(document: bytes, pattern: str, put: str) -> bytes:
    changed, count = re.subn(pattern, put, document.decode(), count=1, flags=re.DOTALL)
    assert count == 1, pattern
    return changed.encode()


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda d: d[:-300],
    "no header": lambda d: d.replace(b'VERSION="220"', b'VERSION="102"'),
    "ampersand": lambda d: d.replace(b"<MEMO>BUY 2", b"<MEMO>BUY & 2", 1),
    "total": lambda d: edit(d, "<TOTAL>-1000.70<", "<TOTAL>-1000.71<"),
    "option price per contract": lambda d: edit(d, "<UNITPRICE>3.25<", "<UNITPRICE>325<"),
    "sign": lambda d: edit(d, "<UNITS>10<", "<UNITS>-10<"),
    "fitid twice": lambda d: edit(d, r"0000000003-[0-9a-f]{16}", re.findall(r"0000000002-\w{16}", d.decode())[0]),
    "security not listed": lambda d: edit(d, r"<STOCKINFO>(?:(?!</STOCKINFO>).)*MSFT.*?</STOCKINFO>", ""),
    "bank line first": lambda d: edit(d, r"(<BUYSTOCK>.*</SELLSTOCK>)(\s*)(<INVBANKTRAN>.*</INVBANKTRAN>)", r"\3\2\1"),
    "midnight": lambda d: edit(d, r"20250303143100\.000", "20250303000000.000"),
    "local time": lambda d: edit(d, r"20250303143100\.000\[0:GMT\]", "20250303093100.000[-5:EST]"),
    "no time posted": lambda d: edit(d, r"<DTPOSTED>[^<]*</DTPOSTED>", ""),
    "balance": lambda d: edit(d, "<BALAMT>97215.4666<", "<BALAMT>97215.4766<"),
    "available cash": lambda d: edit(d, "<AVAILCASH>97215.4666<", "<AVAILCASH>97185.4666<"),
    "currency": lambda d: d.replace(b"<CURDEF>USD", b"<CURDEF>XXQ"),
    "position": lambda d: edit(d, "<UNITS>8.5<", "<UNITS>8.500000001<"),
    "thousands": lambda d: edit(d, "<TRNAMT>100000.00<", "<TRNAMT>100,000.00<"),
    "average cost": lambda d: edit(d, "(</MKTVAL>)", r"\1<AVGCOSTBASIS>1.00</AVGCOSTBASIS>"),
    "reversal id": lambda d: edit(d, "(</DTTRADE>)", r"\1<REVERSALFITID>1</REVERSALFITID>"),
    "memo": lambda d: d.replace(b"<MEMO>BUY 2", b"<MEMO>" + b"x" * 256, 1),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_checker_when_a_document_is_broken_then_it_is_refused(document: bytes, kind: str) -> None:
    broken = BROKEN[kind](document)
    assert broken != document
    assert faults_of(broken) != []
