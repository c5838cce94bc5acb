"""The journaled state of a session: plan, candidates, accounts, arming, verdicts and the book."""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from bus.messages import (
    AccountReported,
    AssetLine,
    AssetsReported,
    CandidatesRanked,
    ChainArmed,
    ChainDisarmed,
    FillReversed,
    HaltRaised,
    IntentClosed,
    KillSwitchTripped,
    ListedPut,
    Message,
    OptionsListed,
    OrderCancelled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    ReservesStated,
    ResultPeaked,
    SessionPlanned,
    SubmitOrder,
)
from services.risk import halts
from services.risk import portfolio as book
from services.risk.pace import Pace
from services.risk.portfolio import Portfolio
from services.risk.seen import Seen

#: Refusals that the status topic shows; `denied_total` counts them all.
DENIED_SHOWN_MAX = 100
#: What is folded into the portfolio alone.
_OF_THE_BOOK: Final = frozenset({OrderFilled, FillReversed, OrderExpired, OrderCancelled, IntentClosed})
#: The newest signal ids that have a verdict: about fifty busy sessions.
DECIDED_MAX = 10_000


class Standing(Struct, frozen=True, kw_only=True, gc=False):
    """May the chain trade at all. It starts not armed; a halt stands until an arming answers its number."""

    is_armed: bool = False
    was_armed: bool = False
    disarmed_detail: str = "no operator has armed the chain yet"
    answered_counter: int = 0
    halt_counter: int = 0
    halt_detail: str = ""

    @property
    def is_halted(self) -> bool:
        """Tell whether a halt was raised that no operator has answered."""
        return self.halt_counter > self.answered_counter

    @property
    def is_reducing(self) -> bool:
        """Tell whether the chain was armed and then stopped: what is open comes to its end, nothing begins."""
        return self.was_armed and not self.is_armed


class Day(Struct, frozen=True, kw_only=True, gc=False):
    """Everything that a restart brings back.

    `accounts` holds the first report of each session date; `assets` what the broker said of each symbol in the session
    of `assets_date`; `options` each listed option's underlying and facts in the session of `options_date`.
    `reserved_micros` is the cash that the holdings set aside for tax and payroll: no strategy may spend it.
    `peak_micros` is the day's best result, kept with DAILY_LOSS_FROM peak alone. `rejections` are the session times of
    the broker's newest refusals. `pace` is folded in place.
    """

    plan: SessionPlanned | None
    candidates_date: str
    candidates: frozenset[str]
    accounts: dict[str, AccountReported]
    assets_date: str
    assets: dict[str, AssetLine]
    options_date: str = ""
    options: dict[str, tuple[str, ListedPut]] = {}
    standing: Standing
    is_tripped: bool
    peak_micros: int
    reserved_micros: int = 0
    pace: Pace
    rejections: tuple[int, ...]
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

        It is the cash alone, less what is set aside: positions that were there before are not the bot's to risk.
        """
        account = self.account
        return max(account.cash_micros - self.reserved_micros, 0) if account else 0

    def asset_of(self, symbol: str) -> AssetLine | None:
        """Return what the broker said of a symbol in the planned session; None when it said nothing."""
        is_today = self.plan is not None and self.assets_date == self.plan.session_date
        return self.assets.get(symbol) if is_today else None

    def put_of(self, symbol: str) -> tuple[str, ListedPut] | None:
        """Return an option's underlying, and what the screener listed of it for the planned session; None = nothing."""
        is_today = self.plan is not None and self.options_date == self.plan.session_date
        return self.options.get(symbol) if is_today else None


def empty() -> Day:
    """Return the day of a service that has heard nothing."""
    return Day(
        plan=None,
        candidates_date="",
        candidates=frozenset(),
        accounts={},
        assets_date="",
        assets={},
        standing=Standing(),
        is_tripped=False,
        peak_micros=0,
        pace=Pace(),
        rejections=(),
        decided=Seen(DECIDED_MAX),
        denied=(),
        denied_total=0,
        portfolio=book.EMPTY,
    )


def is_new_session(day: Day, plan: SessionPlanned) -> bool:
    """Tell whether a plan begins another session than the present one."""
    return day.plan is None or day.plan.session_date != plan.session_date


def fold(day: Day, event: Message) -> Day:
    """Fold one event; one that changes nothing here returns the same day."""
    if type(event) in _OF_THE_BOOK:
        portfolio = _book(day.portfolio, event)
        return day if portfolio is day.portfolio else replace(day, portfolio=portfolio)
    match event:
        case SessionPlanned():
            return _plan(day, event)
        case CandidatesRanked() | OptionsListed():
            return _candidates(day, event) if isinstance(event, CandidatesRanked) else _options(day, event)
        case AccountReported() | AssetsReported() | ReservesStated():
            return _means(day, event)
        case HaltRaised() | ChainArmed() | ChainDisarmed():
            # A halt for refusals answers them: the operator who arms again begins to count anew.
            is_answer = isinstance(event, HaltRaised) and event.rule == halts.REJECTIONS
            rejections = () if is_answer else day.rejections
            return replace(day, standing=_stand(day.standing, event), rejections=rejections)
        case KillSwitchTripped() | ResultPeaked():
            is_tripped = day.is_tripped or isinstance(event, KillSwitchTripped)
            return replace(day, is_tripped=is_tripped, peak_micros=event.peak_micros)
        case OrderDenied() | OrderRejected():
            return _refused(day, event)
        case _:
            return day


def _refused(day: Day, event: OrderDenied | OrderRejected) -> Day:
    if isinstance(event, OrderDenied):
        shown = (*day.denied, event)[-DENIED_SHOWN_MAX:]
        decided = day.decided.adding(event.intent_id)
        return replace(day, decided=decided, denied=shown, denied_total=day.denied_total + 1)
    portfolio = book.release_entry(day.portfolio, event.client_order_id)
    return replace(day, portfolio=portfolio, rejections=halts.rejections_after(day.rejections, event.ts_event))


def differ(after: Day, before: Day) -> bool:
    """Tell whether a day was changed; where money has moved, or a position has come or gone, at once."""
    if after is before:
        return False
    book, was = after.portfolio, before.portfolio
    if book.cash_flow_micros != was.cash_flow_micros or len(book.exposures) != len(was.exposures):
        return True
    return after != before


def approve(day: Day, order: SubmitOrder) -> Day:
    """Fold an approval: the signal has its verdict, it counts for the pace, and its cost at the ask is reserved."""
    day.pace.note(order)
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
        is_tripped=False,
        peak_micros=0,
        pace=Pace(),
        rejections=(),
        denied=(),
        denied_total=0,
        portfolio=book.begin_session(day.portfolio, _positions(account)),
    )


def _means(day: Day, event: AccountReported | AssetsReported | ReservesStated) -> Day:
    match event:
        case AccountReported():
            return _account(day, event)
        case AssetsReported():
            return _assets(day, event)
        case ReservesStated():
            return replace(day, reserved_micros=event.tax_micros + event.payroll_micros)


def _account(day: Day, report: AccountReported) -> Day:
    if report.session_date in day.accounts:
        return day
    today = day.plan.session_date if day.plan else ""
    kept = {date: account for date, account in day.accounts.items() if date == today}
    accounts = {**kept, report.session_date: report}
    if report.session_date != today:
        return replace(day, accounts=accounts)
    return replace(day, accounts=accounts, portfolio=replace(day.portfolio, externals=_foreign(day.portfolio, report)))


def _assets(day: Day, report: AssetsReported) -> Day:
    # Execution reports in order: another date is a new session, whose plan may still be on its way.
    kept = day.assets if report.session_date == day.assets_date else {}
    return replace(
        day, assets_date=report.session_date, assets={**kept, **{line.symbol: line for line in report.assets}}
    )


def _candidates(day: Day, ranked: CandidatesRanked) -> Day:
    if ranked.scan_mode == "after-hours" and ranked.session_date == day.candidates_date:
        # It is for the next session.
        return day
    names = frozenset(candidate.symbol for candidate in ranked.candidates)
    return replace(day, candidates_date=ranked.session_date, candidates=names)


def _options(day: Day, listed: OptionsListed) -> Day:
    # The list may overtake its session's plan: another date is a new session.
    kept = day.options if listed.session_date == day.options_date else {}
    more = {put.symbol: (listed.underlying, put) for put in listed.puts}
    return replace(day, options_date=listed.session_date, options={**kept, **more})


def _positions(account: AccountReported | None) -> dict[str, int]:
    return dict(zip(account.symbols, account.qtys_nanos, strict=True)) if account else {}


def _foreign(portfolio: Portfolio, account: AccountReported) -> dict[str, int]:
    """Return the reported positions that no fill of this session explains; a short one is never the bot's."""
    own: dict[str, int] = {}
    for exposure in portfolio.exposures.values():
        own[exposure.symbol] = own.get(exposure.symbol, 0) + exposure.qty_nanos
    reported = _positions(account)
    return {
        symbol: qty - own.get(symbol, 0) for symbol, qty in reported.items() if _is_foreign(qty, own.get(symbol, 0))
    }


def _is_foreign(reported: int, own: int) -> bool:
    # Fewer than our fills say is a report from before them.
    return reported > own or reported < 0


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
            return replace(
                standing, is_armed=True, was_armed=True, disarmed_detail="", answered_counter=event.halt_counter
            )
        case ChainDisarmed():
            return replace(standing, is_armed=False, disarmed_detail=event.detail)


def _book(portfolio: Portfolio, event: Message) -> Portfolio:
    if type(event) is OrderFilled:
        return book.book_fill(portfolio, event)
    if type(event) is IntentClosed:
        return book.close_intent(portfolio, event.intent_id)
    if type(event) is OrderCancelled:
        return book.release_entry(portfolio, event.client_order_id, event.filled_qty_nanos)
    if type(event) is OrderExpired:
        return book.release_entry(portfolio, event.client_order_id)
    return book.take_back(portfolio, event) if type(event) is FillReversed else portfolio
