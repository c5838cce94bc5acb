"""Builds the risk service. Its shell raises risk's own halts, and remembers what risk knows, for the lease."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bus.assembly import Assembly, Ports, Setup
from bus.decider import Shell
from bus.messages import MICROS, NANOS, HaltRaised, MarketMessage, Message, SignalRaised
from services.risk import day as days
from services.risk import market as markets
from services.risk import portfolio as book
from services.risk.checks import CHECKS
from services.risk.core import RiskCore, RiskState
from services.risk.facts import Facts
from services.risk.lease import lease_refusal
from services.risk.settings import RiskSettings
from services.risk.sizing import Means, Wanted, size_entry
from services.risk.valuation import Valuation
from services.risk.wording import shares

if TYPE_CHECKING:
    from bus.ahead import Ahead

#: Put a halt on disk: (rule, detail).
RaiseHalt = Callable[[str, str], object]


class RiskShell(Shell[RiskState]):
    """Holds the newest state that the runtime has shown it, and answers for risk's lease from it."""

    prepares = frozenset({HaltRaised})

    def __init__(self) -> None:
        self._state: RiskState | None = None
        self._raise_halt: RaiseHalt = _nobody_hears

    def attach(self, ports: Ports) -> None:
        """Take the runtime's way to halt."""
        self._raise_halt = ports.raise_halt

    def before_commit(self, event: Message) -> None:
        """Put risk's own halts on disk, and tell everybody, before they count."""
        if isinstance(event, HaltRaised) and event.source == "risk" and event.counter == 0:
            self._raise_halt(event.rule, event.detail)

    def on_start(self, state: RiskState, now_ns: int) -> Sequence[Message]:
        """Take the state that the journal gave."""
        self._state = state
        return ()

    def on_market(self, state: RiskState, data: MarketMessage, now_ns: int) -> Sequence[Message]:
        """Take the state with the newest marks."""
        self._state = state
        return ()

    def quiet_for(self, state: RiskState, ahead: "Ahead") -> int:
        """Return how many messages there are: of none is anything reported."""
        return len(ahead)

    def let_pass(self, state: RiskState, ahead: "Ahead") -> RiskState:
        """Take the state with the newest marks."""
        self._state = state
        return state

    def after_commit(self, state: RiskState, event: Message, now_ns: int) -> Sequence[Message]:
        """Take the state with this event in it."""
        self._state = state
        return ()

    def lease_refusal(self) -> str | None:
        """Return why risk grants no lease now, or None."""
        return lease_refusal(self._state)


def _nobody_hears(rule: str, _detail: str) -> None:
    raise RuntimeError(f"the halt {rule} was raised before the runtime's ports were attached")


def build(setup: Setup) -> Assembly[RiskState]:
    """Return the risk service for these settings.

    Raises:
        CannotStartError: the settings of the holdings have faults, so their funds are not known.
    """
    settings = RiskSettings.from_env(setup.env, setup.funds())
    shell = RiskShell()
    return Assembly(
        core=RiskCore(settings),
        shell=shell,
        self_check=lambda: self_check(settings),
        attach=shell.attach,
        lease_refusal=shell.lease_refusal,
    )


def self_check(settings: RiskSettings) -> Sequence[str]:
    """Check that the checks deny without facts, and a known size."""
    nothing = Facts(
        now_ns=2, limits=settings, day=days.empty(), market=markets.blank(), valuation=Valuation(book.EMPTY)
    )
    faults = [
        f"The risk check '{check.rule}' passes when nothing is known: do not trade with this build"
        for check in CHECKS
        if not check.needs_evidence and check.find(_PROBE, nothing) is None
    ]
    # 100,000 dollars at 0.25 % risk, an ask of 50 dollars, a stop 2 % below: 250 dollars / 1 dollar a share.
    known = replace(
        settings,
        total_allocation_ppm=500_000,
        max_risk_per_trade_ppm=2_500,
        max_open_positions=1,
        position_per_symbol_ppm=500_000,
        order_notional_max_micros=50_000 * MICROS,
        order_max_nanos=1_000 * NANOS,
    )
    cash = 100_000 * MICROS
    means = Means(start_equity_micros=cash, allocated_micros=0, cash_micros=cash, buying_power_micros=cash)
    qty_nanos = size_entry(known, means, Wanted(ask_micros=50 * MICROS, trail_bps=200)).qty_nanos
    if qty_nanos != 250 * NANOS:
        faults.append(f"Sizing gives {shares(qty_nanos)} where 250 are right: do not trade with this build")
    return faults


_PROBE = SignalRaised(
    ts_event=0,
    ts_init=0,
    signal_id="probe",
    session_date="1970-01-01",
    strategy="open",
    symbol="PROBE",
    direction="BULLISH",
    instrument="PROBE",
    reference_micros=MICROS,
    trail_bps=200,
    expires_ns=1,
    exit_at_ns=1,
    reasons=(),
)
