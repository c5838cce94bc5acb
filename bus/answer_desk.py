"""Answers operators' requests: at once, or when the service has the answer."""

import logging
from typing import Final

from bus.clock import boot_ns
from bus.codec import CommandAnswer, encode_frame
from bus.commands import COMMAND_VALID_NS, Outcome, Pending
from bus.messages import OperatorCommand, OperatorRequest
from bus.transport import Transport

logger = logging.getLogger(__name__)
#: How many answers of one service may be outstanding. Pages wait for each, so more is a fault or an attack.
WAITING_MAX: Final = 32


class AnswerDesk:
    """Answers requests on the connections they came from, now or when the answer is there."""

    def __init__(self, sockets: Transport) -> None:
        self._sockets = sockets
        self._waiting: list[tuple[bytes, OperatorRequest, Pending, int]] = []

    def give(self, routing_id: bytes, request: OperatorRequest, outcome: Outcome | Pending) -> None:
        """Answer a request, or keep it until its answer is there."""
        if isinstance(outcome, Outcome):
            self._say(routing_id, request, outcome)
        elif len(self._waiting) < WAITING_MAX:
            self._waiting.append((routing_id, request, outcome, boot_ns() + COMMAND_VALID_NS))
        else:
            self._say(routing_id, request, Outcome(is_done=False, detail="too many questions wait: ask again soon"))

    def look(self) -> None:
        """Give the answers that are there by now, and give up what takes too long."""
        if not self._waiting:
            return
        kept = []
        for routing_id, request, pending, until_ns in self._waiting:
            outcome = pending()
            if outcome is None and boot_ns() < until_ns:
                kept.append((routing_id, request, pending, until_ns))
            else:
                late = Outcome(is_done=False, detail="the answer took longer than 10 s: ask for less")
                self._say(routing_id, request, outcome or late)
        self._waiting = kept

    def _say(self, routing_id: bytes, request: OperatorRequest, outcome: Outcome) -> None:
        if isinstance(request, OperatorCommand):
            said = "done" if outcome.is_done else "refused"
            logger.warning("command %s of %s: %s: %s", request.command_id, request.operator, said, outcome.detail)
        answer = CommandAnswer(request.command_id, outcome.is_done, outcome.detail, outcome.body)
        self._sockets.answer(routing_id, encode_frame(answer))
