"""A stand-in of Alpaca's market data on 127.0.0.1: the stock stream and the REST interface, on one port.

It plays a whole session at a speed of its own, or says just what a test tells it to. It misbehaves only when told. As
a program: `python tests/fakes/alpaca_data.py --port 8421 --date 2025-03-12 --seed 2 --speed 10`.

Source: Alpaca, "Real-time Stock Data" and "Market Data API" 1.1, read 2026-11.
"""

import argparse
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from alpaca_options import OptionsDesk
from websockets.datastructures import Headers
from websockets.exceptions import WebSocketException
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bus.clock import utc_ns
from bus.messages import MICROS, NANOS, BarBatch, QuoteBatch, SessionPlanned
from services.screener.live import LiveBar, LiveQuote
from services.screener.steps import MINUTE_NS, MarketDay, messages

SECOND_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PAGE_MAX = 10_000
#: The session is quoted so long before its open and after its close, each second.
_AROUND_NS = 5 * SECOND_NS
_TICK_OFFSET_NS = 100_000_000
SUCCESS, ERROR = "success", "error"
OnQuotes = Callable[[int, Sequence[LiveQuote]], object]


def stamp(ts_ns: int) -> datetime:
    """Return a time as msgpack carries it."""
    return _EPOCH + timedelta(microseconds=ts_ns // 1_000)


def text(ts_ns: int) -> str:
    """Return a time as JSON carries it."""
    return stamp(ts_ns).strftime("%Y-%m-%dT%H:%M:%SZ")


def wire_quote(quote: LiveQuote) -> dict[str, Any]:
    """Return a quote as the stream says it."""
    return {
        "T": "q",
        "S": quote.symbol,
        "bx": "V",
        "bp": quote.bid_micros / MICROS,
        "bs": quote.bid_size_nanos // NANOS,
        "ax": "V",
        "ap": quote.ask_micros / MICROS,
        "as": quote.ask_size_nanos // NANOS,
        "c": ["R"],
        "z": "C",
        "t": stamp(quote.ts_ns),
    }


def wire_bar(bar: LiveBar) -> dict[str, Any]:
    """Return a bar as both interfaces say it, without its name and time."""
    return {
        "o": bar.open_micros / MICROS,
        "h": bar.high_micros / MICROS,
        "l": bar.low_micros / MICROS,
        "c": bar.close_micros / MICROS,
        "v": bar.volume_nanos / NANOS,
        "n": 1,
        "vw": bar.close_micros / MICROS,
    }


class _Client:
    """One connection to the stream and what it has subscribed."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.quotes: set[str] = set()
        self.bars: set[str] = set()
        self.is_subscribed = False

    def send(self, items: Sequence[dict[str, Any]]) -> None:
        try:
            self.socket.send(msgspec.msgpack.encode(items))
        except WebSocketException:
            # It is gone: its own thread notices.
            return


class AlpacaData:
    """Market data of Alpaca's kind.

    Args:
        keys: the only keys that are taken; None = any.
        port: where to listen; 0 = a free port, which `port` then is.
        symbols_max: how many names may be subscribed.
        on_quotes: hears every quote that is said, with the session's time, in the thread that says it.
    """

    def __init__(
        self,
        *,
        keys: tuple[str, str] | None = None,
        port: int = 0,
        symbols_max: int = 10_000,
        on_quotes: OnQuotes | None = None,
    ) -> None:
        self.now_ns = 0
        #: What is answered to whoever shows keys, once for each item, before anything else: (code, words).
        self.refusals: list[tuple[int, str]] = []
        self.is_mute = False
        #: These names' bars are not said by the stream; REST has them.
        self.withheld: set[str] = set()
        #: So many REST questions get this status first.
        self.rest_faults = 0
        self.rest_status = 500
        self.page_max = _PAGE_MAX
        self.connections = 0
        self.questions: list[dict[str, str]] = []
        self.bars: dict[tuple[str, int], LiveBar] = {}
        self.snapshots: dict[str, dict[str, Any]] = {}
        self.options = OptionsDesk()
        self.first_subscription = threading.Event()
        self._keys = keys
        self._symbols_max = symbols_max
        self._on_quotes = on_quotes
        self._newest: dict[str, LiveQuote] = {}
        self._lock = threading.Lock()
        self._clients: list[_Client] = []
        self._server: Server = serve(
            self._serve, "127.0.0.1", port, process_request=self._rest, logger=logging.getLogger("alpaca_data")
        )
        self.port: int = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="alpaca-data", daemon=True)
        self._thread.start()

    @property
    def stream_url(self) -> str:
        """Return where the stream is, without the feed's name."""
        return f"ws://127.0.0.1:{self.port}/v2"

    @property
    def rest_url(self) -> str:
        """Return where the REST interface is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def subscribed(self) -> tuple[set[str], set[str]]:
        """Return the names whose quotes and whose bars anybody has subscribed."""
        with self._lock:
            return set().union(*(one.quotes for one in self._clients)), set().union(*(c.bars for c in self._clients))

    def close(self) -> None:
        """Hang up and stop listening."""
        self.drop()
        self._server.shutdown()
        self._thread.join(5)

    # --- what a test or a session says -----

    def say_quotes(self, quotes: Iterable[LiveQuote]) -> None:
        """Say quotes to whoever has subscribed them."""
        said = list(quotes)
        self.now_ns = max([self.now_ns, *(quote.ts_ns for quote in said)])
        with self._lock:
            self._newest.update((quote.symbol, quote) for quote in said)
        if self._on_quotes is not None:
            self._on_quotes(self.now_ns, said)
        self._send(lambda client: [wire_quote(quote) for quote in said if quote.symbol in client.quotes])

    def say_bars(self, bars: Iterable[LiveBar]) -> None:
        """Say bars to whoever has subscribed them, and keep them for REST."""
        said = list(bars)
        self.keep_bars(said)
        self._send(
            lambda client: [
                {"T": "b", "S": bar.symbol, "t": stamp(bar.end_ns - MINUTE_NS), **wire_bar(bar)}
                for bar in said
                if bar.symbol in client.bars and bar.symbol not in self.withheld
            ]
        )

    def keep_bars(self, bars: Iterable[LiveBar]) -> None:
        """Keep bars for REST alone."""
        for bar in bars:
            self.now_ns = max(self.now_ns, bar.end_ns)
            self.bars[bar.symbol, bar.end_ns] = bar

    def say_bytes(self, payload: bytes) -> None:
        """Say anything at all to everybody."""
        for client in self._listeners():
            try:
                client.socket.send(payload)
            except WebSocketException:
                continue

    def say_error(self, code: int, words: str) -> None:
        """Say an error to everybody."""
        self._send(lambda _client: [{"T": ERROR, "code": code, "msg": words}])

    def drop(self) -> None:
        """End every connection to the stream."""
        with self._lock:
            dropped, self._clients = self._clients, []
        for client in dropped:
            client.socket.close(1011)

    def _listeners(self) -> list[_Client]:
        with self._lock:
            return [] if self.is_mute else list(self._clients)

    def _send(self, items_of: Callable[[_Client], list[dict[str, Any]]]) -> None:
        for client in self._listeners():
            items = items_of(client)
            if items:
                client.send(items)

    # --- the stream -----

    def _serve(self, socket: ServerConnection) -> None:
        client = _Client(socket)
        self.connections += 1
        try:
            client.send([{"T": SUCCESS, "msg": "connected"}])
            for payload in socket:
                if not self._answer(client, payload):
                    return
        except WebSocketException:
            return
        finally:
            with self._lock:
                if client in self._clients:
                    self._clients.remove(client)

    def _answer(self, client: _Client, payload: str | bytes) -> bool:
        asked = msgspec.msgpack.decode(payload) if isinstance(payload, bytes) else json.loads(payload)
        if asked.get("action") == "auth":
            return self._let_in(client, asked)
        with self._lock:
            is_known = client in self._clients
        if not is_known:
            client.send([{"T": ERROR, "code": 401, "msg": "not authenticated"}])
            return True
        if asked.get("action") == "unsubscribe":
            client.quotes -= set(asked.get("quotes", ()))
            client.bars -= set(asked.get("bars", ()))
            self._say_subscription(client)
            return True
        wanted = client.quotes | set(asked.get("quotes", ()))
        if len(wanted) > self._symbols_max:
            client.send([{"T": ERROR, "code": 405, "msg": "symbol limit exceeded"}])
            return True
        client.quotes = wanted
        client.bars |= set(asked.get("bars", ()))
        self._say_subscription(client)
        self.first_subscription.set()
        return True

    def _say_subscription(self, client: _Client) -> None:
        client.send([{"T": "subscription", "trades": [], "quotes": sorted(client.quotes), "bars": sorted(client.bars)}])

    def _let_in(self, client: _Client, asked: dict[str, Any]) -> bool:
        if self.refusals:
            code, words = self.refusals.pop(0)
            client.send([{"T": ERROR, "code": code, "msg": words}])
            return False
        if self._keys is not None and (asked.get("key"), asked.get("secret")) != self._keys:
            client.send([{"T": ERROR, "code": 402, "msg": "auth failed"}])
            return False
        client.send([{"T": SUCCESS, "msg": "authenticated"}])
        with self._lock:
            self._clients.append(client)
        return True

    # --- REST -----

    def _rest(self, _socket: ServerConnection, request: Request) -> Response | None:
        if request.headers.get("Upgrade"):
            return None
        parts = urlsplit(request.path)
        asked = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        keys = request.headers.get("APCA-API-KEY-ID", ""), request.headers.get("APCA-API-SECRET-KEY", "")
        if self._keys is not None and keys != self._keys:
            return _json(403, {"message": "forbidden."})
        if self.rest_faults:
            self.rest_faults -= 1
            return _json(self.rest_status, {"message": "internal server error"})
        answer = {
            "/v2/stocks/bars": self._past_bars,
            "/v2/stocks/snapshots": self._snapshots,
            "/v2/stocks/quotes/latest": self._latest_quotes,
        }.get(parts.path)
        if answer is not None:
            return answer(asked)
        told = self.options.answer(parts.path, asked)
        return _json(404, {"message": "not found"}) if told is None else _json(200, told)

    def _past_bars(self, asked: dict[str, str]) -> Response:
        if "limit" not in asked or asked.get("timeframe") != "1Min":
            return _json(400, {"message": "invalid timeframe or limit"})
        self.questions.append(asked)
        first, last = _ns(asked["start"]), _ns(asked["end"])
        wanted = set(asked["symbols"].split(","))
        found = sorted(
            (symbol, end_ns)
            for symbol, end_ns in list(self.bars)
            if symbol in wanted and first <= end_ns - MINUTE_NS <= last and end_ns <= self.now_ns
        )
        begin = int(asked.get("page_token", "0"))
        page = found[begin : begin + min(int(asked["limit"]), self.page_max)]
        bars: dict[str, list[dict[str, Any]]] = {}
        for symbol, end_ns in page:
            item = {"t": text(end_ns - MINUTE_NS), **wire_bar(self.bars[symbol, end_ns])}
            bars.setdefault(symbol, []).append(item)
        token = str(begin + len(page)) if begin + len(page) < len(found) else None
        return _json(200, {"bars": bars, "next_page_token": token})

    def _snapshots(self, asked: dict[str, str]) -> Response:
        wanted = asked.get("symbols", "").split(",")
        return _json(200, {one: self.snapshots[one] | self._so_far(one) for one in wanted if one in self.snapshots})

    def _so_far(self, symbol: str) -> dict[str, Any]:
        """Return the day of a name up to now: its daily bar, and the last trade; nothing before its first minute."""
        bars = [bar for (name, end_ns), bar in list(self.bars.items()) if name == symbol and end_ns <= self.now_ns]
        if not bars:
            return {}
        last = max(bars, key=lambda bar: bar.end_ns)
        price, volume = last.close_micros / MICROS, sum(bar.volume_nanos for bar in bars) / NANOS
        before = self.snapshots[symbol].get("prevDailyBar", {})
        return {
            "latestTrade": {"p": price, "t": text(last.end_ns - SECOND_NS)},
            "dailyBar": {"c": price, "v": volume, "t": f"{text(last.end_ns)[:10]}T05:00:00Z"},
            "prevDailyBar": before,
        }

    def _latest_quotes(self, asked: dict[str, str]) -> Response:
        with self._lock:
            found = {one: self._newest[one] for one in asked.get("symbols", "").split(",") if one in self._newest}
        quotes = {
            symbol: {**wire_quote(quote), "t": text(quote.ts_ns)} | {"T": None} for symbol, quote in found.items()
        }
        return _json(200, {"quotes": quotes})


def _ns(words: str) -> int:
    return int(datetime.fromisoformat(words).timestamp()) * SECOND_NS


def _json(status: int, body: object) -> Response:
    payload = json.dumps(body).encode()
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(payload)), "Connection": "close"})
    # Alpaca says with each answer when the minute of its caller is over.
    headers["X-RateLimit-Reset"] = str(utc_ns() // SECOND_NS)
    return Response(status, "OK" if status < 400 else "Refused", headers, payload)


class SessionPlayer:
    """Plays a session through a stand-in: quotes each second, bars right after their minute.

    It begins with the first subscription, some seconds before the open. `speed` is how many times faster than real.
    """

    def __init__(self, data: AlpacaData, day: MarketDay, plan: SessionPlanned, speed: float) -> None:
        self._data = data
        self._plan = plan
        self._speed = speed
        self._said = list(messages(day, plan))
        self._newest: dict[str, LiveQuote] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="session-player", daemon=True)
        data.snapshots = snapshots_of(day, plan)
        self.has_ended = threading.Event()

    def start(self) -> None:
        """Wait for somebody, then play."""
        self._thread.start()

    def close(self) -> None:
        """Stop where it is."""
        self._stop.set()
        self._data.first_subscription.set()
        self._thread.join(5)

    def _run(self) -> None:
        self._data.first_subscription.wait()
        begun_ns = self._plan.open_ns - _AROUND_NS
        started = time.monotonic()
        at = 0
        for tick_ns in range(begun_ns + _TICK_OFFSET_NS, self._plan.close_ns + _AROUND_NS, SECOND_NS):
            due = started + (tick_ns - begun_ns) / SECOND_NS / self._speed
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return
            while at < len(self._said) and self._said[at].ts_event <= tick_ns:
                self._say(self._said[at])
                at += 1
            self._tick(tick_ns)
        self.has_ended.set()

    def _say(self, message: object) -> None:
        if isinstance(message, QuoteBatch):
            for quote in message.quotes:
                self._newest[quote.symbol] = LiveQuote(
                    quote.symbol,
                    quote.bid_micros,
                    quote.ask_micros,
                    quote.bid_size_nanos,
                    quote.ask_size_nanos,
                    quote.ts_event,
                )
        elif isinstance(message, BarBatch):
            self._data.say_bars(
                LiveBar(
                    bar.symbol,
                    bar.open_micros,
                    bar.high_micros,
                    bar.low_micros,
                    bar.close_micros,
                    bar.volume_nanos,
                    message.ts_event,
                )
                for bar in message.bars
            )

    def _tick(self, tick_ns: int) -> None:
        quotes = self._newest.values()
        if not quotes:
            # Before the first quote of the session its names stand where they will open.
            first = next(message for message in self._said if isinstance(message, QuoteBatch))
            self._say(first)
        self._newest = {symbol: msgspec.structs.replace(one, ts_ns=tick_ns) for symbol, one in self._newest.items()}
        self._data.say_quotes(list(self._newest.values()))


def snapshots_of(day: MarketDay, plan: SessionPlanned) -> dict[str, dict[str, Any]]:
    """Return what /v2/stocks/snapshots says before the open: yesterday, and the last pre-market price."""
    session = date.fromisoformat(plan.session_date)
    before = (session - timedelta(days=1)).isoformat()
    found = {}
    for row in day.rows:
        bar = {"c": row.prior_close_micros / MICROS, "v": row.prior_volume_nanos / NANOS, "t": f"{before}T05:00:00Z"}
        trade = {"p": row.price_micros / MICROS, "t": text(plan.open_ns - 60 * SECOND_NS)}
        found[row.symbol] = {"latestTrade": trade, "dailyBar": bar, "prevDailyBar": bar}
    return found


def generated(session_date: str, seed: int, symbols: Sequence[str] = ()) -> tuple[MarketDay, SessionPlanned]:
    """Return the generated market of a day with the exchange's calendar and the proposals of the settings."""
    from bus.calendar import plan_session, read_exchange_day
    from config.env_bot import parse, proposals
    from services.screener.generator import generate

    plan = plan_session(read_exchange_day(session_date), parse(proposals()), 0)
    return generate(plan, seed, symbols), plan


def main(arguments: Sequence[str]) -> int:
    """Play one session for whoever comes, until it is over or the program is stopped."""
    parser = argparse.ArgumentParser(description="A stand-in of Alpaca's market data that plays a generated session.")
    parser.add_argument("--port", type=int, default=0, help="where to listen on 127.0.0.1; 0 = a free port")
    parser.add_argument("--date", default="2025-03-12", help="the session's day, YYYY-MM-DD")
    parser.add_argument("--seed", type=int, default=2, help="the seed of the generated market")
    parser.add_argument("--speed", type=float, default=10.0, help="times real time")
    parser.add_argument("--symbols-max", type=int, default=10_000, help="names a connection may subscribe")
    parser.add_argument("--print-symbols", action="store_true", help="print the market's names and end")
    asked = parser.parse_args(arguments)
    day, plan = generated(asked.date, asked.seed)
    if asked.print_symbols:
        sys.stdout.write(",".join(day.symbols) + "\n")
        return 0
    data = AlpacaData(port=asked.port, symbols_max=asked.symbols_max)
    player = SessionPlayer(data, day, plan, asked.speed)
    player.start()
    sys.stdout.write(f"market data of {day.source} on 127.0.0.1:{data.port}, {asked.speed:g} times real time\n")
    sys.stdout.flush()
    try:
        player.has_ended.wait()
    except KeyboardInterrupt:
        return 130
    finally:
        player.close()
        data.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
