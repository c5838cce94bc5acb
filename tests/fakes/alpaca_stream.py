"""The server's side of a websocket, as little of it as the stand-in for Alpaca needs: JSON in binary frames."""

import base64
import hashlib
import json
import struct
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10


class StreamPeer:
    """Whoever connected to the stream, after the handshake."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self._handler = handler
        self._lock = threading.Lock()
        key = handler.headers["Sec-WebSocket-Key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + _MAGIC).digest()).decode()
        handler.send_response(101)
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)):
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.flush()

    def say(self, message: dict[str, Any]) -> None:
        """Send a message; whoever is gone does not hear it."""
        self._send(_BINARY, json.dumps(message).encode())

    def hear(self) -> dict[str, Any] | None:
        """Return the next message; None when the connection is over."""
        try:
            while True:
                opcode, payload = self._frame()
                if opcode in {_TEXT, _BINARY}:
                    return json.loads(payload)
                if opcode == _CLOSE:
                    self._send(_CLOSE, payload)
                    return None
                if opcode == _PING:
                    self._send(_PONG, payload)
        except (OSError, ValueError, EOFError):
            return None

    def cut(self) -> None:
        """Cut the connection off, without a word."""
        try:
            self._handler.connection.shutdown(2)
        except OSError:
            return

    def _frame(self) -> tuple[int, bytes]:
        first, second = self._read(2)
        length = second & 127
        if length > 125:
            length = struct.unpack(*((">H", self._read(2)) if length == 126 else (">Q", self._read(8))))[0]
        mask = self._read(4)
        return first & 15, bytes(byte ^ mask[place % 4] for place, byte in enumerate(self._read(length)))

    def _read(self, count: int) -> bytes:
        got = self._handler.rfile.read(count)
        if len(got) < count:
            raise EOFError
        return got

    def _send(self, opcode: int, payload: bytes) -> None:
        head = struct.pack(">BB", 128 | opcode, len(payload)) if len(payload) < 126 else b""
        if not head:
            head = struct.pack(">BBH", 128 | opcode, 126, len(payload))
        try:
            with self._lock:
                self._handler.wfile.write(head + payload)
                self._handler.wfile.flush()
        except (OSError, ValueError):
            return
