"""How OFX writes moments, amounts, names and ids. Pure.

Source for all of it: "Open Financial Exchange", specification 2.2 (2016), section 3.2, save where a rule is named
for a reader that needs it.
"""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Final
from xml.etree import ElementTree as ET

from bus.clock import NS_PER_SECOND
from config.identity import Identity

NAME_LENGTH_MAX: Final = 32
MEMO_LENGTH_MAX: Final = 255
_BANK_ID_LENGTH_MAX: Final = 9
_ACCOUNT_ID_LENGTH_MAX: Final = 22
_UNIQUE_ID_LENGTH_MAX: Final = 32
_MONEY_PLACES: Final = 6
#: What XML 1.0 does not allow in a document, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def moment(ts_ns: int) -> str:
    """Write a moment as YYYYMMDDHHMMSS.mmm[0:GMT].

    The first second of a day is written as one second past midnight: libofx takes 00:00:00 for a date without a time
    and moves it to 10:59.
    Source: libofx 0.10.9, lib/ofx_utilities.cpp, ofxdate_to_time_t.
    """
    whole, rest = divmod(ts_ns, NS_PER_SECOND)
    stamp = datetime.fromtimestamp(whole, UTC)
    if (stamp.hour, stamp.minute, stamp.second) == (0, 0, 0):
        return day_start(stamp.date())
    return f"{stamp:%Y%m%d%H%M%S}.{rest // 1_000_000:03d}[0:GMT]"


def day_start(day: date) -> str:
    """Write the start of a UTC day, one second past midnight."""
    return f"{day:%Y%m%d}000001.000[0:GMT]"


def day_end(day: date) -> str:
    """Write the end of a UTC day."""
    return f"{day:%Y%m%d}235959.000[0:GMT]"


def money(amount_micros: int) -> str:
    """Write micro-dollars with two places, more only where there is a part of a cent, and no separators."""
    return number(Decimal(amount_micros).scaleb(-_MONEY_PLACES), 2)


def units(amount: int, scale: int) -> str:
    """Write a quantity in its commodity's scale without needless zeros."""
    return number(Decimal(amount).scaleb(-scale), 0)


def number(value: Decimal, places_min: int) -> str:
    """Write a decimal without an exponent and without needless zeros after the least places."""
    text = f"{value:f}"
    whole, _, rest = text.partition(".")
    rest = rest.rstrip("0").ljust(places_min, "0")
    return f"{whole}.{rest}" if rest else whole


def plain(text: str, length_max: int) -> str:
    """Return a text that XML can hold, on one line and no longer than allowed."""
    return " ".join(_NOT_XML.sub(" ", text).split())[:length_max].rstrip() or "-"


def fitid(seq: int, *parts: str) -> str:
    """Return the id by which an importer knows a line again: the entry's number and a digest of what it is of.

    It depends on nothing but the entry, so it is the same in every export and for every period.
    """
    return f"{seq:010d}-{sha256(':'.join(parts).encode()).hexdigest()[:16]}"


def account_ids(identity: Identity) -> tuple[str, str, str]:
    """Return the bank's id, the broker's id and the account's id, each as short as OFX wants it."""
    account = _short(f"{identity.account_name}-{identity.bot_id}", _ACCOUNT_ID_LENGTH_MAX)
    return (
        _short(identity.broker_code, _BANK_ID_LENGTH_MAX),
        _short(identity.broker_code, _ACCOUNT_ID_LENGTH_MAX),
        account,
    )


def unique_id(symbol: str) -> str:
    """Return a security's id."""
    return _short(symbol, _UNIQUE_ID_LENGTH_MAX)


def leaf(parent: ET.Element, tag: str, text: str) -> None:
    """Add an element that holds a value."""
    ET.SubElement(parent, tag).text = text


def _short(text: str, length_max: int) -> str:
    # A longer name keeps its difference from others by its digest.
    if len(text) <= length_max:
        return text
    return f"{text[: length_max - 4]}{sha256(text.encode()).hexdigest()[:4].upper()}"
