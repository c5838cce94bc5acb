"""Who gets in: only services with their own keys, and each says only what the routes allow."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from bus.codec import FRAME_BYTES_MAX
from bus.endpoints import Endpoints
from bus.keys import KeyRing
from bus.processes import free_port
from bus.sockets import BindError, BusSockets
from bus.transport import TOPIC_STATUS
from config.paths import HomePaths
from config.vault import CurvePair


@pytest.fixture
def endpoints(tmp_path: Path) -> Endpoints:
    paths = HomePaths(tmp_path)
    paths.make()
    return Endpoints(paths)


@pytest.fixture
def risk(endpoints: Endpoints, pairs: dict[str, CurvePair]) -> Iterator[BusSockets]:
    sockets = BusSockets(KeyRing.of("risk", pairs), endpoints)
    sockets.bind()
    yield sockets
    sockets.close()


def test_a_message_when_it_arrives_names_its_sender_by_key(
    risk: BusSockets, endpoints: Endpoints, pairs: dict[str, CurvePair]
) -> None:
    strategy = BusSockets(KeyRing.of("strategy", pairs), endpoints)
    strategy.connect(["risk"])
    strategy.send("risk", b"hello")
    assert risk.wait(5000)
    (received,) = risk.received(10)
    assert (received.sender, received.payload) == ("strategy", b"hello")
    risk.answer(received.routing_id, b"heard")
    assert strategy.wait(5000)
    assert strategy.answers(10) == [("risk", b"heard")]
    strategy.close()


def test_a_subscription_when_published_to_names_the_publisher(
    risk: BusSockets, endpoints: Endpoints, pairs: dict[str, CurvePair]
) -> None:
    web = BusSockets(KeyRing.of("web", pairs), endpoints)
    web.subscribe("risk", TOPIC_STATUS)
    found: list[tuple[str, bytes, bytes]] = []
    for _ in range(100):
        risk.publish(TOPIC_STATUS, b"alive")
        if web.wait(50):
            found = list(web.broadcasts(1))
            break
    assert found == [("risk", TOPIC_STATUS, b"alive")]
    web.close()


def test_a_subscription_and_an_inbox_when_read_empty_are_read_again_without_a_wait_and_do_not_block(
    risk: BusSockets, endpoints: Endpoints, pairs: dict[str, CurvePair]
) -> None:
    strategy = BusSockets(KeyRing.of("strategy", pairs), endpoints)
    strategy.connect(["risk"])
    strategy.subscribe("risk", TOPIC_STATUS)
    assert strategy.send("risk", b"a signal")
    assert risk.wait(5000)
    (received,) = risk.received(10)
    assert risk.received(10) == []
    risk.answer(received.routing_id, b"heard")
    assert strategy.wait(5000)
    assert strategy.answers(10) == [("risk", b"heard")]
    assert strategy.answers(10) == []
    for _ in range(100):
        risk.publish(TOPIC_STATUS, b"alive")
        if strategy.wait(50):
            break
    assert strategy.broadcasts(1_000)
    assert strategy.broadcasts(1_000) == []
    strategy.close()


def test_news_when_a_send_takes_it_in_passing_still_ends_the_next_wait(
    risk: BusSockets, endpoints: Endpoints, pairs: dict[str, CurvePair]
) -> None:
    """A socket's descriptor tells its news once: whoever sends in between has taken it."""
    strategy = BusSockets(KeyRing.of("strategy", pairs), endpoints)
    strategy.connect(["risk"])
    answered = 0
    for number in range(200):
        for part in range(3):
            assert strategy.send("risk", b"%d.%d" % (number, part))
        heard: list[bytes] = []
        while len(heard) < 3:
            assert risk.wait(5000), "a message was not told"
            for item in risk.received(10):
                heard.append(item.payload)
                risk.answer(item.routing_id, item.payload)
        assert heard == [b"%d.%d" % (number, part) for part in range(3)]
        time.sleep(0.002)  # ZeroMQ looks for news within a send at most once a millisecond
        assert strategy.send("risk", b"again")
        assert risk.wait(5000)
        assert [item.payload for item in risk.received(10)] == [b"again"]
        while answered < 3 * (number + 1):
            assert strategy.wait(5000), "an answer was not told"
            answered += len(strategy.answers(10))
    strategy.close()


def test_what_was_not_read_when_it_waits_on_ends_the_next_wait_at_once(
    risk: BusSockets, endpoints: Endpoints, pairs: dict[str, CurvePair]
) -> None:
    strategy = BusSockets(KeyRing.of("strategy", pairs), endpoints)
    strategy.connect(["risk"])
    assert strategy.send("risk", b"1")
    assert risk.wait(5000)
    assert risk.broadcasts(10) == []
    assert risk.wait(0), "it is still there"
    for number in (b"2", b"3", b"4"):
        assert strategy.send("risk", number)
    heard: list[bytes] = []
    while len(heard) < 4:
        assert risk.wait(5000)
        heard += [item.payload for item in risk.received(1)]
    assert heard == [b"1", b"2", b"3", b"4"]
    assert not risk.wait(20)
    strategy.close()


def test_a_message_when_it_has_more_frames_than_ours_is_dropped_and_the_next_one_is_heard(
    risk: BusSockets, endpoints: Endpoints, pairs: dict[str, CurvePair]
) -> None:
    strategy = BusSockets(KeyRing.of("strategy", pairs), endpoints)
    strategy.connect(["risk"])
    strategy._peers["risk"].send_multipart([b"a", b"b", b"c"])
    assert strategy.send("risk", b"hello")
    payloads: list[bytes] = []
    while not payloads:
        assert risk.wait(5000)
        payloads = [item.payload for item in risk.received(10)]
    assert payloads == [b"hello"]
    strategy.close()


def _intrude(
    endpoints: Endpoints, pairs: dict[str, CurvePair], *, kind: int, keys: tuple[bytes, bytes] | None
) -> zmq.Socket[bytes]:
    socket = zmq.Context.instance().socket(kind)
    socket.linger = 0
    if keys:
        socket.curve_publickey, socket.curve_secretkey = keys
        socket.curve_serverkey = pairs["risk"].public.encode()
    if kind == zmq.SUB:
        socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.connect(endpoints.address("risk", "pub" if kind == zmq.SUB else "inbox"))
    return socket


@pytest.mark.parametrize("with_key", [True, False], ids=["unknown key", "no key"])
def test_an_intruder_when_it_sends_or_listens_gets_nothing(
    risk: BusSockets, endpoints: Endpoints, pairs: dict[str, CurvePair], with_key: bool
) -> None:
    keys = zmq.curve_keypair() if with_key else None
    sender = _intrude(endpoints, pairs, kind=zmq.DEALER, keys=keys)
    listener = _intrude(endpoints, pairs, kind=zmq.SUB, keys=keys)
    sender.send(b"SubmitOrder")
    for _ in range(10):
        risk.publish(TOPIC_STATUS, b"secret")
        risk.wait(30)
        assert risk.received(10) == []
    assert listener.poll(0) == 0
    sender.close()
    listener.close()


def test_a_stranger_when_it_knocks_again_and_again_is_counted_and_told_once_without_its_key(
    risk: BusSockets, endpoints: Endpoints, pairs: dict[str, CurvePair], caplog: pytest.LogCaptureFixture
) -> None:
    assert risk.refused_connections() == 0, "our own self-test has knocked, too"
    strategy = BusSockets(KeyRing.of("strategy", pairs), endpoints)
    strategy.connect(["risk"])
    strategy.send("risk", b"hello")
    assert risk.wait(5000)
    assert risk.refused_connections() == 0
    keys = zmq.curve_keypair()
    strangers = [_intrude(endpoints, pairs, kind=kind, keys=keys) for kind in (zmq.DEALER, zmq.SUB, zmq.DEALER)]
    end = time.monotonic() + 10
    while risk.refused_connections() < 3 and time.monotonic() < end:
        risk.wait(20)
    assert risk.refused_connections() == 3
    told = [record.getMessage() for record in caplog.records if "unknown key" in record.getMessage()]
    assert len(told) == 1
    assert hashlib.sha256(keys[0]).hexdigest()[:12] in told[0]
    assert keys[0].decode() not in caplog.text
    for stranger in strangers:
        stranger.close()
    strategy.close()


def test_an_address_when_taken_says_what_to_do(endpoints: Endpoints, pairs: dict[str, CurvePair]) -> None:
    tcp = Endpoints(endpoints.paths, "127.0.0.1", 0)
    blocker = zmq.Context.instance().socket(zmq.PAIR)
    port = blocker.bind_to_random_port("tcp://127.0.0.1")
    taken = Endpoints(tcp.paths, "127.0.0.1", port - 4)  # risk is third: its inbox is the fifth port
    sockets = BusSockets(KeyRing.of("risk", pairs), taken)
    with pytest.raises(BindError, match=f"{port}.*Is another chain running here"):
        sockets.bind()
    sockets.close()
    blocker.close()


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_the_locks_when_they_hold_let_only_our_own_keys_in(
    endpoints: Endpoints, pairs: dict[str, CurvePair], transport: str
) -> None:
    used = endpoints if transport == "ipc" else Endpoints(endpoints.paths, "127.0.0.1", free_port())
    sockets = BusSockets(KeyRing.of("screener", pairs), used)
    sockets.bind()  # the self-test is part of it
    sockets.close()


def test_a_service_when_nobody_checks_keys_breaks_in_and_refuses_to_start(
    endpoints: Endpoints, pairs: dict[str, CurvePair], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CURVE server without a ZAP handler accepts anyone: the self-test must see it."""

    class NoGuard:
        def __init__(self, *_arguments: object) -> None: ...

        def close(self) -> None: ...

    monkeypatch.setattr("bus.sockets.ZapGuard", NoGuard)
    set_option = zmq.Socket.setsockopt

    def without_enforcement(self: zmq.Socket[bytes], option: int, value: int | bytes) -> None:
        if option != zmq.ZAP_ENFORCE_DOMAIN:
            set_option(self, option, value)

    monkeypatch.setattr(zmq.Socket, "setsockopt", without_enforcement)
    sockets = BusSockets(KeyRing.of("risk", pairs), endpoints)
    with pytest.raises(BindError, match=r"a key that nobody knows was let in.*Nothing was started"):
        sockets.bind()
    sockets.close()


def test_a_service_when_its_guard_is_dead_keeps_everybody_out_and_refuses_to_start(
    endpoints: Endpoints, pairs: dict[str, CurvePair]
) -> None:
    sockets = BusSockets(KeyRing.of("risk", pairs), endpoints)
    sockets._guard.close()
    with pytest.raises(BindError, match="our own key was"):
        sockets.bind()
    sockets.close()


def test_a_frame_when_too_large_does_not_arrive(
    risk: BusSockets, endpoints: Endpoints, pairs: dict[str, CurvePair]
) -> None:
    strategy = BusSockets(KeyRing.of("strategy", pairs), endpoints)
    strategy.connect(["risk"])
    strategy.send("risk", b"x" * (FRAME_BYTES_MAX + 1))
    assert not risk.wait(300) or risk.received(10) == []
    strategy.send("risk", b"small")
    payloads: list[bytes] = []
    for _ in range(100):
        if risk.wait(50):
            payloads += [item.payload for item in risk.received(10)]
        if payloads:
            break
        strategy.send("risk", b"small")
    assert set(payloads) == {b"small"}
    strategy.close()


def test_tcp_addresses_when_listed_are_all_different(endpoints: Endpoints) -> None:
    tcp = Endpoints(endpoints.paths, "127.0.0.1", 5750)
    addresses = [tcp.address(s, c) for s in ("screener", "risk", "web", "watchdog") for c in ("inbox", "pub")]
    assert len(set(addresses)) == len(addresses)


def test_a_key_ring_when_shown_hides_its_secret(pairs: dict[str, CurvePair]) -> None:
    assert pairs["risk"].secret not in repr(KeyRing.of("risk", pairs))
