"""The messages of a stand-in gateway, field by field, as servers of version 157 to 176 write them.

Each function returns the fields of one message; numbers that the library reads as "none" are empty.
"""

import struct
from dataclasses import dataclass
from decimal import Decimal

MICROS = 1_000_000
NANOS = 1_000_000_000
UNSET = "1.7976931348623157E308"


@dataclass
class Contract:
    """What is traded; `symbol` as Interactive Brokers writes it, such as BRK B."""

    con_id: int
    symbol: str
    kind: str = "STK"
    local_symbol: str = ""
    expiry: str = ""
    strike: str = "0"
    right: str = ""
    multiplier: str = ""
    currency: str = "USD"
    primary: str = "NASDAQ"

    @property
    def fields(self) -> list[object]:
        """The eleven fields of a contract inside another message."""
        return [
            self.con_id,
            self.symbol,
            self.kind,
            self.expiry,
            self.strike,
            self.right,
            self.multiplier,
            "SMART",
            self.currency,
            self.local_symbol or self.symbol,
            self.symbol,
        ]


@dataclass
class IbOrder:
    """An order as the gateway remembers it. Prices in micros, quantities in nanos."""

    order_id: int
    client_id: int
    perm_id: int
    account: str
    ref: str
    contract: Contract
    action: str
    qty_nanos: int
    kind: str
    limit_micros: int = 0
    aux_micros: int = 0
    trail_percent: str = ""
    tif: str = "DAY"
    outside_rth: str = "0"
    transmit: str = "1"
    parent_id: int = 0
    status: str = "Submitted"
    filled_nanos: int = 0
    average_micros: int = 0
    stop_micros: int = 0
    words: str = ""
    exchange_id: str = ""
    is_of_yesterday: bool = False

    @property
    def is_over(self) -> bool:
        return self.status in {"Filled", "Cancelled", "ApiCancelled", "Inactive"}


def frame(fields: list[object]) -> bytes:
    """Return a message as it is on the line."""
    body = "".join(f"{field}\0" for field in fields).encode()
    return struct.pack(">I", len(body)) + body


def money(micros: int) -> str:
    """Write micros as dollars."""
    return format(Decimal(micros) / MICROS, "f")


def quantity(nanos: int) -> str:
    """Write nanos as units."""
    return format((Decimal(nanos) / NANOS).normalize(), "f")


def error(request_id: int, code: int, text: str, version: int) -> list[object]:
    """4: a fault, a warning or news of the line."""
    return [4, 2, request_id, code, text, *([""] if version >= 166 else [])]


def open_order(o: IbOrder, version: int) -> list[object]:
    """5: an order, whole."""
    is_trail, is_stop = o.kind == "TRAIL", o.kind == "STP"
    fields: list[object] = [5, o.order_id, *o.contract.fields, o.action, quantity(o.qty_nanos), o.kind]
    fields += [money(o.limit_micros) if o.kind == "LMT" else "0.0", money(o.aux_micros) if is_stop else "0.0"]
    fields += [o.tif, "", o.account, "", 0, o.ref, o.client_id, o.perm_id, o.outside_rth, 0, 0, "", "", "", "", "", ""]
    # modelCode .. exemptCode, auctionStrategy .. triggerMethod, volatility .. deltaNeutralAuxPrice
    fields += ["", "", "", "", "", 0, "", -1, 0, "", "", "", "", "", 0, 0, 0, 0, "", 3, 0, 0, "", o.parent_id, 0]
    fields += ["", 0, "None", ""]
    fields += _delta_neutral()
    fields += [0, 0, money(o.stop_micros) if is_trail and o.stop_micros else "", o.trail_percent, "", "", ""]
    fields += [0, 0, 0, "", "", "", "", 0, "", "IB", 0, 0, ""]
    fields += [0, 0, o.status, *([UNSET] * 9), "", "", "", "", o.words if o.status == "Inactive" else "", 0, 0]
    fields += [0, "None", "", money(o.stop_micros) if is_trail and o.stop_micros else "", "", "", "", "", 0]
    fields += ["", "", "", 0, 0, 0, 0, ""]
    fields += [""] if version >= 159 else []
    fields += [""] if version >= 160 else []
    fields += [0] if version >= 162 else []
    fields += ["", "", "", "", ""] if version >= 170 else []
    return fields


def _delta_neutral() -> list[object]:
    """The block that follows a delta-neutral order type, which gateways name "None" for every order."""
    return [0, "", "", "", "?", 0, 0, ""]


def order_status(o: IbOrder, *, why_held: str = "") -> list[object]:
    """3: where an order is in its life."""
    rest = quantity(o.qty_nanos - o.filled_nanos)
    price = money(o.average_micros)
    return [
        3,
        o.order_id,
        o.status,
        quantity(o.filled_nanos),
        rest,
        price,
        o.perm_id,
        o.parent_id,
        price,
        o.client_id,
        why_held,
        0,
    ]


def completed_order(o: IbOrder, version: int) -> list[object]:
    """101: an order of today that is over."""
    is_stop = o.kind == "STP"
    fields: list[object] = [101, *o.contract.fields, o.action, quantity(o.qty_nanos), o.kind]
    fields += [money(o.limit_micros) if o.kind == "LMT" else "0.0", money(o.aux_micros) if is_stop else "0.0", o.tif]
    fields += ["", o.account, "", 0, o.ref, o.perm_id, 0, 0, 0, "", "", "", "", ""]
    # modelCode .. exemptCode, startingPrice .. deltaNeutralAuxPrice
    fields += ["", "", "", "", "", 0, "", -1, "", "", "", "", "", 0, 0, 0, "", 3, 0, "", 0, "None", ""]
    fields += [0, 0, 0, ""]
    fields += [0, 0, "", "", ""]
    fields += [0, 0, 0, "", "", "", "", "", "IB", 0, 0, "", 0, o.status, 0, 0, 0]
    done = f"Filled Size: {quantity(o.filled_nanos)}" if o.status == "Filled" else o.words or "Cancelled by Trader"
    fields += ["", "", "", 0, 0, "", quantity(o.filled_nanos), 0, 0, "", 0, 0, 0, "20250701 10:00:00 US/Eastern", done]
    fields += ["", "", "", "", ""] if version >= 170 else []
    return fields


@dataclass
class IbExecution:
    """One trade as the gateway remembers it."""

    execution_id: str
    order: IbOrder
    time: str
    qty_nanos: int
    price_micros: int
    total_nanos: int
    average_micros: int
    commission: str
    is_of_yesterday: bool = False

    @property
    def commission_micros(self) -> int:
        """What the account was charged."""
        return 0 if self.commission == UNSET else int(Decimal(self.commission) * MICROS)


def execution(request_id: int, e: IbExecution) -> list[object]:
    """11: a trade; `request_id` -1 as it happens."""
    o = e.order
    fields: list[object] = [11, request_id, o.order_id, *o.contract.fields, e.execution_id, e.time, o.account, "ISLAND"]
    fields += ["BOT" if o.action == "BUY" else "SLD", quantity(e.qty_nanos), money(e.price_micros), o.perm_id]
    return [*fields, o.client_id, 0, quantity(e.total_nanos), money(e.average_micros), o.ref, "", "", "", 2]


def commission(execution_id: str, amount: str, gain: str = UNSET) -> list[object]:
    """59: what a trade cost."""
    return [59, 1, execution_id, amount, "USD", gain, "", ""]


def contract_details(request_id: int, c: Contract, hours: tuple[str, str], version: int) -> list[object]:
    """10: a contract; `hours` are its trading and its liquid hours, in New York."""
    fields: list[object] = [10, *([8] if version < 164 else []), request_id, c.symbol, c.kind, c.expiry, c.strike]
    fields += [c.right, "SMART", c.currency, c.local_symbol or c.symbol, "NMS", c.symbol, c.con_id, "0.01"]
    fields += [100] if version < 164 else []
    fields += [c.multiplier, "ACTIVETIM,LMT,MKT,STP,TRAIL", "SMART,NASDAQ", 1, 0, f"{c.symbol} INC", c.primary, ""]
    fields += ["", "", "", "US/Eastern", *hours, "", 0, 0, 1, "", "", "26", "", "COMMON"]
    fields += [1] if version == 163 else []
    return fields + ([1, 1, 100] if version >= 164 else [])


def position(account: str, c: Contract, nanos: int) -> list[object]:
    """61: what is held of a contract."""
    return [61, 3, account, *c.fields, quantity(nanos), "0.0"]
