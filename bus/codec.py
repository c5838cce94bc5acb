"""Bytes <-> messages: MessagePack through pre-built encoders and decoders. The border where malformed input stops."""

from typing import Final

import msgspec
from msgspec import Struct

from bus.messages import AnyMessage, Message

#: Larger frames are refused by the sockets (ZMQ_MAXMSGSIZE) and never written to an outbox.
FRAME_BYTES_MAX: Final = 65_536


class MalformedMessageError(Exception):
    """Bytes that are not a message of the catalogue; the text says why, never the bytes."""


class OversizedMessageError(Exception):
    """A message of ours is larger than a frame may be: a fault in the core that made it."""


class Data(Struct, frozen=True, array_like=True, tag="d", forbid_unknown_fields=True):
    """One reliable message on a link. `seq` counts from 1 for each receiver; `step` is the sender's market step.

    `pass_number` counts how often the sender has begun to send its window again.
    """

    epoch: str
    seq: int
    step: int
    payload: bytes
    pass_number: int = 0


class Ack(Struct, frozen=True, array_like=True, tag="a", forbid_unknown_fields=True):
    """Everything up to `cursor` of this epoch is committed at the receiver.

    `gap_pass` is the pass of the message that this answers, when the one after `cursor` is missing before it; else 0.
    """

    epoch: str
    cursor: int
    gap_pass: int = 0


class StepMark(Struct, frozen=True, array_like=True, tag="s", forbid_unknown_fields=True):
    """The sender has finished market step `step`, and its messages up to `after_seq` came before."""

    step: int
    after_seq: int


class Hello(Struct, frozen=True, array_like=True, tag="h", forbid_unknown_fields=True):
    """The sender shows where its stream stands, before any message of this connection is taken.

    `nonce` is the one of the receiver's Greet, empty in the first Hello. Numbers up to `first` - 1 are acknowledged as
    far as the sender knows; `last` is the newest; those up to `base` were there when the sender's process began, or
    were sent since, so no others can have been taken.
    """

    nonce: str
    epoch: str
    first: int
    last: int
    base: int


class Greet(Struct, frozen=True, array_like=True, tag="g", forbid_unknown_fields=True):
    """The receiver does not know this connection: say Hello with this nonce. An older Hello is not believed."""

    nonce: str


class Welcome(Struct, frozen=True, array_like=True, tag="w", forbid_unknown_fields=True):
    """The receiver agrees with the Hello of this nonce, and has committed everything up to `cursor`."""

    nonce: str
    cursor: int


class Command(Struct, frozen=True, array_like=True, tag="c", forbid_unknown_fields=True):
    """An operator's command or question. It is not repeated by itself and carries its own id and time."""

    payload: bytes


class CommandAnswer(Struct, frozen=True, array_like=True, tag="o", forbid_unknown_fields=True):
    """What became of a command or a question; `detail` is for the operator, `body` is the answer's data."""

    command_id: str
    is_done: bool
    detail: str
    body: bytes = b""


class Refusal(Struct, frozen=True, array_like=True, tag="r", forbid_unknown_fields=True):
    """The receiver will take nothing more on this link until an operator has looked; `detail` says why."""

    detail: str


Frame = Data | Ack | StepMark | Refusal | Hello | Greet | Welcome | Command | CommandAnswer

_encoder = msgspec.msgpack.Encoder()
_message_decoder: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)
_frame_decoder: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)


def encode_message(message: Message) -> bytes:
    """Return the bytes of a message of the catalogue.

    Raises:
        OversizedMessageError: more than FRAME_BYTES_MAX, less a margin for the frame around it.
    """
    payload = _encoder.encode(message)
    if len(payload) > FRAME_BYTES_MAX - 512:
        raise OversizedMessageError(f"{type(message).__name__} has {len(payload)} bytes, {FRAME_BYTES_MAX} are allowed")
    return payload


def decode_message(payload: bytes) -> AnyMessage:
    """Return the message in these bytes.

    Raises:
        MalformedMessageError: not MessagePack, an unknown type or field, a wrong type, out of range, nested too deep.
    """
    try:
        return _message_decoder.decode(payload)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise MalformedMessageError(f"not a message of the catalogue: {error}") from error


def encode_frame(frame: Frame) -> bytes:
    """Return the bytes of a link frame."""
    return _encoder.encode(frame)


def decode_frame(payload: bytes) -> Frame:
    """Return the link frame in these bytes.

    Raises:
        MalformedMessageError: anything else.
    """
    try:
        return _frame_decoder.decode(payload)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise MalformedMessageError(f"not a frame of a link: {error}") from error
