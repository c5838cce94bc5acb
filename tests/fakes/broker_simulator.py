"""A house on this machine that plays one generated session: market data, and a broker that trades at its prices.

    python tests/fakes/broker_simulator.py alpaca --date 2025-03-12 --seed 2 --speed 20
    python tests/fakes/broker_simulator.py ibkr --date 2025-03-12 --seed 2 --speed 20

The broker speaks Alpaca's protocol or that of a TWS gateway; market data is always of Alpaca's kind. The first line it
writes says in JSON where it listens and which names it knows. Then it obeys one word a line on its standard input and
answers each with one line of JSON: `cut` breaks every connection of the broker and of the market data, `books` tells
what the broker has executed and what the account holds, `quit` or the end of input ends it.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from alpaca_data import AlpacaData, SessionPlayer, generated
from alpaca_trading import AlpacaTrading
from alpaca_words import asset_json
from exchange import MICROS, Exchange
from ib_gateway import IbGateway

from bus.clock import utc_ns
from services.screener.live import LiveQuote

SECOND_NS: Final = 1_000_000_000
#: What the gateway says that each execution cost.
COMMISSION_CENTS: Final = 35
DEPOSIT_MICROS: Final = 100_000 * MICROS
NEW_YORK: Final = ZoneInfo("America/New_York")


class House(Protocol):
    """One broker with one account."""

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        ...

    def now(self, session_ns: int) -> None:
        """Hear the session's time before the prices of that moment are known."""
        ...

    def cut(self) -> None:
        """Break every connection."""
        ...

    def execution_ids(self) -> list[str]:
        """Return the broker's own ids of all executions, in the order of the trades."""
        ...

    def cash_micros(self) -> int:
        """Return the account's cash, after commissions."""
        ...

    def close(self) -> None:
        """Stop listening."""
        ...


class AlpacaHouse:
    """Alpaca's trading interface over an exchange."""

    def __init__(self, exchange: Exchange, symbols: Sequence[str]) -> None:
        self._exchange = exchange
        self._alpaca = AlpacaTrading(exchange)
        self._alpaca.assets |= {symbol: asset_json(symbol) for symbol in symbols}
        self._alpaca.__enter__()
        self.port = self._alpaca.port

    def now(self, session_ns: int) -> None:
        """The exchange stamps its trades itself."""

    def cut(self) -> None:
        """Cut the streams off; a question that is under way is answered."""
        self._alpaca.cut_streams()

    def execution_ids(self) -> list[str]:
        """Return the ids of the account's activities, which sort in the order of the trades' milliseconds."""
        found: list[str] = []
        while page := self._page(found[-1] if found else ""):
            found += [one["id"] for one in page]
        return found

    def cash_micros(self) -> int:
        """Return what the exchange has: shares are traded without commission."""
        return self._exchange.cash_micros

    def _page(self, after: str) -> list[dict[str, Any]]:
        query = {"direction": "asc", "page_size": "100"} | ({"page_token": after} if after else {})
        return list(self._alpaca.get_activities(query, None, "FILL").body)

    def close(self) -> None:
        """Stop listening."""
        self._alpaca.close()


class PunctualGateway(IbGateway):
    """A gateway whose clock is this machine's."""

    @property
    def clock_s(self) -> int:
        """Return the seconds since 1970."""
        return utc_ns() // SECOND_NS

    @clock_s.setter
    def clock_s(self, _seconds: int) -> None:
        """Leave it as it is."""


class IbkrHouse:
    """A TWS gateway over an exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._gateway = PunctualGateway(exchange)
        self._gateway.commission = str(COMMISSION_CENTS / 100)
        self.port = self._gateway.port

    def now(self, session_ns: int) -> None:
        """Set the time of executions to the session's."""
        at = datetime.fromtimestamp(session_ns // SECOND_NS, UTC).astimezone(NEW_YORK)
        self._gateway.execution_time = at.strftime("%Y%m%d %H:%M:%S US/Eastern")

    def cut(self) -> None:
        """Break every line."""
        self._gateway.drop()

    def execution_ids(self) -> list[str]:
        """Return the ids in the order of the trades."""
        return [one.execution_id for one in self._gateway.executions]

    def cash_micros(self) -> int:
        """Return what the gateway tells."""
        return self._gateway.cash_micros

    def close(self) -> None:
        """Stop listening."""
        self._gateway.close()


class Simulator:
    """A session that is played, and the broker that trades in it."""

    def __init__(self, broker: str, session_date: str, seed: int, speed: float) -> None:
        day, plan = generated(session_date, seed)
        self.symbols = day.symbols
        self._now_ns = plan.open_ns
        self._exchange = Exchange(cash_micros=0, clock=self._clock)
        self._exchange.move_cash("CSD", DEPOSIT_MICROS)
        self.house: House = (
            AlpacaHouse(self._exchange, day.symbols) if broker == "alpaca" else IbkrHouse(self._exchange)
        )
        self.data = AlpacaData(on_quotes=self._quoted)
        self._player = SessionPlayer(self.data, day, plan, speed)
        self._player.start()

    def cut(self) -> dict[str, Any]:
        """Break every connection."""
        self.house.cut()
        self.data.drop()
        return {"session_ns": self._now_ns}

    def books(self) -> dict[str, Any]:
        """Return what was executed, with the broker's ids, and what the account holds."""
        exchange, ids = self._exchange, self.house.execution_ids()
        with exchange.lock:
            return {
                "executions": ids,
                "orders": len(exchange.orders),
                "open_orders": [order.ticket.client_id for order in exchange.open_orders()],
                "cash_micros": self.house.cash_micros(),
                "positions": {symbol: qty for symbol, qty in exchange.positions.items() if qty},
            }

    def close(self) -> None:
        """Stop everything."""
        self._player.close()
        self.data.close()
        self.house.close()

    def _clock(self) -> int:
        return self._now_ns

    def _quoted(self, session_ns: int, quotes: Sequence[LiveQuote]) -> None:
        self._now_ns = max(self._now_ns, session_ns)
        self.house.now(self._now_ns)
        for quote in quotes:
            if min(quote.bid_micros, quote.ask_micros) > 0:
                self._exchange.set_quote(
                    quote.symbol,
                    quote.bid_micros,
                    quote.ask_micros,
                    bid_nanos=quote.bid_size_nanos,
                    ask_nanos=quote.ask_size_nanos,
                )


def main(arguments: Sequence[str]) -> int:
    """Run until it is told to end."""
    parser = argparse.ArgumentParser(description="A simulated broker and its market, on this machine alone.")
    parser.add_argument("broker", choices=("alpaca", "ibkr"))
    parser.add_argument("--date", default="2025-03-12", help="the session's day, YYYY-MM-DD")
    parser.add_argument("--seed", type=int, default=2, help="the seed of the generated market")
    parser.add_argument("--speed", type=float, default=20.0, help="times real time")
    asked = parser.parse_args(arguments)
    simulator = Simulator(asked.broker, asked.date, asked.seed, asked.speed)
    ports = {"port": simulator.house.port, "data_port": simulator.data.port}
    _say(ports | {"symbols": list(simulator.symbols)})
    answers: dict[str, Callable[[], dict[str, Any]]] = {"cut": simulator.cut, "books": simulator.books}
    try:
        for line in sys.stdin:
            if line.strip() == "quit":
                break
            answer = answers.get(line.strip())
            _say(answer() if answer else {"fault": f"unknown word {line.strip()!r}"})
    except KeyboardInterrupt:
        return 130
    finally:
        simulator.close()
    return 0


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
