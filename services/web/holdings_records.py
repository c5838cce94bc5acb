"""What the nights and payouts of the holdings have left: their records, filtered, and as rows for exports."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from services.web.books import harmless
from services.web.frames import dollars, shares

#: How many records a page lists; a filter by days looks at as many among its days.
RECORDS_SHOWN: Final = 60
RECORD_NAME: Final = re.compile(r"^\d{6}-\d{4}-\d{2}-\d{2}\.json$")
#: What the records call each movement.
ACTIONS: Final = (
    *("BUY", "TOP_UP_SELL", "REBALANCE_SELL", "REBALANCE_BUY"),
    *("TAX_ALLOCATION", "PAYROLL_ALLOCATION", "TAX_PAYOUT", "PAYROLL_PAYOUT"),
)
_MONEY: Final = ("price", "total", "gain", "cash", "tax_reserve", "payroll_reserve")
MOVEMENT_COLUMNS: Final = ("at_utc", "action", "symbol", "quantity", *_MONEY, "context", "ids", "entries")
FUND_COLUMNS: Final = ("fund", "shares", "price", "value", "weight_percent", "target_percent", "off_percent")


class Filter(Struct, frozen=True, kw_only=True):
    """What of the records is wanted; an empty field wants everything. Days are written as 2025-03-10, both included."""

    action: str = ""
    fund: str = ""
    since: str = ""
    until: str = ""

    @classmethod
    def of(cls, given: Mapping[str, str]) -> "Filter":
        """Return the filter of an address; a word that is no action, fund or day is left out."""
        fund = given.get("fund", "").strip().upper()
        return cls(
            action=given["action"] if given.get("action") in ACTIONS else "",
            fund=fund if len(fund) <= 12 else "",
            since=_day(given.get("since", "")),
            until=_day(given.get("until", "")),
        )

    @property
    def address(self) -> dict[str, str]:
        """Return the parts of an address that say the same."""
        return {name: value for name in self.__struct_fields__ if (value := getattr(self, name))}

    def has_day(self, day: str) -> bool:
        """Tell whether a record's day is wanted."""
        return (not self.since or day >= self.since) and (not self.until or day <= self.until)

    def has(self, action: Mapping[str, Any]) -> bool:
        """Tell whether a movement is wanted."""
        return self.action in {"", action["action"]} and self.fund in {"", action["symbol"]}


def records_of(folder: Path, wanted: Filter) -> list[dict[str, Any]]:
    """Return the newest records with the movements that are wanted, the newest first.

    What cannot be read is said in its place. Where a kind or a fund is wanted, records without any are left out.
    """
    paths = sorted((path for path in folder.glob("*.json") if RECORD_NAME.match(path.name)), reverse=True)
    found = []
    for path in [path for path in paths if wanted.has_day(path.name[7:17])][:RECORDS_SHOWN]:
        record = _read(str(path), path.stat().st_mtime_ns)
        actions = [one for one in record["actions"] if wanted.has(one)]
        if actions or not (wanted.action or wanted.fund):
            found.append({**record, "actions": actions, "file": path.name})
    return found


def movement_rows(records: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return a row for each movement: dollars and shares with their places, and no word that a spreadsheet computes."""
    return [
        [
            one["at_utc"],
            one["action"],
            one["symbol"],
            shares(one["qty_nanos"]) if one["qty_nanos"] else "",
            *(dollars(one[f"{name}_micros"]) for name in _MONEY),
            harmless(one["context"]),
            " ".join(one.get("ids", ())),
            " ".join(map(str, one.get("seqs", ()))),
        ]
        for record in records
        for one in record["actions"]
    ]


def fund_rows(held: Mapping[str, Any]) -> list[list[str]]:
    """Return a row for each fund, then cash and the reserves, and the value of all."""
    rows = [
        [
            line["symbol"],
            line["qty"],
            line["price"],
            line["value"],
            *(_percent(int(line[name])) for name in ("weight_bps", "target_bps")),
            _percent(int(line["weight_bps"]) - int(line["target_bps"])),
        ]
        for line in held.get("funds", ())
    ]
    named = (("Free cash", "cash"), ("Tax reserve", "tax_reserve"), ("Payroll reserve", "payroll_reserve"))
    rows += [[words, "", "", str(held.get(name, "0.00")), "", "", ""] for words, name in named]
    return [*rows, ["All", "", "", total_of(held), "", "", ""]]


def total_of(held: Mapping[str, Any]) -> str:
    """Return the value of the account in dollars: free cash, both reserves, all funds."""
    parts = [held.get(name, "0") for name in ("cash", "tax_reserve", "payroll_reserve")]
    parts += [line["value"] for line in held.get("funds", ())]
    return f"{sum(map(Decimal, map(str, parts)), Decimal('0.00')):.2f}"


@lru_cache(maxsize=1024)
def _read(path: str, _written_ns: int) -> dict[str, Any]:
    """Return a record; it is never written over, so it is read once."""
    try:
        found: dict[str, Any] = json.loads(Path(path).read_bytes())
    except (OSError, ValueError):
        return {"session_date": Path(path).name[7:17], "outcome": "cannot be read", "detail": "", "actions": []}
    return found


def _percent(bps: int) -> str:
    return f"{Decimal(bps) / 100:.2f}"


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return ""
