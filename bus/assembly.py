"""What a service hands to the runtime that runs it, and what the runtime gives it to start from."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from bus.commands import OnRequest, refuse_request
from bus.decider import Core, Gate, Shell
from bus.live_feed import LiveFeed
from bus.messages import MarketMessage, Message, ServiceName, SessionPlanned, StatusMessage
from config.env_bot import EnvBot
from config.holdings import HoldingsSettings, HoldingsSettingsError
from config.identity import Identity
from config.paths import HomePaths

S = TypeVar("S")


class CannotStartError(Exception):
    """A service cannot do its work with what the operator has set; the message says what, where and what to do.

    The process stays up, says so on the status topic, and the chain cannot be armed.
    """


@dataclass(frozen=True)
class Setup:
    """What every service starts from: the home, the checked settings, and who this bot is.

    `generation`: of the secrets, for whoever opens them again: a running chain uses one and the same, whatever was
    saved since it started; 0 = they do not come from a vault. `is_buffered`: a replay, which nobody resumes. The paper
    broker's books and the ledger are committed once, when they are closed, and not with each change. `holdings` is the
    vault's part of that name: see config/holdings.py.
    """

    paths: HomePaths
    env: EnvBot
    identity: Identity
    is_buffered: bool = False
    generation: int = 0
    holdings: Mapping[str, Any] = field(default_factory=dict)

    def funds(self) -> frozenset[str]:
        """Return the funds of the long-term holdings, which no strategy may trade; none while they are not enabled.

        Raises:
            CannotStartError: the settings of the holdings have faults, so the funds are not known.
        """
        try:
            return HoldingsSettings.from_vault(self.holdings).active_symbols
        except HoldingsSettingsError as error:
            raise CannotStartError(str(error)) from error


@dataclass(frozen=True)
class Ports:
    """What the runtime lets a shell do beyond its own world."""

    gate: Gate
    publish: Callable[[StatusMessage], None]
    #: Put a halt on disk and tell every service at once: (rule, detail). One rule halts once until it is answered.
    raise_halt: Callable[[str, str], object]
    #: Keep this process alive for others while its loop waits for somebody outside: heartbeats, leases and halts.
    breathe: Callable[[], None] = lambda: None


def _no_faults() -> Sequence[str]:
    return ()


def _no_ports(_ports: Ports) -> None:
    return None


def _no_status(_sender: ServiceName, _message: Message) -> None:
    return None


def _as_it_is(event: Message) -> Message:
    return event


@dataclass(frozen=True)
class Assembly(Generic[S]):
    """One service, ready to run.

    Args:
        core: what decides.
        shell: what touches the world for it.
        self_check: returns one plain sentence for each fault it finds.
        feed: the screener's alone: opens the session's market data, every message in order.
        live: the screener's alone, for live data: opens the planned session's feed; None = not yet, ask again.
        attach: takes the runtime's ports before the start.
        on_status: hears the status topic, in services that listen to it.
        when_stalled: what becomes of an event while the oldest message waits too long: a signal is not raised then.
        lease_refusal: for services that grant leases: why none is granted now, beyond the control folder's reasons.
        reconciled_ms: how long ago this service's view and the broker's agreed, for its heartbeat; -1 = they do not,
            or nobody has compared them.
        remark: what else a person should see of this service at this moment; empty = nothing.
        unready: why this service does not let the chain be armed, in at most 400 characters; empty when it does.
        commits_together: numbered messages that have arrived together are decided one by one and committed at once.
            For a service whose core does not look at the clock, and whose effects come before the commit.
        on_request: carries out an operator's command or answers a question, beyond what the runtime does itself.
    """

    core: Core[S]
    shell: Shell[S] = field(default_factory=Shell)
    self_check: Callable[[], Sequence[str]] = _no_faults
    feed: Callable[[SessionPlanned], Iterator[MarketMessage]] | None = None
    live: Callable[[SessionPlanned], LiveFeed | None] | None = None
    attach: Callable[[Ports], None] = _no_ports
    on_status: Callable[[ServiceName, Message], None] = _no_status
    lease_refusal: Callable[[], str | None] = lambda: None
    when_stalled: Callable[[Message], Message] = _as_it_is
    reconciled_ms: Callable[[], int] = lambda: -1
    remark: Callable[[], str] = lambda: ""
    unready: Callable[[], str] = lambda: ""
    commits_together: bool = False
    on_request: OnRequest = refuse_request

    def checked(self) -> "Assembly[S]":
        """Return this assembly after its self-check.

        Raises:
            CannotStartError: with every fault that was found.
        """
        faults = self.self_check()
        if faults:
            raise CannotStartError("; ".join(faults))
        return self
