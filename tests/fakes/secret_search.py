"""Looks for many secrets at once, in each form in which one may get out: raw, base64, hex, in an address, in a page."""

import base64
import bz2
import gzip
import html
import io
import lzma
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, quote_plus

import numpy as np

#: Shorter ones are words that stand in texts by chance.
CHARS_MIN: Final = 12
_HEAD_BYTES: Final = 8
_TABLE_BITS: Final = 22
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
Words = np.ndarray[tuple[int, ...], np.dtype[np.uint64]]
_PIECE_BYTES: Final = 8 << 20
#: Keeps what ends one content from making a secret with what begins the next.
_BETWEEN: Final = bytes(_HEAD_BYTES)
_UNPACKED_BYTES_MAX: Final = 64 << 20
_NESTED_MAX: Final = 3
_PACKED: Final[dict[bytes, Callable[[bytes], bytes]]] = {
    b"\x1f\x8b": gzip.decompress,
    b"BZh": bz2.decompress,
    b"\xfd7zXZ": lzma.decompress,
}


@dataclass(frozen=True)
class Hit:
    """One secret in the clear: at which byte, which secret (never its text), and in which form."""

    offset: int
    secret: str
    form: str


def forms(secret: str) -> Iterator[tuple[str, bytes]]:
    """Yield each way in which a secret may be written, by its name."""
    raw = secret.encode()
    yield "raw", raw
    yield "hex", raw.hex().encode()
    yield "hex", raw.hex().upper().encode()
    for shift, cut in ((0, 0), (1, 2), (2, 3)):
        # Inside longer base64 a text begins at one of three places; what it shares a group with is left out.
        whole = (shift + len(raw)) // 3 * 4
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield "base64", encode(bytes(shift) + raw)[cut:whole]
    for written in {quote(secret, safe=""), quote(secret), quote_plus(secret)} - {secret}:
        yield "in an address", written.encode()
    for written in {html.escape(secret), html.escape(secret, quote=False)} - {secret}:
        yield "in a page", written.encode()


class Index:
    """Every form of every secret, to be looked for in one pass.

    Args:
        secrets: what each is called, by its text; those shorter than CHARS_MIN are left out.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._patterns: dict[bytes, list[tuple[bytes, str, str]]] = {}
        for secret, name in secrets.items():
            if len(secret) >= CHARS_MIN:
                for form, pattern in set(forms(secret)):
                    self._patterns.setdefault(pattern[:_HEAD_BYTES], []).append((pattern, name, form))
        self._heads = np.unique(np.frombuffer(b"".join(self._patterns), dtype="<u8"))
        self._table = np.zeros(1 << _TABLE_BITS, dtype=bool)
        self._table[_places(self._heads)] = True

    def search(self, contents: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, Hit]]:
        """Yield every place where a secret begins, and in which of the named contents; packed ones are unpacked.

        Many small contents are searched in one piece.
        """
        names: list[str] = []
        begins: list[int] = []
        piece = bytearray()
        for name, content in contents:
            for part in _parts(content, _NESTED_MAX):
                names.append(name)
                begins.append(len(piece))
                piece += part
                piece += _BETWEEN
            if len(piece) >= _PIECE_BYTES:
                yield from self._search(bytes(piece), names, begins)
                names, begins, piece = [], [], bytearray()
        yield from self._search(bytes(piece), names, begins)

    def _search(self, piece: bytes, names: list[str], begins: list[int]) -> Iterator[tuple[str, Hit]]:
        for at in self._candidates(piece):
            for pattern, secret, form in self._patterns[piece[at : at + _HEAD_BYTES]]:
                if piece.startswith(pattern, at):
                    which = bisect_right(begins, at) - 1
                    yield names[which], Hit(at - begins[which], secret, form)

    def _candidates(self, piece: bytes) -> Iterator[int]:
        for shift in range(_HEAD_BYTES):
            count = (len(piece) - shift) // _HEAD_BYTES
            if count <= 0:
                return
            words = np.frombuffer(piece, dtype="<u8", count=count, offset=shift)
            likely = np.flatnonzero(self._table[_places(words)])
            found = np.minimum(np.searchsorted(self._heads, words[likely]), len(self._heads) - 1)
            for place in likely[self._heads[found] == words[likely]]:
                yield int(place) * _HEAD_BYTES + shift


def _places(words: Words) -> Words:
    return (words * _MIX) >> np.uint64(64 - _TABLE_BITS)


def _parts(content: bytes, deep: int) -> Iterator[bytes]:
    """Yield a content, and what is inside it where it is packed."""
    yield content
    if deep:
        for inner in _unpacked(content):
            yield from _parts(inner, deep - 1)


def _unpacked(content: bytes) -> list[bytes]:
    for magic, unpack in _PACKED.items():
        if content.startswith(magic):
            try:
                return [unpack(content)[:_UNPACKED_BYTES_MAX]]
            except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error):
                # A test has damaged it.
                return []
    if content.startswith(b"PK\x03\x04"):
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as file:
                return [file.read(name)[:_UNPACKED_BYTES_MAX] for name in file.namelist()]
        except (zipfile.BadZipFile, OSError, RuntimeError, zlib.error):
            return []
    return []
