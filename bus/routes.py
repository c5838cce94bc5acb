"""Who says what to whom: this table is both the wiring and the access list. Whatever is not here is refused."""

from functools import cache
from typing import Final

from bus import messages as m
from bus.transport import TOPIC_HALT, TOPIC_LEASE, TOPIC_MARKET, TOPIC_STATUS

SERVICES: Final[tuple[m.ServiceName, ...]] = (
    "screener",
    "strategy",
    "risk",
    "execution",
    "ledger",
    "holdings",
    "web",
    "watchdog",
)

#: Trading does not depend on these: the chain neither halts nor waits for one that is down; what it is told is kept.
OPTIONAL_SERVICES: Final[tuple[m.ServiceName, ...]] = ("holdings", "web")

#: What may run on a host of its own (BUS_TCP_SECOND_HOST): services that grant no lease, hold none and send no order.
SECOND_HOST_SERVICES: Final[tuple[m.ServiceName, ...]] = ("screener", "strategy")

#: Reliable messages: (sender, type) -> who receives it, in order, exactly one effect.
ROUTES: Final[dict[tuple[m.ServiceName, type[m.Message]], tuple[m.ServiceName, ...]]] = {
    ("watchdog", m.SessionPlanned): ("screener", "strategy", "risk", "execution", "holdings"),
    ("watchdog", m.HaltRaised): ("strategy", "risk", "execution"),
    ("screener", m.CandidatesRanked): ("strategy", "risk"),
    ("screener", m.OptionsListed): ("strategy", "risk"),
    ("screener", m.VixObserved): ("strategy",),
    ("strategy", m.SignalRaised): ("risk",),
    ("strategy", m.ExitSignalled): ("risk",),
    ("risk", m.SubmitOrder): ("execution",),
    ("risk", m.CloseIntent): ("execution",),
    ("risk", m.KillSwitchTripped): ("watchdog", "execution"),
    ("execution", m.AccountReported): ("risk",),
    ("execution", m.AccountStated): ("ledger",),
    ("execution", m.AssetsReported): ("risk",),
    ("execution", m.OrderAccepted): ("risk",),
    ("execution", m.OrderRejected): ("risk",),
    ("execution", m.OrderExpired): ("risk",),
    ("execution", m.OrderCancelled): ("risk",),
    ("execution", m.OrderFilled): ("risk", "ledger"),
    ("execution", m.FillReversed): ("risk", "ledger"),
    ("execution", m.IntentClosed): ("risk",),
    ("execution", m.CashMoved): ("ledger",),
    ("execution", m.ContractsExpired): ("ledger",),
    ("execution", m.ContractsExercised): ("ledger",),
    ("execution", m.SharesSplit): ("ledger",),
    ("ledger", m.EntrySuspended): ("watchdog",),
    ("ledger", m.ReservesStated): ("risk",),
    ("risk", m.HoldingsWindowOpened): ("holdings",),
    ("holdings", m.FundsQuoteRequested): ("risk",),
    ("risk", m.FundsQuoted): ("holdings",),
    ("holdings", m.BooksRequested): ("ledger",),
    ("ledger", m.BooksReported): ("holdings",),
    ("holdings", m.ReserveAllocated): ("ledger",),
    ("ledger", m.ReservePaidOut): ("holdings",),
    ("holdings", m.HoldingsOrderRequested): ("risk",),
    ("risk", m.HoldingsOrderDenied): ("holdings",),
    ("execution", m.HoldingsOrderEnded): ("holdings",),
}

#: Operators' commands and questions: who may give them. They carry an id and a time, commands a halt counter as well.
COMMANDS: Final[dict[type[m.Message], tuple[m.ServiceName, ...]]] = {
    m.ResolveStream: ("web",),
    m.ChangeCoa: ("web",),
    m.ReverseEntry: ("web",),
    m.ExplainSuspense: ("web",),
    m.BookWashSales: ("web",),
    m.ReconcileNow: ("web",),
    m.TellActivity: ("web",),
    m.RunHoldings: ("web",),
    m.PayReserve: ("web",),
    m.PreviewHoldings: ("web",),
    m.AskLedger: ("web",),
}

#: Every core hears what the control folder says; the watchdog alone tells it to people.
CONTROL_ORIGINS: Final[dict[type[m.Message], set[m.ServiceName]]] = {
    m.ChainArmed: {"watchdog"},
    m.ChainDisarmed: {"watchdog"},
    m.HaltRaised: {"watchdog"},
}

#: Market data, lossy: who publishes it and who listens.
MARKET_PUBLISHER: Final[m.ServiceName] = "screener"
MARKET_SUBSCRIBERS: Final[tuple[m.ServiceName, ...]] = ("strategy", "risk", "execution")

#: Replay plays in lock-step. When a service has finished a market step it tells the next one, after the messages it
#: made in it: (sender, receiver) -> whose marks of that step it waits for first. A step is over when the screener
#: hears of it: strategy and execution -> risk -> execution -> screener. Live data has no lock-step.
STEP_MARKS: Final[dict[tuple[m.ServiceName, m.ServiceName], tuple[m.ServiceName, ...]]] = {
    ("strategy", "risk"): (),
    ("execution", "risk"): (),
    ("risk", "execution"): ("strategy", "execution"),
    ("execution", "screener"): ("risk",),
}

#: Status topic, lossy: every service publishes; these services listen.
STATUS_SUBSCRIBERS: Final[tuple[m.ServiceName, ...]] = ("web", "watchdog")

#: Leases: who grants, who needs every one of them to send an order.
LEASE_ISSUERS: Final[tuple[m.ServiceName, ...]] = ("watchdog", "risk")
LEASE_HOLDER: Final[m.ServiceName] = "execution"


def receivers(sender: m.ServiceName, kind: type[m.Message]) -> tuple[m.ServiceName, ...]:
    """Return who must receive this type from this sender; empty when it stays in the sender's journal."""
    return ROUTES.get((sender, kind), ())


@cache
def is_told_by(service: m.ServiceName, kind: type[m.Message]) -> bool:
    """Tell whether this service is the one that tells the status topic of events of this type.

    What a service keeps in its journal because another one said it, it does not say again.
    """
    origins = {sender for sender, routed in ROUTES if routed is kind} | CONTROL_ORIGINS.get(kind, set())
    return service in origins or not origins


#: Events that stay in a journal, and whose it is; the status topic shows them.
JOURNALED: Final[dict[type[m.Message], tuple[m.ServiceName, ...]]] = {
    m.SignalSuppressed: ("strategy",),
    m.RangeCompleted: ("strategy",),
    m.OrderDenied: ("risk",),
    m.ResultPeaked: ("risk",),
    m.OrderPrepared: ("execution",),
    m.OrderUnknown: ("execution",),
    m.CancelRequested: ("execution",),
    m.EntryPosted: ("ledger",),
    m.BooksCompared: ("ledger",),
    m.HoldingsRunAsked: ("holdings",),
    m.NightBegan: ("holdings",),
    m.NightStepped: ("holdings",),
    m.GainsAllocated: ("holdings",),
    m.NightEnded: ("holdings",),
    m.StreamResolved: SERVICES,
}

#: Snapshots on the status topic: who says them.
SNAPSHOTS: Final[dict[type[m.Message], tuple[m.ServiceName, ...]]] = {
    m.Heartbeat: SERVICES,
    m.ChainStatus: ("watchdog",),
    m.PortfolioSnapshot: ("risk",),
    m.OrdersSnapshot: ("execution",),
    m.LedgerSnapshot: ("ledger",),
    m.HoldingsSnapshot: ("holdings",),
}


@cache
def may_publish(sender: m.ServiceName, topic: bytes, kind: type[m.Message]) -> bool:
    """Tell whether this sender may say this type on a lossy topic."""
    if topic == TOPIC_MARKET:
        return sender == MARKET_PUBLISHER and kind in (m.QuoteBatch, m.BarBatch, m.PastBars, m.FeedEnded)
    if topic == TOPIC_LEASE:
        return sender in LEASE_ISSUERS and kind is m.Lease
    if topic == TOPIC_HALT:
        return kind is m.HaltRaised
    if topic != TOPIC_STATUS:
        return False
    told = {origin for origin, routed in ROUTES if routed is kind} | CONTROL_ORIGINS.get(kind, set())
    # An execution's own halt is in its journal and shown like the watchdog's.
    if kind is m.HaltRaised:
        told = {*told, "execution"}
    return sender in told or sender in (JOURNALED.get(kind) or SNAPSHOTS.get(kind) or ())


def may_command(sender: m.ServiceName, kind: type[m.Message]) -> bool:
    """Tell whether this sender may give this command."""
    return sender in COMMANDS.get(kind, ())


def may_send(sender: m.ServiceName, receiver: m.ServiceName, kind: type[m.Message]) -> bool:
    """Tell whether this sender may say this type to this receiver."""
    return receiver in ROUTES.get((sender, kind), ())


def peers_of(sender: m.ServiceName) -> tuple[m.ServiceName, ...]:
    """Return every service this one sends reliable messages or step marks to, in the order of SERVICES."""
    reached = {r for (s, _), rs in ROUTES.items() if s == sender for r in rs}
    reached |= {r for s, r in STEP_MARKS if s == sender}
    return tuple(s for s in SERVICES if s in reached)


def senders_to(receiver: m.ServiceName) -> tuple[m.ServiceName, ...]:
    """Return every service that sends this one reliable messages or step marks, in the order of SERVICES."""
    return tuple(s for s in SERVICES if receiver in peers_of(s))
