"""Operators' commands and questions on the bus, pure: each is taken once and soon, a command never after a halt.

What a service makes of one is its assembly's `on_request`. The answer may be there at once, or later: reading the books
takes longer than a service may stand still.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from bus.messages import Message, OperatorCommand, OperatorRequest, ServiceName

#: How long a request may be on its way, and how long its answer may take.
COMMAND_VALID_NS: Final = 10_000_000_000


class Outcome(NamedTuple):
    """What became of a request: words for the operator, and data for the page that asked."""

    is_done: bool
    detail: str
    body: bytes = b""


#: Returns None until the answer is there.
Pending = Callable[[], Outcome | None]


class Deciding(Protocol):
    """The part of the runtime that a service needs to carry a command out as it does everything else."""

    @property
    def state(self) -> Any:
        """Return what the core knows now."""
        ...

    def decided(self, message: Message) -> Sequence[Message]:
        """Return what the core decides on a message; nothing is committed."""
        ...

    def follow(self, events: Sequence[Message]) -> None:
        """Commit events that were decided, and do what follows from them."""
        ...


OnRequest = Callable[[OperatorRequest, Deciding], Outcome | Pending]


def refuse_request(request: OperatorRequest, _deciding: Deciding) -> Outcome:
    """Refuse whatever is asked, as a service does that takes no requests of its own."""
    return Outcome(is_done=False, detail=f"{request.receiver} does not do {type(request).__name__}")


def command_refusal(request: OperatorRequest, *, receiver: ServiceName, halt_counter: int, now_ns: int) -> str | None:
    """Return why a request is not taken, or None. That its id is new is checked where the ids are kept.

    Args:
        request: what was heard.
        receiver: who heard it.
        halt_counter: the newest halt, answered or not: a command given before it did not know of it.
        now_ns: boot time.
    """
    if request.receiver != receiver:
        return f"it was given to {request.receiver}"
    if not now_ns < request.expires_boot_ns <= now_ns + COMMAND_VALID_NS:
        return "it is older than 10 s: give it again"
    if isinstance(request, OperatorCommand) and request.halt_counter != halt_counter:
        return f"halt {halt_counter} came after it was given: look again"
    return None
