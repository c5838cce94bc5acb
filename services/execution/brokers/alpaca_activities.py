"""What changed the account at Alpaca without a trade: money, and what expired, was exercised or split.

Each activity has an id of Alpaca's, so what is reported again is booked once. One that Alpaca cancelled is reported
with a movement back, which has an id of its own. What has no recipe here is said in the log, once; the difference that
it leaves in cash or in a position is found by whoever compares the books with the account.

Source: Alpaca, "Account Activities" and "Non-Trade Activities for Option Events", read 2026-11.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from msgspec import Struct

from bus.clock import NS_PER_SECOND
from bus.instruments import is_option
from bus.messages import MICROS, NANOS, CashKind
from services.execution.brokers import alpaca_answers as a
from services.execution.brokers.alpaca_history import PAGE_SIZE
from services.execution.brokers.alpaca_line import Line
from services.execution.brokers.reports import (
    CHARGES,
    DEPOSITS,
    DIVIDENDS,
    INTEREST,
    BrokerActivity,
    BrokerCash,
    BrokerExercise,
    BrokerExpiry,
    BrokerSplit,
    kind_by_sign,
)

#: An activity may be entered, corrected or cancelled for so long after it was made: it is read again.
AGAIN_NS: Final = 10 * 86_400 * NS_PER_SECOND
#: A split is told as a ratio of whole numbers up to this.
RATIO_MAX: Final = 10**9
#: What moves shares or contracts and not money by itself. The money of `OPTRD`, the shares of an exercised option, is
#: part of the exercise: it is booked with it.
_OF_POSITIONS: Final = frozenset(
    {"OPEXP", "OPEXC", "OPASN", "OPTRD", "OPCA", "SPLIT", "SPIN", "NC", "JNLS", "ACATS", "FOPT", "REO"}
)
#: What Alpaca's types mean for the cash, by how they begin; all others are charges, or credits where money comes in.
_CASH_KINDS: Final[Mapping[str, tuple[CashKind, CashKind]]] = {
    "CSD": DEPOSITS,
    "CSW": DEPOSITS,
    "JNLC": DEPOSITS,
    "ACATC": DEPOSITS,
    "TRANS": DEPOSITS,
    "DIV": DIVIDENDS,
    "CGD": DIVIDENDS,
    "INT": INTEREST,
}
_DATE_CHARS: Final = 10
_log = logging.getLogger(__name__)


class _Entry(Struct, frozen=True):
    id: str
    activity_type: str = ""
    symbol: str | None = None
    qty: Decimal | None = None
    net_amount: Decimal | None = None
    group_id: str | None = None
    status: str | None = None
    currency: str | None = None
    created_at: str | None = None
    date: str | None = None


class Activities:
    """Reads the account's activities, and keeps them: Alpaca has them for ever, so nothing is on disk.

    Args:
        line: who is asked.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._entries: dict[str, _Entry] = {}
        self._token = ""
        self._has_read = False
        self._said: set[str] = set()

    def read(self, now_ns: int) -> Sequence[BrokerActivity]:
        """Return every activity that is not a trade.

        Raises:
            RetryableBrokerError: not all of it is known yet; the next call goes on.
            StopTradingError: the keys are refused.
        """
        params = {"category": "non_trade_activity", "direction": "asc", "page_size": str(PAGE_SIZE)}
        if self._has_read and self._entries:
            newest_ns = max(_made_ns(one) for one in self._entries.values())
            params["after"] = a.iso_seconds(newest_ns - AGAIN_NS)
            self._token = ""
        while True:
            if self._token:
                params["page_token"] = self._token
            body = self._line.get("/account/activities", "the account's activities", params)
            page = a.decoded(body, list[_Entry])
            self._entries.update({one.id: one for one in page})
            if len(page) < PAGE_SIZE:
                break
            self._token = page[-1].id
        self._has_read = True
        reports: list[BrokerActivity] = []
        for one in self._entries.values():
            reports += (
                self._of_positions(one, now_ns) if one.activity_type in _OF_POSITIONS else self._cash(one, now_ns)
            )
        return [*reports, *self._splits(now_ns)]

    def _cash(self, one: _Entry, now_ns: int) -> list[BrokerActivity]:
        amount = a.scaled(one.net_amount, MICROS)
        if not amount:
            return []
        if one.currency not in {None, "", "USD"}:
            self._say(one, f"is in {one.currency} and is not booked: the books are in USD")
            return []
        reports: list[BrokerActivity] = [_moved(one, one.id, amount, now_ns)]
        if one.status == "canceled":
            reports.append(_moved(one, f"{one.id}:canceled", -amount, now_ns))
        return reports

    def _of_positions(self, one: _Entry, now_ns: int) -> list[BrokerActivity]:
        qty = abs(a.scaled(one.qty, NANOS))
        if one.activity_type in {"SPLIT", "OPTRD"}:
            # The one is told with the other half of it, the other with the exercise.
            return []
        if one.activity_type not in {"OPEXP", "OPEXC"} or one.status == "canceled" or not qty or not _is_option(one):
            self._say(one, "has no recipe here: compare positions and cash with the ledger")
            return []
        kind = BrokerExpiry if one.activity_type == "OPEXP" else BrokerExercise
        return [kind(**_common(one, one.id, now_ns), symbol=one.symbol or "", qty_nanos=qty)]

    def _splits(self, now_ns: int) -> list[BrokerActivity]:
        """Return the splits: of each one entry takes the old shares out, and another one puts the new ones in."""
        groups: dict[tuple[str, str], list[_Entry]] = {}
        for one in self._entries.values():
            if one.activity_type == "SPLIT":
                groups.setdefault((one.group_id or one.date or "", one.symbol or ""), []).append(one)
        return [report for group in groups.values() for report in self._split(group, now_ns)]

    def _split(self, group: Sequence[_Entry], now_ns: int) -> list[BrokerActivity]:
        first = min(group, key=lambda one: one.id)
        qtys = [a.scaled(one.qty, NANOS) for one in group]
        old, new = -sum(qty for qty in qtys if qty < 0), sum(qty for qty in qtys if qty > 0)
        if not (old and new and first.symbol) or any(one.status == "canceled" for one in group):
            self._say(first, "is a split whose ratio is not told: compare the position with the ledger")
            return []
        ratio = Fraction(new, old)
        if max(ratio.numerator, ratio.denominator) > RATIO_MAX:
            self._say(first, f"is a split of {old} into {new}, which is no ratio: compare the position with the ledger")
            return []
        return [
            BrokerSplit(
                **_common(first, first.id, now_ns),
                symbol=first.symbol,
                numerator=ratio.numerator,
                denominator=ratio.denominator,
            )
        ]

    def _say(self, one: _Entry, words: str) -> None:
        if one.id not in self._said:
            self._said.add(one.id)
            _log.warning("the activity %s (%s %s) %s", one.id, one.activity_type, one.symbol or "", words)


def _is_option(one: _Entry) -> bool:
    return one.symbol is not None and is_option(one.symbol)


def _common(one: _Entry, activity_id: str, now_ns: int) -> dict[str, Any]:
    return {"ts_event": now_ns, "ts_init": now_ns, "activity_id": activity_id[: a.ID_MAX], "broker": a.NAME}


def _moved(one: _Entry, activity_id: str, amount_micros: int, now_ns: int) -> BrokerCash:
    kinds = _kinds_of(one.activity_type, _CASH_KINDS.items())
    return BrokerCash(
        **_common(one, activity_id, now_ns),
        kind=kind_by_sign(kinds, amount_micros),
        amount_micros=amount_micros,
        symbol=(one.symbol or "") if kinds is DIVIDENDS else "",
    )


def _kinds_of(activity_type: str, table: Iterable[tuple[str, tuple[CashKind, CashKind]]]) -> tuple[CashKind, CashKind]:
    return next((kinds for prefix, kinds in table if activity_type.startswith(prefix)), CHARGES)


def _made_ns(one: _Entry) -> int:
    if one.created_at:
        return a.utc_ns_of(one.created_at)
    return a.utc_ns_of(f"{one.date[:_DATE_CHARS]}T00:00:00Z") if one.date else 0
