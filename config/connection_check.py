"""The question whether a provider lets this bot in, and its answer: between whoever asks and a process that tries.

The question comes as JSON on standard input, never in the command line or the environment: it may hold keys. The answer
is one line of JSON on standard output, and holds none.
"""

import sys
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

#: The argument with which a service answers one question and exits.
ARGUMENT: Final = "--test-connection"
QUESTION_BYTES_MAX: Final = 8192
EXIT_IN: Final = 0
EXIT_OUT: Final = 1
EXIT_USAGE: Final = 2


class Question(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which provider is asked, and with what. `keys` are typed ones by their names; without any, the kept ones are."""

    provider: str
    keys: dict[str, str] = {}

    def __repr__(self) -> str:
        """Return the provider alone."""
        return f"Question({self.provider!r})"


class Answer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the provider lets the bot in, and in whole sentences what it said or what to do."""

    is_in: bool
    words: tuple[str, ...]


def answer_on_stdio(answer: Callable[[Question], Answer]) -> int:
    """Read one question, answer it, and return the exit code: 0 let in, 1 not, 2 no question that is understood."""
    raw = sys.stdin.buffer.read(QUESTION_BYTES_MAX + 1)
    try:
        question = msgspec.json.decode(raw, type=Question) if len(raw) <= QUESTION_BYTES_MAX else None
    except (msgspec.MsgspecError, RecursionError):
        question = None
    if question is None:
        # What came is not repeated: there may be keys in it.
        sys.stderr.write(f'{ARGUMENT} reads one question from standard input, such as {{"provider": "alpaca"}}\n')
        return EXIT_USAGE
    found = answer(question)
    told = Answer(is_in=found.is_in, words=tuple(_without(question, words) for words in found.words))
    sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
    return EXIT_IN if told.is_in else EXIT_OUT


def _without(question: Question, words: str) -> str:
    """Return words without the keys that were typed: the last net under every adapter."""
    for key in question.keys.values():
        words = words.replace(key, "[key]") if key else words
    return words
