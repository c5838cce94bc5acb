"""Both ends of a service's reliable streams: hears, checks, applies and answers; sends, repeats and greets.

What may be taken is decided by `bus.delivery` (numbers) and `bus.routes` (who says what); what a message does is the
node's. A stream that cannot go on is stopped on disk, halts the chain, and waits for an operator.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from bus.answer_desk import AnswerDesk
from bus.clock import boot_ns
from bus.codec import (
    Ack,
    Command,
    Data,
    Frame,
    Greet,
    Hello,
    MalformedMessageError,
    Refusal,
    StepMark,
    Welcome,
    decode_frame,
    decode_message,
    encode_frame,
)
from bus.commands import Outcome, Pending, command_refusal
from bus.delivery import WINDOW, Standing, StepBoard, StopRule, Verdict
from bus.failpoints import Failpoint
from bus.messages import OperatorCommand, OperatorRequest, ResolveStream, ServiceName, StoppedStream, StreamResolved
from bus.node import Node
from bus.routes import MARKET_SUBSCRIBERS, STEP_MARKS, may_command, may_send, peers_of
from bus.transport import Received, Transport

logger = logging.getLogger(__name__)
_BATCH: Final = 64
_HELD_MAX: Final = 1_000
#: No message waits longer than this for its market step. A feed that begins again after a death comes to that step
#: late, or never where it waits for this very message. It is longer than any stall that a step survives, so that an
#: undisturbed replay stays what it is, and short of the age at which a message that nobody takes halts the chain.
_HELD_NS_MAX: Final = 3_000_000_000
_DETAIL_MAX: Final = 400
#: Repetitions are due after hundreds of milliseconds; this is how exactly.
_LOOK_NS: Final = 5_000_000
#: So many messages are acknowledged at once, before the sender's window is full and it has to wait.
_ACKNOWLEDGED_AFTER: Final = WINDOW // 2


class Courier:
    """Carries the messages of one node.

    Args:
        node: what applies them, and whose outbox is sent.
        sockets: what carries bytes.
        life: names this process; Greets of another life are not answered with it.
        halt: halts the chain: (rule, detail).
        halt_counter: returns the newest halt, for commands that were given before it.
    """

    def __init__(
        self,
        node: Node[Any],
        sockets: Transport,
        *,
        life: str,
        halt: Callable[[str, str], object],
        halt_counter: Callable[[], int],
    ) -> None:
        self.board = StepBoard()
        self.on_mark: Callable[[int], None] | None = None
        self.stopped: dict[str, StoppedStream] = node.store.stopped()
        self.rejected = 0
        self.heard: list[str] = []
        self.heard_total = 0
        self.is_changed = False
        self._node = node
        self._sockets = sockets
        self._life = life
        self._halt = halt
        self._halt_counter = halt_counter
        self._desk = AnswerDesk(sockets)
        self._nonces: dict[ServiceName, str] = {}
        self._nonce_count = 0
        #: The connection on which each sender's standing was agreed, and what it said.
        self._welcomed: dict[ServiceName, bytes] = {}
        self._standings: dict[ServiceName, Standing] = {}
        self._held: dict[ServiceName, deque[tuple[bytes, Data]]] = {}
        self._held_since: dict[ServiceName, int] = {}
        #: Who is owed an acknowledgement: on which connection, and for which pass a gap was seen (0 = none).
        self._owed: dict[ServiceName, tuple[bytes, int]] = {}
        #: How many messages of each sender were taken since its last acknowledgement.
        self._taken: dict[ServiceName, int] = {}
        self._peers = peers_of(node.name)
        self._look_at = 0
        self._receive_point = Failpoint(f"{node.name}.receive")
        self._ack_point = Failpoint(f"{node.name}.ack")
        self._send_point = Failpoint(f"{node.name}.send")

    # --- the sending end ----------------------------------------------------------------------------------------------

    def send(self) -> None:
        """Say Hello where a connection is new, send what is due, answer what was asked.

        What is new is sent at once; what is repeated or asked again is looked for every _LOOK_NS.
        """
        node, now = self._node, boot_ns()
        if node.is_stirred or now >= self._look_at:
            node.is_stirred = False
            self._look_at = now + _LOOK_NS
            self._send_due(now)
        self._desk.look()

    def _send_due(self, now: int) -> None:
        node = self._node
        for peer in self._peers:
            link = node.links[peer]
            if not link.is_welcome:
                nonce = link.hello_nonce(now)
                if nonce is not None:
                    self._say_hello(peer, nonce)
                continue
            if link.asks_again(now):
                self._say_hello(peer, "")
            for row in link.due(now):
                with self._send_point:
                    frame = Data(node.epoch, row.seq, row.step, row.payload, link.pass_number)
                    self._sockets.send(peer, encode_frame(frame))

    @property
    def owes(self) -> bool:
        """Tell whether anything that was taken is not acknowledged."""
        return bool(self._owed)

    def acknowledge(self) -> None:
        """Acknowledge what was taken. It may wait for a moment: the next service waits for a message, nobody for this.

        The sender repeats after RETRY_FIRST_NS, and stands when its window is full: see `_ACKNOWLEDGED_AFTER`.
        """
        for sender in tuple(self._owed):
            self._acknowledge(sender)

    def _say_hello(self, peer: ServiceName, nonce: str) -> None:
        link = self._node.links[peer]
        hello = Hello(nonce, self._node.epoch, link.acked + 1, link.last, link.base)
        self._sockets.send(peer, encode_frame(hello))

    def hear_answers(self) -> None:
        """Hear what receivers say of our streams."""
        for peer, payload in self._sockets.answers(_BATCH):
            # A window may have room again, or begin anew.
            self._node.is_stirred = True
            try:
                frame = decode_frame(payload)
            except MalformedMessageError as error:
                self.reject(peer, error, payload)
                continue
            self._hear_answer(peer, frame)

    def _hear_answer(self, peer: ServiceName, frame: Frame) -> None:
        node = self._node
        link = node.links[peer]
        match frame:
            case Ack():
                self._hear_ack(peer, frame)
            case Greet():
                link.heard_greet(frame.nonce)
            case Welcome():
                if link.heard_welcome(frame.nonce, frame.cursor, boot_ns()):
                    node.note_ack(peer, frame.cursor)
                if link.is_welcome:
                    node.store.drop_base(peer)
            case Refusal():
                link.heard_refusal()
                node.store.keep_base(peer, link.base)
                self._halt("refused_stream", f"{peer} refuses messages of {node.name}: {frame.detail}")
            case _:
                self.reject(peer, MalformedMessageError(f"{type(frame).__name__} is no answer"), b"")

    def _hear_ack(self, peer: ServiceName, ack: Ack) -> None:
        self._node.heard_ack(peer, ack.epoch, ack.cursor)
        if ack.epoch != self._node.epoch:
            return
        link = self._node.links[peer]
        link.heard_gap(ack.gap_pass)
        if ack.cursor > link.last:
            words = f"{peer} has more messages of {self._node.name} than {self._node.name} knows"
            self._halt("regressed_producer", words)

    def tell_step(self, receiver: ServiceName) -> bool:
        """Tell a neighbour that our market step is finished; False while messages of it still wait to be sent."""
        link = self._node.links[receiver]
        if not link.is_welcome or not link.all_sent():
            return False
        self._sockets.send(receiver, encode_frame(StepMark(self.board.own, link.last)))
        self.board.told[receiver] = self.board.own
        return True

    # --- the receiving end --------------------------------------------------------------------------------------------

    def hear_inbox(self) -> None:
        """Hear what others send us.

        Raises:
            CannotStartError: the service cannot do what it was told; the message stays unacknowledged.
        """
        self.apply_held()
        for item in self._sockets.received(_BATCH):
            if item.sender is None:
                continue
            try:
                frame = decode_frame(item.payload)
            except MalformedMessageError as error:
                self.reject(item.sender, error, item.payload)
                continue
            match frame:
                case Data():
                    self._hear_data(item.sender, item.routing_id, frame)
                case StepMark():
                    self._hear_mark(item.sender, frame)
                case Hello():
                    self._hear_hello(item.sender, item, frame)
                case Command():
                    self._hear_command(item.sender, item, frame)
                case _:
                    self.reject(item.sender, MalformedMessageError("a receiver's answer in an inbox"), item.payload)
        self._node.commit_queue()
        for sender in [sender for sender, taken in self._taken.items() if taken >= _ACKNOWLEDGED_AFTER]:
            self._acknowledge(sender)

    def _hear_mark(self, sender: ServiceName, mark: StepMark) -> None:
        if (sender, self._node.name) not in STEP_MARKS:
            return
        if self.on_mark:
            self.on_mark(mark.step)
        else:
            self.board.hear(sender, mark.step, mark.after_seq, self._node.cursors[sender].seq)

    def _hear_hello(self, sender: ServiceName, item: Received, hello: Hello) -> None:
        """Compare where both ends stand. Only the answer to our newest Greet counts: an older one may be late."""
        self._node.commit_queue()
        cursor = self._node.cursors.get(sender)
        if cursor is None:
            self.reject(sender, MalformedMessageError(f"{sender} says nothing to {self._node.name}"), item.payload)
            return
        standing = Standing(hello.epoch, hello.first, hello.last, hello.base)
        is_known = self._welcomed.get(sender) == item.routing_id and sender not in self.stopped
        if is_known and not hello.nonce and cursor.judge_standing(standing) is None:
            # An idle sender asks whether we are still the one that agreed with it: we are.
            return
        if self._nonces.get(sender) != hello.nonce:
            self._greet(sender, item.routing_id)
            return
        del self._nonces[sender]
        self._welcomed.pop(sender, None)
        self._held.pop(sender, None)
        self._standings[sender] = standing
        fault = cursor.judge_standing(standing)
        if fault and sender not in self.stopped:
            rule, words = fault
            self._stop(sender, rule, f"{sender} does not fit to {self._node.name}: {words}", seq=hello.last)
        stop = self.stopped.get(sender)
        if stop:
            self._sockets.answer(item.routing_id, encode_frame(Refusal(stop.detail)))
            return
        self._welcomed[sender] = item.routing_id
        self._sockets.answer(item.routing_id, encode_frame(Welcome(hello.nonce, cursor.seq)))

    def _greet(self, sender: ServiceName, routing_id: bytes) -> None:
        if sender not in self._nonces:
            self._nonce_count += 1
            self._nonces[sender] = f"{self._life}:{self._nonce_count}"
        self._sockets.answer(routing_id, encode_frame(Greet(self._nonces[sender])))

    def _hear_data(self, sender: ServiceName, routing_id: bytes, frame: Data) -> None:
        """Apply a numbered message now, or hold it until we have seen the market step it was made in."""
        node = self._node
        if sender not in node.cursors:
            self.reject(sender, MalformedMessageError(f"{sender} says nothing to {node.name}"), frame.payload)
            return
        if self._welcomed.get(sender) != routing_id:
            self._greet(sender, routing_id)
            return
        waiting = self._held.setdefault(sender, deque())
        # In a life that has heard no market yet nothing can be held: the feed may itself wait for our answer.
        is_ahead = node.name in MARKET_SUBSCRIBERS and 0 < node.step < frame.step
        if waiting or is_ahead:
            if not waiting:
                self._held_since[sender] = boot_ns()
            if len(waiting) < _HELD_MAX:
                waiting.append((routing_id, frame))
            return
        self._apply(sender, routing_id, frame)

    def apply_held(self) -> None:
        """Apply what was held for the market step that has come, or for too long."""
        for sender, waiting in self._held.items():
            is_overdue = bool(waiting) and boot_ns() - self._held_since[sender] > _HELD_NS_MAX
            while waiting and (is_overdue or waiting[0][1].step <= self._node.step):
                self._apply(sender, *waiting.popleft())

    def _apply(self, sender: ServiceName, routing_id: bytes, frame: Data) -> None:
        node = self._node
        cursor = node.cursors[sender]
        stop = self.stopped.get(sender)
        if stop is None:
            verdict = cursor.judge(frame.epoch, frame.seq)
            if verdict is Verdict.REFUSED:
                words = f"{sender} has another history than {node.name} knows"
                self._stop(sender, "regressed_producer", words, seq=frame.seq, payload=frame.payload)
            elif verdict is Verdict.NEXT:
                with self._receive_point:
                    self._take(sender, frame)
            stop = self.stopped.get(sender)
            if stop is None:
                is_gap = verdict is Verdict.GAP
                self._taken[sender] = self._taken.get(sender, 0) + 1
                self._owed[sender] = (routing_id, frame.pass_number if is_gap else 0)
                if is_gap:
                    # At once, and each time: one answer that is lost as well would let the sender wait for its timer.
                    self._acknowledge(sender)
                return
            if sender in self._owed:
                # What was taken before the stop is acknowledged while the sender still listens.
                self._acknowledge(sender)
        self._sockets.answer(routing_id, encode_frame(Refusal(stop.detail)))

    def _acknowledge(self, sender: ServiceName) -> None:
        """Say what was taken of a stream: one answer for all that came at once, when nothing was missing."""
        self._node.commit_queue()
        self._taken.pop(sender, None)
        routing_id, gap_pass = self._owed.pop(sender)
        cursor = self._node.cursors[sender]
        with self._ack_point:
            self._sockets.answer(routing_id, encode_frame(Ack(cursor.epoch, cursor.seq, gap_pass)))

    def _take(self, sender: ServiceName, frame: Data) -> None:
        """Apply the next message, or stop the stream when it cannot be read or may not be said."""
        node = self._node
        try:
            message = decode_message(frame.payload)
        except MalformedMessageError as error:
            words = f"{node.name} cannot read message {frame.seq} of {sender}: {error}"
            self._stop(sender, "poison_message", words, seq=frame.seq, payload=frame.payload)
            return
        if not may_send(sender, node.name, type(message)):
            words = f"{sender} may not send {type(message).__name__} to {node.name}"
            self._stop(sender, "forbidden_message", words, seq=frame.seq, payload=frame.payload)
            return
        self.heard.append(f"heard {type(message).__name__} from {sender}")
        self.heard_total += 1
        if node.assembly.commits_together:
            node.queue(sender, frame.epoch, frame.seq, message)
        else:
            node.on_reliable(sender, frame.epoch, frame.seq, message)
        self.board.caught_up(sender, node.cursors[sender].seq)
        self.is_changed = True

    def _stop(self, sender: ServiceName, rule: StopRule, words: str, *, seq: int, payload: bytes = b"") -> None:
        """Stop a stream on disk, keep what stopped it, and halt the chain."""
        self._node.commit_queue()
        stop = StoppedStream(sender=sender, rule=rule, seq=seq, detail=words[:_DETAIL_MAX])
        self._node.store.stop_stream(stop, payload)
        self.stopped[sender] = stop
        self.rejected += 1
        logger.error("stream of %s stopped at message %d: %s", sender, seq, words)
        self._halt(rule, stop.detail)

    def reject(self, sender: str, error: MalformedMessageError, payload: bytes) -> None:
        """Count and keep what was refused; nothing of it has an effect."""
        self.rejected += 1
        self._node.store.quarantine(sender, str(error), payload)
        logger.warning("refused bytes from %s: %s (%d bytes)", sender, error, len(payload))

    # --- commands -----------------------------------------------------------------------------------------------------

    def _hear_command(self, sender: ServiceName, item: Received, frame: Command) -> None:
        """Carry out an operator's request once, while it is fresh and no halt came after a command."""
        try:
            message = decode_message(frame.payload)
        except MalformedMessageError as error:
            self.reject(sender, error, frame.payload)
            return
        if not isinstance(message, OperatorRequest) or not may_command(sender, type(message)):
            words = f"{sender} may not command {type(message).__name__}"
            self.reject(sender, MalformedMessageError(words), frame.payload)
            self._halt("forbidden_message", f"{words} to {self._node.name}")
            return
        refusal = command_refusal(
            message, receiver=self._node.name, halt_counter=self._halt_counter(), now_ns=boot_ns()
        )
        outcome = Outcome(is_done=False, detail=refusal) if refusal else self._carry_out(message)
        self._desk.give(item.routing_id, message, outcome)

    def _carry_out(self, request: OperatorRequest) -> Outcome | Pending:
        """Do what is asked; the id of a command is on disk before, so it is never done twice."""
        self._node.commit_queue()
        if isinstance(request, ResolveStream):
            refusal = self._resolve(request)
            return Outcome(is_done=refusal is None, detail=refusal or "The stream goes on.")
        if isinstance(request, OperatorCommand) and not self._node.store.take_command(request.command_id):
            return Outcome(is_done=False, detail="this command was carried out before")
        self.is_changed = True
        return self._node.assembly.on_request(request, self._node)

    def _resolve(self, command: ResolveStream) -> str | None:
        """Let a stopped stream go on; return why not, or None when it does."""
        stop, node = self.stopped.get(command.sender), self._node
        if stop is None:
            return f"{command.sender}'s stream to {node.name} is not stopped"
        if stop.seq != command.seq:
            return f"the stream stands at {stop.seq} by now: look again"
        cursor = node.cursors[command.sender]
        is_skip = stop.rule in ("poison_message", "forbidden_message")
        if is_skip != (command.action == "skip_message"):
            return f"{command.action} does not answer {stop.rule}"
        epoch, seq = cursor.epoch, stop.seq
        standing = self._standings.get(command.sender)
        if standing is None:
            return f"{command.sender} has not said yet where its stream stands: try again in some seconds"
        if not is_skip:
            epoch, seq = standing.epoch, cursor.reconciled(standing)
        event = StreamResolved(
            ts_event=command.ts_event,
            ts_init=command.ts_init,
            command_id=command.command_id,
            operator=command.operator,
            reason=command.reason,
            sender=command.sender,
            action=command.action,
            epoch=epoch or standing.epoch,
            seq=seq,
        )
        if not node.store.resolve_stream(event):
            return "this command was carried out before"
        cursor.advance(event.epoch, event.seq)
        del self.stopped[command.sender]
        self._welcomed.pop(command.sender, None)
        self._held.pop(command.sender, None)
        self.heard.append(f"{command.operator} resolved the stream of {command.sender}: {command.reason}")
        return None
