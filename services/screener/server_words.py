"""What a server says when it refuses, in one short line that may be shown: no secret, no address, no line breaks."""

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

_WORDS_MAX: Final = 160
_JSON_BYTES_MAX: Final = 10_000
_ADDRESS: Final = re.compile(r"https?://\S+")


def server_words(body: bytes, secrets: Iterable[str]) -> str:
    """Return the `error` or `message` of a JSON answer, else the answer's beginning, in quotes."""
    text = body.decode("utf-8", "replace")
    try:
        parsed = msgspec.json.decode(body, type=dict[str, Any]) if len(body) < _JSON_BYTES_MAX else {}
    except (msgspec.MsgspecError, RecursionError):
        parsed = {}
    said = str(parsed.get("error") or parsed.get("message") or text)
    for secret in secrets:
        said = said.replace(secret, "***")
    plain = _ADDRESS.sub("(an address)", said)
    line = " ".join("".join(each if each.isprintable() else " " for each in plain).split())
    return f"'{line[:_WORDS_MAX]}'" if line else "without a word"
