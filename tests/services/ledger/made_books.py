"""Books made by hand for what reads them: every kind of event, also those that no broker has told yet."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from config.identity import Identity
from services.ledger.coa_utils_ledger import load_template
from services.ledger.reading import Books, CloseRow, Commodity, Entry, Line, LotRow, Period

SHARE = 10**9
DOLLAR = 10**6
CALL = "AAPL250620C00200000"
MARCH = Period(first=date(2025, 3, 1), last=date(2025, 3, 31))
IDENTITY = Identity(
    entity_code="ACME", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
)


def at(text: str) -> int:
    """Nanoseconds of a moment such as 2025-03-03 14:30:00, UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def micros(dollars: float | str) -> int:
    return round(float(dollars) * DOLLAR)


class Maker:
    """Books entries one after the other; `books()` gives them as they would be read from a file."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.commodities: dict[str, Commodity] = {
            "USD": Commodity(symbol="USD", kind="CURRENCY", scale=6, multiplier=1)
        }
        self.open: dict[tuple[str, str], list[list[Any]]] = {}
        self.lots = self.closes = 0

    def add(self, event: str, when: str, lines: Sequence[tuple[str, str, int]], **more: Any) -> int:
        seq = len(self.entries) + 1
        for _, name, _ in lines:
            kind, multiplier = ("OPTION", 100) if len(name) > 15 else ("EQUITY", 1)
            self.commodities.setdefault(name, Commodity(symbol=name, kind=kind, scale=9, multiplier=multiplier))
        fields: dict[str, Any] = {
            "seq": seq,
            "event_type": event,
            "source_event_id": f"PAPER:{seq}:{event}",
            "symbol": "",
            "description": f"{event} {seq}",
            "gain_micros": 0,
            "occurred_ns": at(when),
            "recorded_ns": at(when),
        }
        posted = tuple(Line(account=code, commodity=name, amount=amount) for code, name, amount in lines if amount)
        self.entries.append(Entry(**(fields | more), lines=posted))
        return seq

    def cash(self, event: str, when: str, dollars: float, other: str, symbol: str = "", cash: str = "1010") -> int:
        amount = micros(dollars)
        return self.add(event, when, [(cash, "USD", amount), (other, "USD", -amount)], symbol=symbol)

    def buy(self, name: str, when: str, qty: float, cost: float, commission: float = 0, fees: float = 0) -> int:
        """A purchase; `cost` in dollars without commission and fees."""
        account = "1230" if len(name) > 15 else "1210"
        lot = self._lot(account, name, at(when), micros(qty) * 1000, micros(cost))
        return self.add(
            "BUY",
            when,
            [
                (account, "USD", lot.cost),
                ("5010", "USD", micros(commission)),
                ("5020", "USD", micros(fees)),
                ("1010", "USD", -lot.cost - micros(commission) - micros(fees)),
                *self._units(name, lot.qty),
            ],
            symbol=name,
            opened=(lot,),
        )

    def sell(self, name: str, when: str, qty: float, proceeds: float, commission: float = 0, fees: float = 0) -> int:
        account, gain_account = ("1230", "4030") if len(name) > 15 else ("1210", "4010")
        closed = self._close(account, name, micros(qty) * 1000, micros(proceeds), at(when))
        gain = sum(close.gain for close in closed)
        return self.add(
            "SELL" if proceeds else "EXPIRE",
            when,
            [
                (account, "USD", -sum(close.cost for close in closed)),
                ("1010", "USD", micros(proceeds) - micros(commission) - micros(fees)),
                ("5010", "USD", micros(commission)),
                ("5020", "USD", micros(fees)),
                (gain_account, "USD", -gain),
                *self._units(name, -micros(qty) * 1000),
            ],
            symbol=name,
            closed=closed,
            gain_micros=gain,
        )

    def short(self, name: str, when: str, qty: float, proceeds: float) -> int:
        lot = self._lot("2210", name, at(when), micros(qty) * 1000, micros(proceeds))
        lines = [("1010", "USD", lot.cost), ("2210", "USD", -lot.cost), *self._units(name, -lot.qty)]
        return self.add("SHORT", when, lines, symbol=name, opened=(lot,))

    def cover(self, name: str, when: str, qty: float, paid: float) -> int:
        (close,) = self._close("2210", name, micros(qty) * 1000, micros(paid), at(when))
        gain = close.cost - close.proceeds
        told = CloseRow(**{**{f: getattr(close, f) for f in close.__struct_fields__}, "gain": gain})
        lines = [
            ("2210", "USD", close.cost),
            ("1010", "USD", -micros(paid)),
            ("4010", "USD", -gain),
            *self._units(name, close.qty),
        ]
        return self.add("COVER", when, lines, symbol=name, closed=(told,), gain_micros=gain)

    def split(self, name: str, when: str, new: int, old: int) -> int:
        lots = [(lot, left, cost) for lot, left, cost in self.open["1210", name] if left]
        closed = self._close("1210", name, sum(left for _, left, _ in lots), sum(cost for *_, cost in lots), at(when))
        opened = tuple(self._lot("1210", name, lot.acquired_ns, left * new // old, cost) for lot, left, cost in lots)
        grown = sum(lot.qty for lot in opened) - sum(close.qty for close in closed)
        even = tuple(
            CloseRow(
                **{**{f: getattr(c, f) for f in c.__struct_fields__}, "proceeds": c.cost, "gain": 0, "kind": "SPLIT"}
            )
            for c in closed
        )
        return self.add("SPLIT", when, self._units(name, grown), symbol=name, opened=opened, closed=even)

    def exercise(self, call: str, name: str, when: str, paid: float) -> int:
        """Take 100 shares for one call that is held; its cost joins theirs."""
        (close,) = self._close("1230", call, SHARE, 0, at(when))
        even = CloseRow(
            **{
                **{f: getattr(close, f) for f in close.__struct_fields__},
                "proceeds": close.cost, "gain": 0, "kind": "EXERCISE",
            }
        )  # fmt: skip
        lot = self._lot("1210", name, at(when), 100 * SHARE, micros(paid) + close.cost)
        lines = [
            ("1230", "USD", -close.cost), ("1210", "USD", lot.cost), ("1010", "USD", -micros(paid)),
            *self._units(call, -SHARE), *self._units(name, lot.qty),
        ]  # fmt: skip
        return self.add("EXERCISE", when, lines, symbol=call, opened=(lot,), closed=(even,))

    def reverse(self, seq: int, when: str) -> int:
        """Take back a purchase of which nothing was sold."""
        was = self.entries[seq - 1]
        (lot,) = was.opened
        closed = self._close(lot.account, lot.commodity, lot.qty, lot.cost, at(when))
        closed = tuple(
            CloseRow(**{**{f: getattr(c, f) for f in c.__struct_fields__}, "kind": "REVERSAL"}) for c in closed
        )
        lines = [(line.account, line.commodity, -line.amount) for line in was.lines]
        return self.add("REVERSAL", when, lines, symbol=was.symbol, closed=closed, reverses_seq=seq)

    def books(self) -> Books:
        return Books(
            identity=IDENTITY,
            is_named=True,
            accounts={account.code: account for account in load_template().accounts},
            commodities=dict(self.commodities),
            entries=tuple(self.entries),
        )

    def _lot(self, account: str, name: str, acquired_ns: int, qty: int, cost: int) -> LotRow:
        self.lots += 1
        lot = LotRow(
            lot_id=self.lots,
            open_tx=len(self.entries) + 1,
            account=account,
            commodity=name,
            acquired_ns=acquired_ns,
            qty=qty,
            cost=cost,
        )
        self.open.setdefault((account, name), []).append([lot, qty, cost])
        return lot

    def _close(self, account: str, name: str, qty: int, proceeds: int, now_ns: int) -> tuple[CloseRow, ...]:
        """Take the oldest lots; proceeds by quantity, costs and proceeds to the cent."""
        closes, wanted, paid = [], qty, 0
        for row in self.open[account, name]:
            lot, left, cost_left = row
            part = min(left, wanted)
            if not part:
                continue
            wanted -= part
            taken = cost_left if part == left else round(cost_left * part / left / 10_000) * 10_000
            until = proceeds if not wanted else round(proceeds * (qty - wanted) / qty / 10_000) * 10_000
            row[1:] = [left - part, cost_left - taken]
            self.closes += 1
            closes.append(
                CloseRow(
                    close_id=self.closes,
                    lot_id=lot.lot_id,
                    tx_seq=len(self.entries) + 1,
                    qty=part,
                    cost=taken,
                    proceeds=until - paid,
                    gain=until - paid - taken,
                    qty_left=left - part,
                    cost_left=cost_left - taken,
                    term="ST",
                )
            )
            paid = until
        assert wanted == 0
        return tuple(closes)

    @staticmethod
    def _units(name: str, amount: int) -> list[tuple[str, str, int]]:
        return [("9010", name, amount), ("9090", name, -amount)]


def month() -> Maker:
    """A month with each kind of event, and one deposit of the month before."""
    made = Maker()
    made.cash("DEPOSIT", "2025-02-27 15:00:00", 100_000, "3010")
    made.buy("AAPL", "2025-03-03 14:31:00", 10, 1000.35, commission=0.35)
    made.buy("BRK.B", "2025-03-03 14:32:00", 2.5, 1225.1234, fees=0.02)
    made.buy(CALL, "2025-03-04 15:00:00", 2, 650, commission=1.30, fees=0.04)
    made.sell("AAPL", "2025-03-05 15:30:00", 4, 480.02, commission=0.10, fees=0.03)
    made.sell(CALL, "2025-03-06 15:00:00", 1, 410, commission=0.65, fees=0.03)
    made.split("AAPL", "2025-03-10 13:30:00", 2, 1)
    made.cash("DIVIDEND", "2025-03-11 00:00:00", 3.12, "4110", symbol="AAPL")
    made.cash("INTEREST", "2025-03-12 00:00:00", 1.07, "4120")
    made.cash("FEE", "2025-03-12 12:00:00", -0.50, "5060")
    made.cash("FEE", "2025-03-12 12:30:00", -0.25, "5020", symbol="BRK.B")
    made.add("RESERVE", "2025-03-13 22:00:00", [("1030", "USD", 50 * DOLLAR), ("1010", "USD", -50 * DOLLAR)])
    made.short("MSFT", "2025-03-14 14:00:00", 5, 2000)
    made.cover("MSFT", "2025-03-14 19:00:00", 5, 1980)
    wrong = made.buy("USD/UNITS", "2025-03-17 15:00:00", 3, 150)
    made.reverse(wrong, "2025-03-17 16:00:00")
    made.cash("WITHDRAWAL", "2025-03-18 15:00:00", -1000, "3020")
    made.sell(CALL, "2025-03-21 20:00:00", 1, 0)
    made.cash("TAX_PAID", "2025-03-24 15:00:00", -20, "5120", cash="1030")
    made.sell("AAPL", "2025-03-25 15:00:00", 3.5, 200)
    return made
