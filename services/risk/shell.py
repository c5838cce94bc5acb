"""Builds the risk service. It touches nothing of the world; its shell only remembers what risk knows, for the lease."""

from collections.abc import Sequence

from bus.assembly import Assembly, Setup
from bus.decider import Shell
from bus.messages import MICROS, MarketMessage, Message, SignalRaised
from services.risk import day as days
from services.risk import market as markets
from services.risk import portfolio as book
from services.risk.checks import CHECKS, Facts
from services.risk.core import RiskCore, RiskState
from services.risk.lease import lease_refusal
from services.risk.settings import RiskSettings
from services.risk.sizing import Means, size_entry
from services.risk.valuation import Valuation

#: Checks that ask whether something bad is known: without any fact they pass, but others have denied before.
_ASK_FOR_EVIDENCE = frozenset(
    (
        "halted",
        "kill_switch",
        "books_disagree",
        "unmarked_position",
        "max_open_positions",
        "already_open",
    )
)


class RiskShell(Shell[RiskState]):
    """Holds the newest state that the runtime has shown it, and answers for risk's lease from it."""

    def __init__(self) -> None:
        self._state: RiskState | None = None

    def on_start(self, state: RiskState, now_ns: int) -> Sequence[Message]:
        """Take the state that the journal gave."""
        self._state = state
        return ()

    def on_market(self, state: RiskState, data: MarketMessage, now_ns: int) -> Sequence[Message]:
        """Take the state with the newest marks."""
        self._state = state
        return ()

    def after_commit(self, state: RiskState, event: Message, now_ns: int) -> Sequence[Message]:
        """Take the state with this event in it."""
        self._state = state
        return ()

    def lease_refusal(self) -> str | None:
        """Return why risk grants no lease now, or None."""
        return lease_refusal(self._state)


def build(setup: Setup) -> Assembly[RiskState]:
    """Return the risk service for these settings."""
    settings = RiskSettings.from_env(setup.env)
    shell = RiskShell()
    return Assembly(
        core=RiskCore(settings),
        shell=shell,
        self_check=lambda: self_check(settings),
        lease_refusal=shell.lease_refusal,
    )


def self_check(settings: RiskSettings) -> Sequence[str]:
    """Check that the checks deny without facts, and a known size."""
    nothing = Facts(now_ns=2, limits=settings, day=days.EMPTY, market=markets.blank(), valuation=Valuation(book.EMPTY))
    faults = [
        f"The risk check '{check.rule}' passes when nothing is known: do not trade with this build"
        for check in CHECKS
        if check.rule not in _ASK_FOR_EVIDENCE and check.find(_PROBE, nothing) is None
    ]
    # 100,000 dollars at 0.25 % risk, an ask of 50 dollars, a stop 2 % below: 250 dollars / 1 dollar a share.
    known = RiskSettings(
        total_allocation_ppm=500_000,
        max_risk_per_trade_ppm=2_500,
        max_open_positions=1,
        daily_loss_limit_ppm=20_000,
        min_volume_nanos=0,
        max_spread_ppm=15_000,
        max_quote_age_ns=2_000_000_000,
        entry_timeout_ns=60_000_000_000,
    )
    cash = 100_000 * MICROS
    means = Means(start_equity_micros=cash, allocated_micros=0, cash_micros=cash)
    qty = size_entry(known, means, ask_micros=50 * MICROS, trail_bps=200).qty_shares
    if qty != 250:
        faults.append(f"Sizing gives {qty} shares where 250 are right: do not trade with this build")
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
