"""Halt and lease rules, pure: who is stopped, and who may send an order now."""

from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from bus.messages import ChainArmed, ChainDisarmed, HaltRaised, SessionPlanned

LEASE_EVERY_NS: Final = 250_000_000
LEASE_VALID_NS: Final = 1_000_000_000
_ID_MAX: Final = 96
_TEXT_MAX: Final = 400


class HaltRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One halt on disk. `counter` is its number; it only grows."""

    counter: int
    source: str
    rule: str
    detail: str
    raised_at_utc: str


class ArmRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An operator's permission to trade. It answers halts up to `halt_counter`; any later one stops the chain.

    `expires` is the session date after whose close it is no permission any more; empty = it stands until a stop.
    """

    operator: str
    reason: str
    armed_at_utc: str
    halt_counter: int
    generation: int
    build: str
    expires: str = ""

    def is_over(self, plan: SessionPlanned | None, now_ns: int) -> bool:
        """Tell whether this permission has ended with its session (ARM_EXPIRES=session)."""
        if not self.expires or plan is None:
            return False
        has_closed = plan.is_trading_day and now_ns >= plan.close_ns
        return plan.session_date != self.expires or has_closed


@dataclass(frozen=True)
class ControlState:
    """What the control folder says. `fault` is set when a file cannot be read, and then the chain is stopped.

    `stop_words` is the first line of control_stop.txt, for people; a stop stands with or without words.
    """

    arm: ArmRecord | None
    halt: HaltRecord | None
    halt_counter: int
    is_stop_requested: bool
    is_kill_file_present: bool
    is_start_file_present: bool
    stop_words: str = ""
    fault: str = ""

    @property
    def answered(self) -> int:
        """Return the newest halt that an operator has answered."""
        return self.arm.halt_counter if self.arm else 0

    def is_halted(self) -> bool:
        """Tell whether a halt stands that no operator has answered; unreadable files count as a halt."""
        if self.fault or self.is_kill_file_present:
            return True
        answered = self.arm.halt_counter if self.arm else 0
        return self.halt_counter > answered

    def refusal(self, build: str) -> str | None:
        """Return why nothing may be sent that adds exposure, or None when the chain is armed.

        Args:
            build: the build of the asking process; an arm record of another build does not count.
        """
        if self.fault:
            return f"stopped: {self.fault}"
        if self.is_halted():
            is_file = self.is_kill_file_present or self.halt is None
            detail = "control/kill.txt is present" if is_file or self.halt is None else self.halt.detail
            return f"halted: {detail}"
        if self.arm is None:
            return "not armed: an operator arms the chain on the dashboard"
        if self.is_stop_requested:
            words = f" ({self.stop_words})" if self.stop_words else ""
            return f"stopped: arm it again on the dashboard{words}"
        if not self.is_start_file_present:
            # Arming writes it, so somebody has removed it. Making it by hand arms nothing: without an arm record, or
            # with a stop request, the lines above refuse already.
            return "stopped: control/control_start.txt was removed; arm it again on the dashboard"
        if self.arm.build != build:
            return "armed for another build: arm it again on the dashboard"
        return None


def announcement(state: ControlState, refusal: str | None, now_ns: int) -> HaltRaised | ChainArmed | ChainDisarmed:
    """Return what a core is told of the control folder; `refusal` is what `state.refusal` says for this build."""
    if state.is_halted():
        # A halt without a record of its own has no number: it stands as long as its file does.
        record = None if state.fault or state.is_kill_file_present else state.halt
        return HaltRaised(
            ts_event=now_ns,
            ts_init=now_ns,
            counter=record.counter if record else 0,
            source="watchdog",
            # A record may have been written by hand: what a message cannot carry is cut.
            rule=(record.rule[:_ID_MAX] if record else "") or "control_file",
            detail=(record.detail if record else refusal or "halted")[:_TEXT_MAX],
        )
    if refusal is None and state.arm is not None:
        return ChainArmed(
            ts_event=now_ns,
            ts_init=now_ns,
            halt_counter=state.arm.halt_counter,
            operator=state.arm.operator[:_ID_MAX] or "unknown",
            reason=state.arm.reason[:_TEXT_MAX],
        )
    return ChainDisarmed(ts_event=now_ns, ts_init=now_ns, detail=(refusal or "not armed")[:_TEXT_MAX])


@dataclass
class LeaseBook:
    """The newest lease of each issuer, at the one service that needs them all."""

    issuers: tuple[str, ...]

    def __post_init__(self) -> None:
        """Start with no lease."""
        self._expires: dict[str, int] = {}
        self._valid_until = 0

    def heard(self, issuer: str, expires_boot_ns: int, now_boot_ns: int) -> None:
        """Keep a lease when it is newer; none is longer than LEASE_VALID_NS, one from a stranger is ignored."""
        if issuer in self.issuers:
            granted = min(expires_boot_ns, now_boot_ns + LEASE_VALID_NS)
            self._expires[issuer] = max(self._expires.get(issuer, 0), granted)
            if self.refusal(now_boot_ns) is None:
                self._valid_until = max(self._valid_until, min(self._expires.values()))

    def forget(self) -> None:
        """Drop every lease, as after a gap in this process's own life."""
        self._expires.clear()

    def refusal(self, boot_ns: int) -> str | None:
        """Return which lease is missing, or None when every issuer's lease is still valid."""
        missing = [name for name in self.issuers if self._expires.get(name, 0) <= boot_ns]
        return f"no lease from {' and '.join(missing)}" if missing else None

    def lapsed_ns(self, boot_ns: int) -> int:
        """Return for how long not all leases have been valid at once; 0 = they are now.

        A lease that was dropped counts until it would have ended.
        """
        return 0 if self.refusal(boot_ns) is None else max(1, boot_ns - self._valid_until)
