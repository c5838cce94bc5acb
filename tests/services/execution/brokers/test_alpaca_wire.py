"""Alpaca's line fails in every way: no order is sent twice, late, or without its permission, and no call hangs."""

import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from alpaca_bench import NOW, SECOND, Bench, BenchGate, opened_bench
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bus.clock import boot_ns, utc_now
from services.execution.brokers import reports as r
from services.execution.brokers.alpaca import SIMULATOR_KEYS, AlpacaBroker
from services.execution.brokers.alpaca_wire import (
    STUCK_MAX,
    LostError,
    Question,
    UnsentError,
    Wire,
    _GuardedConnection,
)
from services.execution.brokers.interface import (
    CALL_NS_MAX,
    BrokerPorts,
    NotSentError,
    RetryableBrokerError,
    StopTradingError,
)

ORDERS = "/v2/orders"


@pytest.fixture
def bench() -> Iterator[Bench]:
    with opened_bench() as one:
        # Silence is waited for so long; what follows from it does not depend on that.
        one.restart(call_ns=SECOND)
        yield one


def waits(bench: Bench, key: str = "tb1-a") -> Any:
    """Submit an order that rests."""
    return bench.submit(key, order_type="LIMIT", limit_micros=50_000_000)


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 307, 418])
def test_a_submit_when_the_answer_is_no_answer_then_it_was_posted_once_and_nobody_knows(
    bench: Bench, status: int
) -> None:
    bench.line.spoil("POST", ORDERS, "status_after", status=status, headers={"Location": "/v2/orders"})
    with pytest.raises(RetryableBrokerError):
        waits(bench)
    assert bench.posts() == 1
    assert len(bench.exchange.all_orders()) == 1


@pytest.mark.parametrize("kind", ["silent_after", "reset_after", "truncated", "garbage", "empty", "reset_before"])
def test_a_submit_when_the_line_breaks_after_the_write_then_nobody_knows(bench: Bench, kind: str) -> None:
    bench.line.spoil("POST", ORDERS, kind)
    with pytest.raises(RetryableBrokerError):
        waits(bench)
    assert bench.posts() == 1
    assert len(bench.exchange.all_orders()) == (0 if kind == "reset_before" else 1)


def test_a_submit_when_the_answer_drips_then_the_call_ends_in_time(bench: Bench) -> None:
    bench.line.spoil("POST", ORDERS, "drip", seconds=0.01)
    since = boot_ns()
    with pytest.raises(RetryableBrokerError):
        waits(bench)
    assert boot_ns() - since < 3 * CALL_NS_MAX


def test_a_submit_when_nobody_listens_then_it_is_certainly_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    broker = AlpacaBroker(("", ""), "simulator", simulator_port=port, listens=False)
    broker.attach(BrokerPorts(gate=BenchGate(), breathe=lambda: None))
    with opened_bench() as bench:
        bench.broker = broker
        with pytest.raises(NotSentError, match="nothing was sent") as told:
            waits(bench)
        assert told.value.after_ns >= SECOND
        with pytest.raises(RetryableBrokerError):
            broker.lookup("tb1-a", NOW)
    broker.close()


def test_a_submit_when_turned_away_unread_then_it_waits_as_long_as_the_server_says(bench: Bench) -> None:
    refused = {"status": 429, "headers": {"Retry-After": "7"}}
    bench.line.spoil("POST", ORDERS, "status_before", **refused)
    with pytest.raises(NotSentError) as told:
        waits(bench)
    assert told.value.after_ns == 7 * SECOND
    # Meanwhile entries do not even leave, and what makes the account safer does.
    with pytest.raises(NotSentError):
        waits(bench)
    with pytest.raises(RetryableBrokerError):
        bench.broker.open_orders(NOW)
    assert bench.posts() == 1
    assert isinstance(bench.submit("tb1-s", "SELL"), r.BrokerRejected)
    assert bench.posts() == 2
    bench.passed_ns += 8 * SECOND
    assert isinstance(waits(bench), r.BrokerAccepted)


def test_a_submit_when_the_gate_closes_while_the_connection_is_made_then_not_one_byte_is_written(bench: Bench) -> None:
    bench.gate.is_open = False
    with pytest.raises(NotSentError, match="no lease"):
        waits(bench)
    assert bench.posts() == 0
    assert bench.gate.asked == [False]
    with pytest.raises(NotSentError):
        bench.submit("tb1-s", "SELL")
    assert bench.gate.asked == [False, True]
    bench.gate.is_open = True
    assert isinstance(waits(bench), r.BrokerAccepted)


def test_a_submit_before_the_gate_is_lent_then_is_not_sent(bench: Bench) -> None:
    bench.broker = AlpacaBroker(("", ""), "simulator", simulator_port=bench.line.port, listens=False)
    bench.opened.append(bench.broker)
    with pytest.raises(NotSentError, match="has not been opened"):
        waits(bench)
    assert bench.posts() == 0


def test_a_submit_when_it_is_given_up_while_it_waits_to_be_written_then_it_is_never_written(bench: Bench) -> None:
    may_go_on, was_asked = threading.Event(), threading.Event()

    def connects_slowly(self: Any) -> None:
        was_asked.set()
        may_go_on.wait(10)
        connect(self)

    connect = _GuardedConnection.connect
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_GuardedConnection, "connect", connects_slowly)
        with pytest.raises(NotSentError, match="nothing was sent"):
            waits(bench)
        assert was_asked.is_set()
        [stuck] = bench.broker._line._wire._stuck
        may_go_on.set()
        stuck.thread.join(10)
    assert not stuck.thread.is_alive()
    assert bench.posts() == 0
    assert bench.gate.asked == []
    assert isinstance(waits(bench), r.BrokerAccepted)


def test_a_call_when_no_answer_comes_then_it_ends_within_its_time_and_breathes() -> None:
    with opened_bench() as bench:
        bench.restart(call_ns=CALL_NS_MAX)
        bench.line.spoil("*", ".*", "silent_after", times=-1)
        since = boot_ns()
        with pytest.raises(RetryableBrokerError):
            waits(bench)
        passed = boot_ns() - since
    # Three times what the port allows: the bound is no measurement of the machine that the test runs on.
    assert passed < 3 * CALL_NS_MAX
    assert bench.breaths > 10


def test_questions_when_many_of_them_hang_then_no_more_threads_are_made(bench: Bench) -> None:
    release = threading.Event()
    wire = Wire(SIMULATOR_KEYS, f"http://127.0.0.1:{bench.line.port}")

    def ask() -> Any:
        return wire.ask(Question(method="GET", path="/clock"), boot_ns() + SECOND // 20, lambda: None)

    def hangs(_self: Any) -> None:
        release.wait(10)
        raise OSError("not today")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_GuardedConnection, "connect", hangs)
        for _ in range(STUCK_MAX):
            with pytest.raises(UnsentError, match="no answer in time"):
                ask()
        stuck = list(wire._stuck)
        with pytest.raises(UnsentError, match="have not ended yet"):
            ask()
        release.set()
        for worker in stuck:
            worker.thread.join(10)
    assert len(stuck) == STUCK_MAX
    assert bench.line.seen == []
    assert wire.ask(Question(method="GET", path="/clock"), boot_ns() + SECOND, lambda: None).status == 200
    wire.close()


def test_a_question_when_written_and_lost_then_is_told_apart_from_one_that_never_left(bench: Bench) -> None:
    wire = Wire(SIMULATOR_KEYS, f"http://127.0.0.1:{bench.line.port}")
    bench.line.spoil("GET", "/v2/clock", "reset_before")
    with pytest.raises(LostError):
        wire.ask(Question(method="GET", path="/clock"), boot_ns() + SECOND, lambda: None)
    with pytest.raises(UnsentError):
        wire.ask(Question(method="GET", path="/clock"), boot_ns(), lambda: None)
    assert wire.ask(Question(method="GET", path="/clock"), boot_ns() + SECOND, lambda: None).status == 200
    wire.close()


def test_the_keys_when_everything_fails_then_are_in_no_text(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    texts = [repr(bench.broker), repr(bench.broker._line._wire), *bench.broker.faults()]
    told = f'{{"message": "account of {SIMULATOR_KEYS[0]} {SIMULATOR_KEYS[1]} is blocked"}}'.encode()
    for status, body in ((403, told), (401, told), (422, told), (500, told)):
        bench.line.spoil("POST", ORDERS, "status_before", status=status, body=body)
        try:
            texts.append(repr(waits(bench)))
        except (StopTradingError, RetryableBrokerError) as error:
            texts.append(str(error))
    assert len(texts) == 6
    for secret in SIMULATOR_KEYS:
        assert not any(secret in text for text in texts)
        assert secret not in caplog.text


def test_the_simulator_when_the_operator_has_keys_then_never_gets_them(bench: Bench) -> None:
    broker = AlpacaBroker(("PKCANARY", "CANARYSECRET"), "simulator", simulator_port=bench.line.port, listens=False)
    assert list(broker.faults()) == []
    broker.close()


def test_environment_when_it_names_a_proxy_then_it_is_not_used(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    bench.restart()
    assert isinstance(waits(bench), r.BrokerAccepted)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Make a certificate for 127.0.0.1 that only those believe who are told to."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = utc_now()
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    kind = serialization.PrivateFormat.PKCS8
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.mark.parametrize("is_believed", [True, False])
def test_a_tls_connection_when_its_certificate_is_not_believed_then_nothing_is_written(
    bench: Bench, certificate: Path, is_believed: bool
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = bench.house._server
    server.socket = context.wrap_socket(server.socket, server_side=True)
    wire = Wire(SIMULATOR_KEYS, f"https://127.0.0.1:{bench.house.port}")
    wire._ready()._client._session.verify = str(certificate) if is_believed else True
    asked: list[str] = []
    question = Question(method="GET", path="/clock", permit=lambda: asked.append("asked"))
    if is_believed:
        assert wire.ask(question, boot_ns() + 5 * SECOND, lambda: None).status == 200
    else:
        with pytest.raises(UnsentError, match="SSLError"):
            wire.ask(question, boot_ns() + 5 * SECOND, lambda: None)
    assert asked == ["asked"] * is_believed
    assert len(bench.house.seen) == is_believed
    wire.close()
