"""The person at the dashboard: arms, reads halts, answers them, and sometimes stops the bot on purpose."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from sim.chain import Chain
from sim.host import MS, SECOND
from sim.net import SimSockets

from bus.build import build_id
from bus.clock import iso_utc
from bus.codec import Command, encode_frame, encode_message
from bus.commands import COMMAND_VALID_NS
from bus.control import KILL_FILE
from bus.halt import ArmRecord
from bus.messages import MICROS, ChainStatus, HoldingsSnapshot, OperatorCommand, PayReserve, RunHoldings
from bus.vital_signs import drift_refusal

_LOOK_NS: Final = 200 * MS
#: What is asked in one run: a rebalance, a top-up, or that a reserve is paid out.
_ASKED_MAX: Final = 4
_ASKS: Final = 0.2


@dataclass
class Stopped:
    """A stop request or a kill file, from when until when it stood (0 = it still stands)."""

    what: str
    since_ns: int
    until_ns: int = 0


@dataclass
class Operator:
    """Looks at the chain's state a few times a second, as the web UI shows it.

    Args:
        chain: what is operated.
        answers: whether halts are answered at all.
    """

    chain: Chain
    answers: bool = True
    reaction_ns: tuple[int, int] = (300 * MS, 4 * SECOND)
    #: How long a halt stands once the chain was armed; None = as every other state.
    slow_ns: tuple[int, int] | None = None
    #: (boot time, halt counter answered) of each arming.
    armed: list[tuple[int, int]] = field(default_factory=list)
    stops: list[Stopped] = field(default_factory=list)
    #: Told when a file of the control folder was changed by hand.
    changed: Callable[[], None] = lambda: None
    _is_reacting: bool = False
    _web: SimSockets = field(init=False)

    def begin(self) -> None:
        self.chain.host.after(_LOOK_NS, "operator", self._look)

    def _look(self) -> None:
        chain = self.chain
        chain.host.after(_LOOK_NS, "operator", self._look)
        status = chain.status("watchdog", ChainStatus)
        if status is None or self._is_reacting or (chain.house.step and not self.answers):
            return
        if drift_refusal(status.clock_drift_ms * MS):
            # The words that the dashboard shows for it: the page would refuse to arm.
            self._is_reacting = True
            chain.host.after(chain.host.between(*self.reaction_ns), "operator restarts", self._restart_watchdog)
        elif status.state in ("DISARMED", "HALTED", "REDUCING"):
            self._is_reacting = True
            reaction = self.slow_ns if self.slow_ns and self.armed else self.reaction_ns
            chain.host.after(chain.host.between(*reaction), "operator arms", self._arm)

    def _restart_watchdog(self) -> None:
        self._is_reacting = False
        self.chain.crash("watchdog", "restarted by the operator")
        # What the old one said is not what the new one says.
        self.chain.newest.pop(("watchdog", ChainStatus.__name__), None)

    def _arm(self) -> None:
        """Answer what has been read, as the web UI does."""
        self._is_reacting = False
        chain, host = self.chain, self.chain.host
        (chain.paths.control / KILL_FILE).unlink(missing_ok=True)
        self.changed()
        for stopped in self.stops:
            if stopped.what == "kill file":
                stopped.until_ns = stopped.until_ns or host.boot_ns()
        state = chain.control.read()
        if state.halt is not None and state.halt.rule == "broker_failure":
            # The words of this halt ask for it: the broker has forgotten every cancel of this order.
            for order in chain.house.working():
                if f"to cancel {order.key} " in state.halt.detail:
                    chain.house.cancel(order.key)
        if state.refusal(build_id()) is None:
            return
        for stopped in self.stops:
            stopped.until_ns = stopped.until_ns or host.boot_ns()
        self.armed.append((host.boot_ns(), state.halt_counter))
        host.note(f"armed over halt {state.halt_counter}")
        chain.control.arm(
            ArmRecord(
                operator="ann",
                reason=f"read: {state.halt.rule if state.halt else 'nothing'}",
                armed_at_utc=iso_utc(host.utc_ns()),
                halt_counter=state.halt_counter,
                generation=1,
                build=build_id(),
            )
        )

    # --- the holdings -----

    def look_after_the_holdings(self) -> None:
        """Ask for runs of the holdings once their night is over, from the pages."""
        self._web = SimSockets("web", 1, self.chain.net, lambda: None)
        self.chain.host.after(SECOND, "operator and the holdings", lambda: self._look_at_holdings(0))

    def _look_at_holdings(self, asked: int) -> None:
        chain = self.chain
        status = chain.status("holdings", HoldingsSnapshot)
        is_over = status is not None and status.outcome != "no night yet" and not chain.feed_ended
        if is_over and chain.host.chance(_ASKS):
            self._ask_of_holdings(status)
            asked += 1
        if asked < _ASKED_MAX:
            chain.host.after(_LOOK_NS, "operator and the holdings", lambda: self._look_at_holdings(asked))

    def _ask_of_holdings(self, status: HoldingsSnapshot) -> None:
        host = self.chain.host
        if status.tax_reserve_micros and host.chance(0.5):
            # Half of these ask for more than there is.
            amount = status.tax_reserve_micros + (MICROS if host.chance(0.5) else -MICROS)
            self._command(
                PayReserve, purpose="TAX", amount_micros=max(amount, 1), is_withdrawn=False, receiver="ledger"
            )
        else:
            self._command(RunHoldings, is_rebalance=host.chance(0.5), receiver="holdings")

    def _command(self, kind: type[OperatorCommand], **wanted: Any) -> None:
        host = self.chain.host
        command = kind(
            ts_event=host.utc_ns(),
            ts_init=host.utc_ns(),
            command_id=f"{host.rng.getrandbits(64):016x}",
            expires_boot_ns=host.boot_ns() + COMMAND_VALID_NS,
            operator="ann",
            reason="it is time",
            halt_counter=self.chain.control.read().halt_counter,
            **wanted,
        )
        self._web.send(command.receiver, encode_frame(Command(encode_message(command))))

    def halt(self) -> None:
        """Press the button, or put the kill file there."""
        chain = self.chain
        if chain.host.chance(0.5):
            chain.host.note("operator halts")
            chain.control.raise_halt("web", "operator", "ann: it looks wrong")
        elif not (chain.paths.control / KILL_FILE).exists():
            chain.host.note("kill file")
            self.stops.append(Stopped("kill file", chain.host.boot_ns()))
            (chain.paths.control / KILL_FILE).touch()
            self.changed()

    def stop(self) -> None:
        self.chain.host.note("operator stops")
        self.stops.append(Stopped("stop request", self.chain.host.boot_ns()))
        self.chain.control.request_stop("ann")
