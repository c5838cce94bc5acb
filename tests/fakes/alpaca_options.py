"""Options of a stand-in of Alpaca: contracts, deltas and newest quotes, as a test has put them there.

Source: Alpaca "Trading API" 2.0.1 (/v2/options/contracts) and "Market Data API" 1.1 (/v1beta1/options), read 2026-11.
"""

from datetime import UTC, datetime
from typing import Any

NANOS = 1_000_000_000


class OptionsDesk:
    """What is listed; every public attribute is a control."""

    def __init__(self) -> None:
        self.contracts: dict[str, dict[str, Any]] = {}
        self.deltas: dict[str, float] = {}
        self.quotes: dict[str, dict[str, Any]] = {}
        self.contract_questions: list[dict[str, str]] = []
        self.quote_questions: list[dict[str, str]] = []
        self.page_max = 1_000

    def list_put(
        self, symbol: str, *, open_interest: str | None = "1200", delta: float | None = -0.48, **changes: object
    ) -> None:
        """List a standard put by its OCC symbol."""
        root, tail = symbol[:-15], symbol[-15:]
        contract = {
            "id": "98359ef7-5124-49f3-85ea-5cf02df6defa",
            "symbol": symbol,
            "name": symbol,
            "status": "active",
            "tradable": True,
            "expiration_date": f"20{tail[:2]}-{tail[2:4]}-{tail[4:6]}",
            "root_symbol": root,
            "underlying_symbol": root,
            "type": "put",
            "style": "american",
            "strike_price": str(int(tail[7:]) / 1_000),
            "multiplier": "100",
            "size": "100",
        }
        if open_interest is not None:
            contract["open_interest"] = open_interest
        self.contracts[symbol] = contract | changes
        if delta is not None:
            self.deltas[symbol] = delta

    def quote_put(self, symbol: str, bid: float, ask: float, ts_ns: int, size: int = 7) -> None:
        """Quote a put."""
        at = datetime.fromtimestamp(ts_ns // NANOS, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        stamp = f"{at}.{ts_ns % NANOS:09d}Z"
        sides = {"bp": bid, "bs": size, "bx": "A", "ap": ask, "as": size, "ax": "A"}
        self.quotes[symbol] = sides | {"c": " ", "t": stamp}

    def answer(self, path: str, asked: dict[str, str]) -> dict[str, Any] | None:
        """Return the answer to a question; None where this path is nobody's here."""
        match path:
            case "/v2/options/contracts":
                return self._contracts(asked)
            case "/v1beta1/options/snapshots":
                return self._snapshots(asked)
            case "/v1beta1/options/quotes/latest":
                self.quote_questions.append(asked)
                wanted = asked["symbols"].split(",")
                return {"quotes": {symbol: self.quotes[symbol] for symbol in wanted if symbol in self.quotes}}
        return None

    def _contracts(self, asked: dict[str, str]) -> dict[str, Any]:
        self.contract_questions.append(asked)
        found = [one for one in self.contracts.values() if _is_within(one, asked)]
        begin = int(asked.get("page_token", "0"))
        page = found[begin : begin + min(self.page_max, int(asked["limit"]))]
        token = str(begin + len(page)) if begin + len(page) < len(found) else None
        return {"option_contracts": page, "next_page_token": token}

    def _snapshots(self, asked: dict[str, str]) -> dict[str, Any]:
        greeks = {
            symbol: {"delta": self.deltas[symbol], "gamma": 0.1, "rho": 0.1, "theta": -0.1, "vega": 0.1}
            for symbol in asked["symbols"].split(",")
            if symbol in self.deltas
        }
        return {"snapshots": {symbol: {"greeks": one} for symbol, one in greeks.items()}, "next_page_token": None}


def _is_within(contract: dict[str, Any], asked: dict[str, str]) -> bool:
    return (
        contract["underlying_symbol"] == asked["underlying_symbols"]
        and asked["expiration_date_gte"] <= contract["expiration_date"] <= asked["expiration_date_lte"]
        and float(asked["strike_price_gte"]) <= float(contract["strike_price"]) <= float(asked["strike_price_lte"])
    )
