"""The journaled state of a session: plan, candidates, accounts, arming, verdicts and the book."""

from msgspec import Struct
from msgspec.structs import replace

from bus.messages import (
    AccountReported,
    AssetLine,
    AssetsReported,
    CandidatesRanked,
    ChainArmed,
    ChainDisarmed,
    HaltRaised,
    IntentClosed,
    KillSwitchTripped,
    Message,
    OrderCancelled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    SessionPlanned,
    SubmitOrder,
)
from services.risk import portfolio as book
from services.risk.portfolio import Portfolio
from services.risk.seen import Seen

#: Refusals that the status topic shows; `denied_total` counts them all.
DENIED_SHOWN_MAX = 100
#: The newest signal ids that have a verdict: about fifty busy sessions.
DECIDED_MAX = 10_000


class Standing(Struct, frozen=True, kw_only=True):
    """May the chain trade at all. It starts not armed; a halt stands until an arming answers its number."""

    is_armed: bool = False
    disarmed_detail: str = "no operator has armed the chain yet"
    answered_counter: int = 0
    halt_counter: int = 0
    halt_detail: str = ""

    @property
    def is_halted(self) -> bool:
        """Tell whether a halt was raised that no operator has answered."""
        return self.halt_counter > self.answered_counter


class Day(Struct, frozen=True, kw_only=True):
    """Everything that a restart brings back.

    `accounts` holds the first report of each session date; `assets` what the broker said of each symbol this session.
    """

    plan: SessionPlanned | None
    candidates_date: str
    candidates: frozenset[str]
    accounts: dict[str, AccountReported]
    assets: dict[str, AssetLine]
    standing: Standing
    is_tripped: bool
    decided: Seen
    denied: tuple[OrderDenied, ...]
    denied_total: int
    portfolio: Portfolio

    @property
    def account(self) -> AccountReported | None:
        """Return the first account report of the planned session: its starting equity."""
        return self.accounts.get(self.plan.session_date) if self.plan else None

    @property
    def start_equity_micros(self) -> int:
        """Return the day's starting equity, 0 while it is unknown.

        It is the cash alone: positions that were there before are not the bot's to risk.
        """
        return self.account.cash_micros if self.account else 0


EMPTY = Day(
    plan=None,
    candidates_date="",
    candidates=frozenset(),
    accounts={},
    assets={},
    standing=Standing(),
    is_tripped=False,
    decided=Seen(DECIDED_MAX),
    denied=(),
    denied_total=0,
    portfolio=book.EMPTY,
)


def is_new_session(day: Day, plan: SessionPlanned) -> bool:
    """Tell whether a plan begins another session than the present one."""
    return day.plan is None or day.plan.session_date != plan.session_date


def fold(day: Day, event: Message) -> Day:
    """Fold one event; a type that changes nothing here returns the same day."""
    match event:
        case SessionPlanned():
            return _plan(day, event)
        case CandidatesRanked():
            names = frozenset(candidate.symbol for candidate in event.candidates)
            return replace(day, candidates_date=event.session_date, candidates=names)
        case AccountReported():
            return _account(day, event)
        case AssetsReported():
            return replace(day, assets={**day.assets, **{line.symbol: line for line in event.assets}})
        case HaltRaised() | ChainArmed() | ChainDisarmed():
            return replace(day, standing=_stand(day.standing, event))
        case OrderDenied():
            shown = (*day.denied, event)[-DENIED_SHOWN_MAX:]
            decided = day.decided.adding(event.intent_id)
            return replace(day, decided=decided, denied=shown, denied_total=day.denied_total + 1)
        case KillSwitchTripped():
            return replace(day, is_tripped=True)
        case _:
            return replace(day, portfolio=_book(day.portfolio, event))


def approve(day: Day, order: SubmitOrder) -> Day:
    """Fold an approval: the signal has its verdict, and its cost at the ask is reserved."""
    decided = day.decided.adding(order.intent_id)
    return replace(day, decided=decided, portfolio=book.reserve(day.portfolio, order))


def _plan(day: Day, plan: SessionPlanned) -> Day:
    if not is_new_session(day, plan):
        return replace(day, plan=plan)
    # Reports of the new session may overtake its plan, since they come from other senders: those are kept.
    account = day.accounts.get(plan.session_date)
    return replace(
        day,
        plan=plan,
        accounts={plan.session_date: account} if account else {},
        assets={},
        is_tripped=False,
        denied=(),
        denied_total=0,
        portfolio=book.begin_session(day.portfolio, _positions(account)),
    )


def _account(day: Day, report: AccountReported) -> Day:
    if report.session_date in day.accounts:
        return day
    today = day.plan.session_date if day.plan else ""
    kept = {date: account for date, account in day.accounts.items() if date == today}
    accounts = {**kept, report.session_date: report}
    if report.session_date != today:
        return replace(day, accounts=accounts)
    return replace(day, accounts=accounts, portfolio=replace(day.portfolio, externals=_foreign(day.portfolio, report)))


def _positions(account: AccountReported | None) -> dict[str, int]:
    return dict(zip(account.symbols, account.qtys_nanos, strict=True)) if account else {}


def _foreign(portfolio: Portfolio, account: AccountReported) -> dict[str, int]:
    """Return the reported positions that no fill of this session explains."""
    own: dict[str, int] = {}
    for exposure in portfolio.exposures.values():
        own[exposure.symbol] = own.get(exposure.symbol, 0) + exposure.qty_nanos
    reported = _positions(account)
    return {symbol: qty - own.get(symbol, 0) for symbol, qty in reported.items() if qty > own.get(symbol, 0)}


def _stand(standing: Standing, event: HaltRaised | ChainArmed | ChainDisarmed) -> Standing:
    match event:
        case HaltRaised():
            if event.counter == 0:
                # A halt without a record of its own stands until the control folder says otherwise.
                return replace(standing, is_armed=False, disarmed_detail=event.detail)
            if event.counter <= standing.halt_counter:
                return standing
            return replace(standing, halt_counter=event.counter, halt_detail=event.detail)
        case ChainArmed():
            return replace(standing, is_armed=True, disarmed_detail="", answered_counter=event.halt_counter)
        case ChainDisarmed():
            return replace(standing, is_armed=False, disarmed_detail=event.detail)


def _book(portfolio: Portfolio, event: Message) -> Portfolio:
    match event:
        case OrderFilled():
            return book.book_fill(portfolio, event)
        case OrderRejected() | OrderExpired() | OrderCancelled():
            return book.release_entry(portfolio, event.client_order_id)
        case IntentClosed():
            return book.close_intent(portfolio, event.intent_id)
        case _:
            return portfolio
