"""Two processes and one link, twice: the bus's own sockets with typed messages, and raw pyzmq."""

import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import msgspec
import zmq
from workers import serve

from bus.codec import Ack, Data, decode_frame, decode_message, encode_frame, encode_message
from bus.endpoints import Endpoints
from bus.keys import KeyRing
from bus.messages import OrderFilled, ServiceName
from bus.sockets import BusSockets
from bus.testing import a_fill
from config.paths import HomePaths
from config.vault import CurvePair

TRIPS: Final = "trips"
FLOOD: Final = "flood"
_EPOCH: Final = "0123456789abcdef"
_BATCH: Final = 64
_WAIT_MS: Final = 1000
_FULL_S: Final = 0.0001
_QUEUE_MAX: Final = 1000
_BARE: Final = b"x" * 200
_END: Final = b"end"

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[OrderFilled] = msgspec.msgpack.Decoder(OrderFilled)


def bus_sockets(service: ServiceName, home: Path, pairs: dict[str, CurvePair]) -> BusSockets:
    """Return the bound sockets of one service in a home of the bench."""
    sockets = BusSockets(KeyRing.of(service, pairs), Endpoints(HomePaths(home)))
    sockets.bind()
    return sockets


def answer_typed(_connection: Connection, home: Path, pairs: dict[str, CurvePair]) -> None:
    """Be risk: answer each fill of a round trip with itself; acknowledge a flood at its end."""
    sockets = bus_sockets("risk", home, pairs)
    while True:
        sockets.wait(_WAIT_MS)
        for item in sockets.received(_BATCH):
            frame = decode_frame(item.payload)
            if item.sender != "execution" or not isinstance(frame, Data):
                continue
            message = decode_message(frame.payload)
            if frame.step == 0:
                again = Data(frame.epoch, frame.seq, 0, encode_message(message))
                sockets.answer(item.routing_id, encode_frame(again))
            elif frame.seq == frame.step:
                sockets.answer(item.routing_id, encode_frame(Ack(frame.epoch, frame.seq)))


def ask_typed(connection: Connection, home: Path, pairs: dict[str, CurvePair]) -> None:
    """Be execution: fills to risk, one at a time and each answered, or as many as go."""
    sockets = bus_sockets("execution", home, pairs)
    sockets.connect(("risk",))
    fill = a_fill()

    def trip() -> None:
        sockets.send("risk", encode_frame(Data(_EPOCH, 1, 0, encode_message(fill))))
        while True:
            sockets.wait(_WAIT_MS)
            for _, payload in sockets.answers(_BATCH):
                frame = decode_frame(payload)
                if isinstance(frame, Data):
                    decode_message(frame.payload)
                    return

    def flood(count: int) -> list[float]:
        begin = time.perf_counter_ns()
        for seq in range(1, count + 1):
            payload = encode_frame(Data(_EPOCH, seq, count, encode_message(fill)))
            while not sockets.send("risk", payload):
                time.sleep(_FULL_S)
        while not (sockets.wait(_WAIT_MS) and sockets.answers(_BATCH)):
            pass
        return [_per_second(count, begin)]

    serve(connection, {TRIPS: lambda count: _timed(trip, count), FLOOD: flood})


def answer_bare(_connection: Connection, address: str) -> None:
    """Answer 200 bytes with themselves; decode what a flood brings, and answer its end."""
    socket = _bare_socket(zmq.ROUTER)
    socket.bind(address)
    while True:
        routing_id, payload = socket.recv_multipart()
        if len(payload) == len(_BARE) or payload == _END:
            socket.send_multipart([routing_id, payload])
        else:
            _decoder.decode(payload)


def ask_bare(connection: Connection, address: str) -> None:
    """Send 200 bytes and wait for them, or flood with messages that are encoded by msgspec alone."""
    socket = _bare_socket(zmq.DEALER)
    socket.connect(address)
    fill = a_fill()

    def trip() -> None:
        socket.send(_BARE)
        socket.recv()

    def flood(count: int) -> list[float]:
        begin = time.perf_counter_ns()
        for _ in range(count):
            socket.send(_encoder.encode(fill))
        socket.send(_END)
        socket.recv()
        return [_per_second(count, begin)]

    serve(connection, {TRIPS: lambda count: _timed(trip, count), FLOOD: flood})


def _bare_socket(kind: int) -> zmq.Socket[bytes]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, _QUEUE_MAX)
    socket.setsockopt(zmq.RCVHWM, _QUEUE_MAX)
    return socket


def _timed(trip: Callable[[], None], count: int) -> list[float]:
    taken = []
    for _ in range(count):
        begin = time.perf_counter_ns()
        trip()
        taken.append((time.perf_counter_ns() - begin) / 1000)
    return taken


def _per_second(count: int, begin_ns: int) -> float:
    return count * 1e9 / (time.perf_counter_ns() - begin_ns)
