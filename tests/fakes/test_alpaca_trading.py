"""The stand-in for Alpaca answers as Alpaca's specification says, and refuses in the words that were recorded."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alpaca_trading import KEY, SECRET, AlpacaTrading
from exchange import MICROS, NANOS, Exchange

SPEC = (Path(__file__).resolve().parents[2] / "../shared/specs/alpaca-trading-api.relaxed.json").resolve()
LIMIT = {"symbol": "AAPL", "side": "buy", "type": "limit", "time_in_force": "day", "qty": "10", "limit_price": "50"}
MARKET = {"symbol": "AAPL", "side": "buy", "type": "market", "time_in_force": "day", "qty": "10"}
_KINDS = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}


@pytest.fixture
def alpaca() -> Iterator[AlpacaTrading]:
    with AlpacaTrading(Exchange()) as one:
        one.exchange.set_quote("AAPL", 99_990_000, 100_010_000, ask_nanos=25 * NANOS)
        yield one


def ask(alpaca: AlpacaTrading, method: str, path: str, body: Any = None, key: str = KEY) -> tuple[int, Any, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", alpaca.port, timeout=10)
    headers = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": SECRET}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    raw = answer.read()
    connection.close()
    return answer.status, json.loads(raw) if raw else None, answer.headers


def faults(spec: dict[str, Any], schema: dict[str, Any], value: Any, where: str) -> list[str]:
    """Return where a value is not what a schema says, of types, enumerations and what is required."""
    if "$ref" in schema:
        return faults(spec, spec["components"]["schemas"][schema["$ref"].split("/")[-1]], value, where)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            tried = [faults(spec, one, value, where) for one in schema[word]]
            return [] if [] in tried else min(tried, key=len)
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if value is None:
        return [] if not types or "null" in types else [f"{where} is null"]
    if types and not any(isinstance(value, _KINDS[kind]) for kind in types if kind != "null"):
        return [f"{where} is {type(value).__name__}, not {types}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where} is {value!r}, not one of {schema['enum']}"]
    return inner_faults(spec, schema, value, where)


def inner_faults(spec: dict[str, Any], schema: dict[str, Any], value: Any, where: str) -> list[str]:
    """Return where the parts of an object or a list are not what a schema says."""
    found = []
    if isinstance(value, dict):
        found += [f"{where} lacks {name}" for name in schema.get("required", ()) if name not in value]
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                found += faults(spec, inner, value[name], f"{where}.{name}")
    if isinstance(value, list) and "items" in schema:
        found += [
            fault for place, one in enumerate(value) for fault in faults(spec, schema["items"], one, f"[{place}]")
        ]
    return found


def played(alpaca: AlpacaTrading) -> Iterator[tuple[str, str, int, Any]]:
    """Trade a little, ask everything, and give what was asked with its path in the specification."""

    def note(method: str, path: str, pattern: str = "", body: Any = None) -> tuple[str, str, int, Any]:
        status, answer, _ = ask(alpaca, method, path, body)
        return method.lower(), pattern or path.split("?", maxsplit=1)[0], status, answer

    yield note("POST", "/v2/orders", body=MARKET | {"client_order_id": "a"})
    yield note("POST", "/v2/orders", body=MARKET | {"client_order_id": "b", "qty": "20"})
    yield note("POST", "/v2/orders", body=LIMIT | {"client_order_id": "c"})
    stop = {"side": "sell", "type": "trailing_stop", "trail_percent": "1.5", "qty": "3", "client_order_id": "d"}
    for order in alpaca.exchange.open_orders():
        alpaca.exchange.cancel(order.order_id)
    yield note("POST", "/v2/orders", body=MARKET | stop)
    alpaca.exchange.move_cash("DIV", MICROS)
    for path in ("/v2/orders?status=all", "/v2/account", "/v2/account/configurations", "/v2/positions", "/v2/assets"):
        yield note("GET", path)
    for path in ("/v2/clock", "/v2/account/activities"):
        yield note("GET", path)
    yield note("GET", "/v2/account/activities/FILL", "/v2/account/activities/{activity_type}")
    yield note("GET", "/v2/assets/AAPL", "/v2/assets/{symbol_or_asset_id}")
    yield note("GET", "/v2/positions/AAPL", "/v2/positions/{symbol_or_asset_id}")
    yield note("GET", "/v2/orders:by_client_order_id?client_order_id=a", "/v2/orders:by_client_order_id")
    yield note("PATCH", "/v2/account/configurations", body={"suspend_trade": True})
    yield note("DELETE", "/v2/orders")


def test_answers_when_held_against_the_specification_then_are_of_its_shape(alpaca: AlpacaTrading) -> None:
    spec = json.loads(SPEC.read_text(encoding="utf-8")) if SPEC.is_file() else None
    asked = list(played(alpaca))
    assert {status for _method, _path, status, _answer in asked} == {200, 207}
    for method, path, status, answer in asked if spec else ():
        told = spec["paths"][path][method]["responses"][str(status)]
        schema = told.get("content", {}).get("application/json", {}).get("schema", {})
        assert faults(spec, schema, answer, f"{method} {path}") == []


def test_the_first_answer_when_an_order_fills_at_once_then_still_says_pending_new(alpaca: AlpacaTrading) -> None:
    _, first, _ = ask(alpaca, "POST", "/v2/orders", MARKET | {"client_order_id": "a"})
    assert (first["status"], first["filled_qty"]) == ("pending_new", "0")
    _, then, _ = ask(alpaca, "GET", f"/v2/orders/{first['id']}")
    assert (then["status"], then["filled_qty"], then["filled_avg_price"]) == ("filled", "10", "100.01")


@pytest.mark.parametrize(
    ("more", "status", "code", "words"),
    [
        ({"qty": "5000"}, 403, 40310000, "insufficient buying power"),
        ({"side": "sell"}, 403, 40310000, "insufficient qty available for order (requested: 10, available: 0)"),
        ({"symbol": "THIN", "qty": "0.5", "type": "market"}, 403, 40310000, 'asset "THIN" is not fractionable'),
        ({"symbol": "NOPE"}, 422, 42210000, 'asset "NOPE" not found'),
        ({"qty": "0.5", "time_in_force": "gtc"}, 422, 42210000, "fractional orders must be DAY orders"),
        ({"limit_price": "741.9597"}, 422, 42210000, "invalid limit_price 741.9597. sub-penny increment"),
        ({"time_in_force": ""}, 422, 40010001, "time_in_force is required"),
        ({"type": "moon"}, 422, 40010001, "invalid type or side"),
        (
            {"symbol": "AAPL251219P00150000", "limit_price": "1.255"},
            422,
            42210000,
            "limit price must be limited to 2 decimal places",
        ),
    ],
)
def test_an_order_when_refused_then_the_answer_has_the_code_and_the_words(
    alpaca: AlpacaTrading, more: dict[str, str], status: int, code: int, words: str
) -> None:
    got, answer, _ = ask(alpaca, "POST", "/v2/orders", LIMIT | more)
    assert (got, answer["code"]) == (status, code)
    assert answer["message"].startswith(words)
    assert alpaca.exchange.all_orders() == []


def test_a_client_id_when_its_order_is_filled_then_is_still_taken(alpaca: AlpacaTrading) -> None:
    ask(alpaca, "POST", "/v2/orders", MARKET | {"client_order_id": "a"})
    status, answer, _ = ask(alpaca, "POST", "/v2/orders", LIMIT | {"client_order_id": "a"})
    assert (status, answer["code"], answer["message"]) == (422, 40010001, "client_order_id must be unique")


def test_cancels_when_repeated_then_are_no_error_but_of_what_is_filled(alpaca: AlpacaTrading) -> None:
    _, rests, _ = ask(alpaca, "POST", "/v2/orders", LIMIT)
    _, filled, _ = ask(alpaca, "POST", "/v2/orders", MARKET)
    for _ in range(2):
        assert ask(alpaca, "DELETE", f"/v2/orders/{rests['id']}")[0] == 204
    status, answer, _ = ask(alpaca, "DELETE", f"/v2/orders/{filled['id']}")
    assert (status, answer["message"]) == (422, 'order is already in "filled" state')
    status, answer, _ = ask(alpaca, "DELETE", "/v2/orders/no-such-order")
    assert (status, answer["code"]) == (404, 40410000)


def test_orders_when_both_sides_could_meet_then_the_second_is_a_wash_trade(alpaca: AlpacaTrading) -> None:
    ask(alpaca, "POST", "/v2/orders", MARKET)
    ask(alpaca, "POST", "/v2/orders", MARKET | {"side": "sell", "type": "stop", "stop_price": "90"})
    status, answer, _ = ask(alpaca, "POST", "/v2/orders", LIMIT)
    assert (status, answer["reject_reason"]) == (403, "opposite side market/stop order exists")


def test_requests_when_there_are_too_many_then_429_with_the_time_of_the_next(alpaca: AlpacaTrading) -> None:
    alpaca.requests_a_minute = 3
    answers = [ask(alpaca, "GET", "/v2/clock") for _ in range(5)]
    assert [status for status, _, _ in answers] == [200, 200, 200, 429, 429]
    assert [headers["X-RateLimit-Remaining"] for _, _, headers in answers] == ["2", "1", "0", "0", "0"]
    assert int(answers[-1][2]["X-RateLimit-Reset"]) * 1_000_000_000 > alpaca.clock()


def test_requests_when_the_key_is_another_then_401(alpaca: AlpacaTrading) -> None:
    assert ask(alpaca, "GET", "/v2/account", key="PKOTHER")[0] == 401


def test_the_simulator_when_run_by_itself_then_serves_until_it_is_ended() -> None:
    command = [sys.executable, str(Path(__file__).with_name("alpaca_trading.py")), "0", "SPY=100.00/100.02"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = int(process.stdout.readline().rsplit(":", 1)[1])
            moved = json.dumps({"symbol": "SPY", "bid": "99.50", "ask": "99.52"})
            for method, path, body in (
                ("POST", "/simulator/quote", moved),
                ("POST", "/v2/orders", json.dumps(MARKET | {"symbol": "SPY", "client_order_id": "a"})),
                ("GET", "/v2/orders:by_client_order_id?client_order_id=a", None),
            ):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                connection.request(method, path, body, {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET})
                answer = json.loads(connection.getresponse().read())
                connection.close()
            assert answer["filled_avg_price"] == "99.52"
        finally:
            process.terminate()
