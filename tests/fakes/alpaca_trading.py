"""A stand-in for Alpaca's trading interface: REST and the stream of trade updates on one port of 127.0.0.1.

Its orders are those of an `Exchange`, its words and codes are Alpaca's (OpenAPI "Trading API" 2.0.1; refusals as the
paper API gave them on 2026-10-08). It remembers every request, so that a test can count what was sent.

    with AlpacaTrading() as alpaca:
        alpaca.exchange.set_quote("AAPL", 99_990_000, 100_010_000)
        ... http://127.0.0.1:{alpaca.port} ...
        assert alpaca.count("POST", "/v2/orders") == 1

Settable: `account` (fields of the answer), `assets`, `suspends`, `requests_a_minute`, `hides_orders` (read after write
lags: client ids that are not found yet), `hides_executions` (executions that are not listed yet, by their number),
`statuses` (client id -> a status to show instead), `drops_frames` (the stream loses everything), `open_market`,
`has_wash_rule`.
"""

import json
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from alpaca_nights import NightDesk
from alpaca_refusals import ProblemError, Reply, check_wash, ticket_of
from alpaca_stream import StreamPeer
from alpaca_words import (
    CONFIGURATIONS,
    activity_of_cash,
    activity_of_fill,
    amount,
    asset_json,
    iso,
    ns_of,
    order_json,
    order_uuid,
    position_json,
    refusal_of,
    scaled,
)
from exchange import MICROS, NANOS, OPTION, Event, Exchange, Order, RefusalError

from bus.clock import NS_PER_MINUTE, utc_ns

KEY, SECRET = "PKSIMULATOR000000000", "simulated-secret-of-no-account-at-all"
_EVENTS = {"accepted": "new", "cancelled": "canceled", "rejected": "rejected", "expired": "expired"}


@dataclass
class Seen:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    body: Any


class AlpacaTrading(NightDesk):
    """One account. `keys`: what it lets in; `clock`: nanoseconds since 1970 UTC; `port` 0 = any."""

    def __init__(
        self,
        exchange: Exchange | None = None,
        keys: tuple[str, str] = (KEY, SECRET),
        clock: Callable[[], int] = utc_ns,
        port: int = 0,
    ) -> None:
        self.clock = clock
        self.exchange = exchange or Exchange(clock=clock)
        self.keys = keys
        self.account: dict[str, Any] = {}
        self.assets = {name: asset_json(name) for name in ("AAPL", "SPY", "QQQ", "BRK.B", "THIN")}
        self.configurations = dict(CONFIGURATIONS)
        self.requests_a_minute = 200
        self.hides_orders: set[str] = set()
        self.hides_executions: set[int] = set()
        self.statuses: dict[str, str] = {}
        self.drops_frames = False
        self.open_market = True
        self.has_wash_rule = True
        self.seen: list[Seen] = []
        super().__init__()
        self._lock = threading.Lock()
        self._window: list[int] = []
        self._listeners: list[StreamPeer] = []
        self._bodies: dict[str, dict[str, Any]] = {}
        self.exchange.listen(self._tell)
        outer = self

        class Handler(_Handler):
            alpaca = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> "AlpacaTrading":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and cut the streams off."""
        self.cut_streams()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    @property
    def suspends(self) -> bool:
        """Whether the account refuses new orders by its owner's wish."""
        return bool(self.configurations["suspend_trade"])

    def count(self, method: str, path: str) -> int:
        """Return how many requests came to a path that begins like this."""
        with self._lock:
            return sum(one.method == method and one.path.startswith(path) for one in self.seen)

    def cut_streams(self) -> None:
        """Cut every stream off."""
        with self._lock:
            listeners, self._listeners = self._listeners, []
        for peer in listeners:
            peer.cut()

    @property
    def listeners(self) -> int:
        """How many streams are listening."""
        with self._lock:
            return len(self._listeners)

    # --- one request ---

    def reply(self, method: str, target: str, headers: Any, raw: bytes) -> Reply:
        """Answer one request."""
        parts = urlsplit(target)
        path = unquote(parts.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = raw
        with self._lock:
            self.seen.append(Seen(method, path, query, body))
        limits = self._limits()
        try:
            self._let_in(headers, limits)
            answer = self._route(method, path, query, body)
        except ProblemError as problem:
            answer = problem.reply
        answer.headers.update(limits)
        return answer

    def _let_in(self, headers: Any, limits: dict[str, str]) -> None:
        given = (headers.get("APCA-API-KEY-ID", ""), headers.get("APCA-API-SECRET-KEY", ""))
        if given != self.keys:
            raise ProblemError(401, 40110000, "request is not authorized")
        if limits["X-RateLimit-Remaining"] == "-1":
            limits["X-RateLimit-Remaining"] = "0"
            raise ProblemError(429, 42910000, "rate limit exceeded")

    def _limits(self) -> dict[str, str]:
        now = self.clock()
        with self._lock:
            self._window = [at for at in self._window if at > now - NS_PER_MINUTE]
            is_over = len(self._window) >= self.requests_a_minute
            if not is_over:
                self._window.append(now)
            left = -1 if is_over else self.requests_a_minute - len(self._window)
            reset = (self._window[0] if self._window else now) + NS_PER_MINUTE
        return {
            "X-RateLimit-Limit": str(self.requests_a_minute),
            "X-RateLimit-Remaining": str(left),
            "X-RateLimit-Reset": str(-(-reset // 1_000_000_000)),
        }

    def _route(self, method: str, path: str, query: dict[str, str], body: Any) -> Reply:
        for pattern, verb, handler in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found and verb == method:
                return handler(self, query, body, *found.groups())
        raise ProblemError(404, 40410000, "endpoint not found.")

    # --- orders ---

    def post_order(self, _query: Any, body: Any) -> Reply:
        ticket = ticket_of(body, self.assets, len(self.exchange.orders))
        if ticket.symbol in self.expired:
            raise ProblemError(422, 42210000, f"option contract {ticket.symbol} is expired")
        if self.suspends:
            raise ProblemError(403, 40310000, "new orders are rejected by user request")
        if self.account.get("account_blocked") or self.account.get("trading_blocked"):
            raise ProblemError(403, 40310000, "account is blocked from trading")
        if self.has_wash_rule:
            check_wash(ticket, self.exchange)
        try:
            order = self.exchange.place(ticket)
        except RefusalError as refusal:
            raise ProblemError(*refusal_of(str(refusal), ticket, self.exchange)) from None
        with self._lock:
            self._bodies[order.order_id] = body
        # Recorded: the answer says pending_new, whatever has happened a millisecond later.
        answer = self._order_json(order) | {"status": "pending_new", "filled_qty": "0", "filled_avg_price": None}
        return Reply(200, answer | {"filled_at": None})

    def shown(self, client_id: str) -> dict[str, Any]:
        """Return an order as it is shown, by the id its owner gave it."""
        order = self.exchange.order_of(client_id)
        assert order is not None
        return self._order_json(order)

    def repeat_events(self) -> None:
        """Tell of every execution once more, as after a reconnect."""
        for one in self.exchange.trades():
            order = self.exchange.order(one.order_id)
            if order is not None:
                self._tell(Event("filled", order, one))

    def _order_json(self, order: Order) -> dict[str, Any]:
        with self._lock:
            body = self._bodies.get(order.order_id, {})
        shown = order_json(order, body)
        status = self.statuses.get(order.ticket.client_id)
        return shown | {"status": status} if status else shown

    def _by_uuid(self, wanted: str) -> Order:
        for order in self.exchange.all_orders():
            if order_uuid(order.order_id) == wanted:
                return order
        raise ProblemError(404, 40410000, f"order not found for {wanted}")

    def get_order(self, _query: Any, _body: Any, order_id: str) -> Reply:
        return Reply(200, self._order_json(self._by_uuid(order_id)))

    def get_order_of(self, query: dict[str, str], _body: Any) -> Reply:
        name = query.get("client_order_id", "")
        order = None if name in self.hides_orders else self.exchange.order_of(name)
        if order is None:
            raise ProblemError(404, 40410000, f"order not found for {name}")
        return Reply(200, self._order_json(order))

    def get_orders(self, query: dict[str, str], _body: Any) -> Reply:
        wanted, limit = query.get("status", "open"), min(int(query.get("limit", "50")), 500)
        orders = [one for one in self.exchange.all_orders() if one.ticket.client_id not in self.hides_orders]
        if wanted != "all":
            orders = [one for one in orders if one.is_open == (wanted == "open")]
        if "after" in query:
            orders = [one for one in orders if one.created_ns > ns_of(query["after"])]
        if "until" in query:
            orders = [one for one in orders if one.created_ns < ns_of(query["until"])]
        if "after_order_id" in query:
            number = self._by_uuid(query["after_order_id"]).number
            orders = [one for one in orders if one.number > number]
        if "symbols" in query:
            orders = [one for one in orders if one.ticket.symbol in query["symbols"].split(",")]
        orders.sort(key=lambda one: one.number, reverse=query.get("direction", "desc") == "desc")
        return Reply(200, [self._order_json(one) for one in orders[:limit]])

    def delete_order(self, _query: Any, _body: Any, order_id: str) -> Reply:
        order = self._by_uuid(order_id)
        # Recorded: an order that is cancelled already may be cancelled again.
        if self.exchange.cancel(order.order_id) or order.state == "CANCELLED":
            return Reply(204)
        state = self._order_json(order)["status"]
        raise ProblemError(422, 42210000, f'order is already in "{state}" state')

    def delete_orders(self, _query: Any, _body: Any) -> Reply:
        done = [one for one in self.exchange.open_orders() if self.exchange.cancel(one.order_id)]
        return Reply(207, [{"id": order_uuid(one.order_id), "status": 200} for one in done])

    def patch_order(self, _query: Any, _body: Any, order_id: str) -> Reply:
        state = self._order_json(self._by_uuid(order_id))["status"]
        raise ProblemError(422, 42210000, f"cannot replace order in {state} status")

    # --- the account ---

    def get_account(self, _query: Any, _body: Any) -> Reply:
        with self.exchange.lock:
            cash = amount(self.exchange.cash_micros // 10_000, 100)
            power = amount(self.exchange.buying_power_micros // 10_000, 100)
        return Reply(
            200,
            {
                "id": "e6fe16f3-64a4-4921-8928-cadf02f92f98",
                "account_number": "PA0SIMULATED",
                "status": "ACTIVE",
                "currency": "USD",
                "cash": cash,
                "buying_power": power,
                "equity": cash,
                "multiplier": "4",
                "trading_blocked": False,
                "account_blocked": False,
                "transfers_blocked": False,
                "trade_suspended_by_user": self.suspends,
                "shorting_enabled": self.exchange.may_short,
                "options_approved_level": 3,
                "options_trading_level": 2,
                "created_at": iso(1_700_000_000_000_000_000),
                **self.account,
            },
        )

    def get_configurations(self, _query: Any, _body: Any) -> Reply:
        return Reply(200, self.configurations)

    def patch_configurations(self, _query: Any, body: Any) -> Reply:
        unknown = set(body or {}) - set(self.configurations)
        if unknown:
            raise ProblemError(422, 42210000, f"unknown setting {min(unknown)}")
        self.configurations.update(body)
        return Reply(200, self.configurations)

    def get_positions(self, _query: Any, _body: Any) -> Reply:
        with self.exchange.lock:
            held = sorted(self.exchange.positions.items())
        return Reply(200, [position_json(symbol, qty, self.exchange) for symbol, qty in held if qty])

    def get_position(self, _query: Any, _body: Any, symbol: str) -> Reply:
        with self.exchange.lock:
            qty = self.exchange.positions.get(symbol, 0)
        if not qty:
            raise ProblemError(404, 40410000, "position does not exist")
        return Reply(200, position_json(symbol, qty, self.exchange))

    def get_activities(self, query: dict[str, str], _body: Any, kind: str = "") -> Reply:
        kinds = {kind} if kind else set(filter(None, query.get("activity_types", "").split(",")))
        category = query.get("category", "")
        found = [
            activity_of_fill(one, self.exchange.order(one.order_id))
            for one in self.exchange.trades()
            if one.number not in self.hides_executions and one.number not in self.busted
        ]
        with self.exchange.lock:
            found += [activity_of_cash(move) for move in self.exchange.cash_moves] + self.activities
        found = [(made, one) for made, one in found if not kinds or one["activity_type"] in kinds]
        if category:
            found = [(made, one) for made, one in found if (one["activity_type"] == "FILL") == (category[:1] == "t")]
        if "order_id" in query:
            found = [(made, one) for made, one in found if one.get("order_id") == query["order_id"]]
        if "after" in query:
            found = [(made, one) for made, one in found if made > ns_of(query["after"])]
        is_down = query.get("direction", "desc") == "desc"
        listed = sorted((one for _made, one in found), key=lambda one: one["id"], reverse=is_down)
        token = query.get("page_token", "")
        if token:
            listed = [one for one in listed if (one["id"] < token if is_down else one["id"] > token)]
        size = int(query.get("page_size", "100"))
        if not 1 <= size <= 100:
            raise ProblemError(422, 42210000, "page_size must be between 1 and 100")
        return Reply(200, listed[:size])

    # --- the market ---

    def get_assets(self, query: dict[str, str], _body: Any) -> Reply:
        wanted = query.get("status", "")
        return Reply(200, [one for one in self.assets.values() if not wanted or one["status"] == wanted])

    def get_asset(self, _query: Any, _body: Any, symbol: str) -> Reply:
        if symbol not in self.assets:
            raise ProblemError(404, 40410000, f"asset not found for {symbol}")
        return Reply(200, self.assets[symbol])

    def get_contract(self, _query: Any, _body: Any, symbol: str) -> Reply:
        if not OPTION.fullmatch(symbol):
            raise ProblemError(404, 40410000, "option contract not found")
        return Reply(200, {"symbol": symbol, "status": "active", "tradable": True})

    def post_quote(self, _query: Any, body: Any) -> Reply:
        """Move the market, for a simulator that runs in a process of its own; Alpaca has no such thing."""
        self.exchange.set_quote(body["symbol"], scaled(body["bid"], MICROS), scaled(body["ask"], MICROS))
        self.assets.setdefault(body["symbol"], asset_json(body["symbol"]))
        return Reply(200, {"symbol": body["symbol"]})

    def get_clock(self, _query: Any, _body: Any) -> Reply:
        now = self.clock()
        later = [iso(now + hours * 60 * NS_PER_MINUTE) for hours in (4, 20)]
        return Reply(
            200, {"timestamp": iso(now), "is_open": self.open_market, "next_close": later[0], "next_open": later[1]}
        )

    def get_calendar(self, _query: Any, _body: Any) -> Reply:
        day = iso(self.clock())[:10]
        times = {"open": "09:30", "close": "16:00", "session_open": "0400", "session_close": "2000"}
        return Reply(200, [{"date": day, "settlement_date": day, **times}])

    # --- the stream ---

    def stream(self, peer: StreamPeer) -> None:
        """Serve one stream until it ends."""
        while (message := peer.hear()) is not None:
            data = message.get("data") or {}
            if message.get("action") == "authenticate":
                is_known = (data.get("key_id"), data.get("secret_key")) == self.keys
                state = "authorized" if is_known else "unauthorized"
                peer.say({"stream": "authorization", "data": {"status": state, "action": "authenticate"}})
            elif message.get("action") == "listen":
                peer.say({"stream": "listening", "data": {"streams": data.get("streams", [])}})
                with self._lock:
                    self._listeners.append(peer)
        with self._lock:
            self._listeners = [one for one in self._listeners if one is not peer]

    def _tell(self, event: Event) -> None:
        if self.drops_frames:
            return
        one = event.execution
        kind = _EVENTS.get(event.kind) or ("fill" if event.order.state == "FILLED" else "partial_fill")
        data: dict[str, Any] = {"event": kind, "order": self._order_json(event.order)}
        if one is not None:
            made, activity = activity_of_fill(one, event.order)
            data |= {"price": activity["price"], "qty": activity["qty"], "timestamp": iso(made)}
            data |= {"position_qty": amount(one.position_nanos, NANOS), "execution_id": activity["id"].split("::")[1]}
        with self._lock:
            listeners = list(self._listeners)
        for peer in listeners:
            peer.say({"stream": "trade_updates", "data": data})


class _Handler(BaseHTTPRequestHandler):
    alpaca: AlpacaTrading
    protocol_version = "HTTP/1.1"
    #: Headers and body leave in one piece.
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *_args: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self.close_connection = True
            self.alpaca.stream(StreamPeer(self))
            return
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        reply = self.alpaca.reply(self.command, self.path, self.headers, raw)
        body = reply.body if isinstance(reply.body, bytes) else b""
        if not body and reply.body is not None:
            body = json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = do_PATCH = _answer  # noqa: N815 - the names that http.server looks for


_ROUTES: tuple[tuple[str, str, Callable[..., Reply]], ...] = (
    ("/v2/orders", "POST", AlpacaTrading.post_order),
    ("/v2/orders", "GET", AlpacaTrading.get_orders),
    ("/v2/orders", "DELETE", AlpacaTrading.delete_orders),
    ("/v2/orders:by_client_order_id", "GET", AlpacaTrading.get_order_of),
    ("/v2/orders/([^/]+)", "GET", AlpacaTrading.get_order),
    ("/v2/orders/([^/]+)", "DELETE", AlpacaTrading.delete_order),
    ("/v2/orders/([^/]+)", "PATCH", AlpacaTrading.patch_order),
    ("/v2/account", "GET", AlpacaTrading.get_account),
    ("/v2beta1/events/activities", "GET", AlpacaTrading.get_events),
    ("/v2/account/configurations", "GET", AlpacaTrading.get_configurations),
    ("/v2/account/configurations", "PATCH", AlpacaTrading.patch_configurations),
    ("/v2/account/activities", "GET", AlpacaTrading.get_activities),
    ("/v2/account/activities/([A-Z]+)", "GET", AlpacaTrading.get_activities),
    ("/v2/positions", "GET", AlpacaTrading.get_positions),
    ("/v2/positions/([^/]+)", "GET", AlpacaTrading.get_position),
    ("/v2/assets", "GET", AlpacaTrading.get_assets),
    ("/v2/assets/([^/]+)", "GET", AlpacaTrading.get_asset),
    ("/v2/options/contracts/([^/]+)", "GET", AlpacaTrading.get_contract),
    ("/v2/clock", "GET", AlpacaTrading.get_clock),
    ("/v2/calendar", "GET", AlpacaTrading.get_calendar),
    ("/simulator/quote", "POST", AlpacaTrading.post_quote),
)


def main(arguments: list[str]) -> None:
    """Run a simulator until it is interrupted: a port (0 = any), and quotes such as SPY=100.00/100.02."""
    with AlpacaTrading(port=int(arguments[0])) as alpaca:
        for text in arguments[1:]:
            symbol, prices = text.split("=")
            bid, ask = prices.split("/")
            alpaca.post_quote({}, {"symbol": symbol, "bid": bid, "ask": ask})
        sys.stdout.write(f"simulating Alpaca on 127.0.0.1:{alpaca.port}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1:])
