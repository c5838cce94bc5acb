"""Stopped streams: what stopped each, what it means, what each answer does, and the operator's answer itself."""

import re
import secrets as random_ids
from dataclasses import dataclass
from typing import Final, Literal

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from bus.build import build_id
from bus.clock import boot_ns, utc_ns
from bus.codec import CommandAnswer
from bus.commands import COMMAND_VALID_NS
from bus.delivery import StopRule
from bus.halt import ControlState
from bus.messages import ResolveStream, ServiceName, StoppedStream
from bus.routes import SERVICES, senders_to
from services.web import security
from services.web.forms import Refusal, given_reason, reason_refusal, reauth_refusal
from services.web.site import site

Action = Literal["accept_history", "skip_message"]
ANSWER_TIMEOUT_S: Final = 5.0
ACTIONS: Final[dict[StopRule, Action]] = {
    "regressed_producer": "accept_history",
    "lost_history": "accept_history",
    "poison_message": "skip_message",
    "forbidden_message": "skip_message",
}
_SKIP: Final = (
    "Skip this one message: it has no effect, now or later. Its bytes stay in {receiver}'s quarantine. The messages "
    "after it are taken in order."
)
_NUMBER = re.compile(r"-?[0-9]{1,18}")
pages = Blueprint("streams", __name__, url_prefix="/control")


@dataclass(frozen=True)
class Words:
    """What an operator must know of a stopped stream; `{sender}` and `{receiver}` stand for the services."""

    what: str
    means: str
    does: str

    def of(self, receiver: ServiceName, sender: ServiceName) -> "Words":
        """Return the words with the services' names in them."""
        names = {"receiver": receiver, "sender": sender}
        return Words(self.what.format(**names), self.means.format(**names), self.does.format(**names))


WORDS: Final[dict[StopRule, Words]] = {
    "regressed_producer": Words(
        what="{sender} comes with another history than {receiver} knows.",
        means="{sender}'s file was put back from an older copy, or made anew. What it said before may be unknown to it "
        "now, so the two could disagree about orders and money.",
        does="Compare the books of the two with the broker's first. Then accept the sender's present numbering: "
        "{receiver} goes on from where {sender} stands now. What {receiver} took before stays taken, and a message "
        "that {sender} does not know to be taken may be taken a second time.",
    ),
    "lost_history": Words(
        what="{receiver} has lost messages of {sender} that it once took.",
        means="{receiver}'s file was put back from an older copy, or made anew. {sender} knows these messages to be "
        "taken and will not send them again.",
        does="Compare the books of the two with the broker's first. Then accept the sender's present numbering: "
        "{receiver} goes on after the last message that {sender} knows to be taken. The lost ones between have no "
        "effect in {receiver}.",
    ),
    "poison_message": Words(
        what="{receiver} cannot read a message of {sender}.",
        means="Everything that {sender} says after it waits. The two run different builds, or something damaged the "
        "message.",
        does=_SKIP,
    ),
    "forbidden_message": Words(
        what="{sender} said what it may not say to {receiver}.",
        means="Everything that {sender} says after it waits. A fault in {sender} made the message, or somebody else "
        "uses its key. Find out which before anything goes on.",
        does=_SKIP,
    ),
}


@dataclass(frozen=True)
class _Answer:
    """What an operator chose for one stream, as the form says it."""

    receiver: ServiceName
    sender: ServiceName
    action: Action
    seq: int


@pages.get("/streams")
@security.require("control")
def show() -> Response:
    """Show every stopped stream, with a form for its answer."""
    return _page()


@pages.post("/streams")
@security.require("control")
def resolve() -> AnyResponse:
    """Give the operator's answer to the receiver of a stopped stream, and show what became of it."""
    here, user, state = site(), security.current_user(), site().control.read()
    answer = _chosen()
    if isinstance(answer, Refusal):
        return _page(answer)
    refusal = reason_refusal() or _state_refusal(state) or reauth_refusal()
    if refusal:
        return _page(refusal, answer)
    now = utc_ns()
    command = ResolveStream(
        ts_event=now,
        ts_init=now,
        command_id=random_ids.token_hex(16),
        expires_boot_ns=boot_ns() + COMMAND_VALID_NS,
        halt_counter=state.halt_counter,
        operator=user.name,
        reason=given_reason(),
        receiver=answer.receiver,
        sender=answer.sender,
        action=answer.action,
        seq=answer.seq,
    )
    said = here.bus.command(command, ANSWER_TIMEOUT_S)
    here.audit.record(
        "stream_answered",
        f"{answer.sender} to {answer.receiver}, message {answer.seq}",
        after=f"{answer.action}: {given_reason()}: {said.detail if said else 'no answer'}",
    )
    if said is None or not said.is_done:
        return _page(_not_done(answer.receiver, said), answer)
    here.hub.stream_goes_on(answer.receiver, answer.sender)
    flash(f"{answer.receiver} answers: {said.detail} The chain stays halted until it is armed.")
    return redirect(url_for("streams.show"), 303)


def _chosen() -> _Answer | Refusal:
    receiver, sender = (_service(request.form.get(name, "")) for name in ("receiver", "sender"))
    if receiver is None or sender is None or sender not in senders_to(receiver):
        return Refusal(400, "There is no such stream. Nothing was changed.")
    action = next((known for known in ACTIONS.values() if known == request.form.get("action")), None)
    if action is None:
        return Refusal(400, "The answer must be to accept the sender's numbering or to skip. Nothing was changed.")
    seq = request.form.get("seq", "")
    if not _NUMBER.fullmatch(seq):
        return Refusal(400, "The number of the message is not a number. Nothing was changed.")
    return _Answer(receiver, sender, action, int(seq))


def _service(name: str) -> ServiceName | None:
    return next((service for service in SERVICES if service == name), None)


def _state_refusal(state: ControlState) -> Refusal | None:
    if state.fault:
        return Refusal(409, f"The chain's state is not known: {state.fault}. Correct that first. Nothing was changed.")
    if not state.is_halted():
        return Refusal(409, "The chain is not halted. Halt it first with the kill switch. Nothing was changed.")
    if request.form.get("halt_counter", "") != str(state.halt_counter):
        return Refusal(
            409,
            "A halt was raised after this page was shown. Read it below, then decide again. Nothing was changed.",
        )
    return None


def _not_done(receiver: ServiceName, said: CommandAnswer | None) -> Refusal:
    if said is not None:
        return Refusal(409, f"{receiver} refuses: {said.detail}. Nothing was changed.")
    return Refusal(
        503,
        f"Nobody answered: is {receiver} up? It may still do what you ordered within "
        f"{COMMAND_VALID_NS // 1_000_000_000} s of your order; after that the order is void. Then look here again.",
    )


@dataclass(frozen=True)
class _Shown:
    """One stopped stream as the page shows it."""

    receiver: ServiceName
    stop: StoppedStream
    words: Words
    action: Action
    reason: str


def _shown(receiver: ServiceName, stop: StoppedStream, tried: _Answer | None) -> _Shown:
    is_tried = tried is not None and (tried.receiver, tried.sender) == (receiver, stop.sender)
    return _Shown(
        receiver=receiver,
        stop=stop,
        words=WORDS[stop.rule].of(receiver, stop.sender),
        action=ACTIONS[stop.rule],
        reason=given_reason() if is_tried else "",
    )


def _page(refusal: Refusal | None = None, tried: _Answer | None = None) -> Response:
    state = site().control.read()
    page = render_template(
        "streams.html",
        streams=[_shown(receiver, stop, tried) for receiver, stop in site().hub.stopped_streams()],
        fault=refusal.text if refusal else "",
        state=state,
        is_halted=state.is_halted() and not state.fault,
        chain_refusal=state.refusal(build_id()),
    )
    return make_response(page, refusal.code if refusal else 200)
