"""Operators' commands on the bus, pure: each is carried out once, soon after it was given, and never after a halt."""

from typing import Final

from bus.messages import ResolveStream, ServiceName

#: How long a command may be on its way.
COMMAND_VALID_NS: Final = 10_000_000_000


def command_refusal(command: ResolveStream, *, receiver: ServiceName, halt_counter: int, now_ns: int) -> str | None:
    """Return why a command is not carried out, or None. That its id is new is checked where the ids are kept.

    Args:
        command: what was heard.
        receiver: who heard it.
        halt_counter: the newest halt, answered or not: a command given before it did not know of it.
        now_ns: boot time.
    """
    if command.receiver != receiver:
        return f"it was given to {command.receiver}"
    if not now_ns < command.expires_boot_ns <= now_ns + COMMAND_VALID_NS:
        return "it is older than 10 s: give it again"
    if command.halt_counter != halt_counter:
        return f"halt {halt_counter} came after it was given: look again"
    return None
