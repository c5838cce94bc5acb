"""The account at Alpaca: cash, positions, what may be traded, and whether it is well."""

import logging
from collections.abc import Sequence
from decimal import Decimal
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from bus.clock import NS_PER_SECOND, iso_utc, utc_ns
from bus.instruments import is_option
from bus.messages import MICROS, NANOS, AssetLine
from services.execution.brokers import alpaca_answers as a
from services.execution.brokers.alpaca_line import Line
from services.execution.brokers.interface import BrokerClock, RetryableBrokerError
from services.execution.brokers.reports import BrokerAccount

Endpoint = Literal["paper", "live", "simulator"]

#: Beyond this the times of orders and of sessions cannot be trusted.
SKEW_NS_MAX: Final = 5 * NS_PER_SECOND
#: So many assets are asked for one by one; more are taken from the list, which is one request of some megabytes.
SINGLE_MAX: Final = 3
_DATE_CHARS: Final = 10
#: Source: Alpaca "Trading API" 2.0.1, `options_trading_level`: from 2 on puts and calls may be bought.
BUYS_OPTIONS_LEVEL: Final = 2
#: Source: Alpaca "Authentication", read 2026-11: keys of paper accounts begin with PK, of live ones with AK.
_PREFIX: Final[dict[Endpoint, str]] = {"paper": "PK", "live": "AK"}
_log = logging.getLogger(__name__)


class _Account(Struct, frozen=True):
    status: str = ""
    cash: Decimal | None = None
    buying_power: Decimal | None = None
    trading_blocked: bool | None = None
    account_blocked: bool | None = None
    trade_suspended_by_user: bool | None = None
    options_trading_level: int | None = None


class _Position(Struct, frozen=True):
    symbol: str
    qty: Decimal
    side: str = "long"


class _Asset(Struct, frozen=True):
    symbol: str
    status: str = ""
    tradable: bool = False
    fractionable: bool = False
    shortable: bool = False


class _Clock(Struct, frozen=True):
    timestamp: str
    is_open: bool


class AccountDesk:
    """Asks about the account.

    Args:
        line: who is asked.
        endpoint: the setting ALPACA_ENDPOINT.
        key: the key's id, whose first letters say which kind of account it opens.
    """

    def __init__(self, line: Line, endpoint: Endpoint, key: str) -> None:
        self._line = line
        self._endpoint: Endpoint = endpoint
        self._key = key
        self._assets_day = ""
        self._assets: dict[str, AssetLine] = {}
        #: What the account may do with options, as it was last told; None = it was not.
        self._options_level: int | None = None

    def account(self, session_date: str, now_ns: int) -> BrokerAccount:
        """Return cash, buying power and positions.

        Raises:
            RetryableBrokerError: there is no whole answer.
            StopTradingError: the keys are refused.
        """
        one = a.decoded(self._line.get("/account", "the account"), _Account)
        if one.cash is None or one.buying_power is None:
            raise RetryableBrokerError("Alpaca's account has no cash or no buying power in it")
        self._note_options(one)
        held: dict[str, int] = {}
        for position in a.decoded(self._line.get("/positions", "the positions"), list[_Position]):
            qty = a.scaled(position.qty, NANOS)
            # Recorded: a short position has a negative quantity and the side short; either of them is enough.
            held[position.symbol] = -abs(qty) if position.side == "short" else qty
        symbols = tuple(sorted(held))
        return BrokerAccount(
            ts_event=now_ns,
            ts_init=now_ns,
            session_date=session_date,
            broker=a.NAME,
            cash_micros=a.scaled(one.cash, MICROS),
            buying_power_micros=a.scaled(one.buying_power, MICROS),
            symbols=symbols,
            qtys_nanos=tuple(held[symbol] for symbol in symbols),
        )

    def assets(self, symbols: Sequence[str], now_ns: int) -> Sequence[AssetLine]:
        """Return what may be done with each symbol; the list of all is asked for once a day.

        Raises:
            RetryableBrokerError: there is no whole answer.
            StopTradingError: the keys are refused.
        """
        day = iso_utc(now_ns)[:_DATE_CHARS]
        if day != self._assets_day:
            self._assets.clear()
            self._read_assets(day)
        for symbol in symbols:
            if symbol not in self._assets:
                self._assets[symbol] = self._contract(symbol) if is_option(symbol) else _unknown(symbol)
        return [self._allowed(self._assets[symbol]) for symbol in symbols]

    def _allowed(self, line: AssetLine) -> AssetLine:
        """Return what may be done with an asset by an account of this level."""
        may_not = self._options_level is not None and self._options_level < BUYS_OPTIONS_LEVEL
        return replace(line, is_tradable=False) if may_not and is_option(line.symbol) else line

    def _note_options(self, one: _Account) -> None:
        level = one.options_trading_level
        if level is not None and level != self._options_level and level < BUYS_OPTIONS_LEVEL:
            _log.warning(
                "the account's options trading level is %d: no put is bought before it is %d or more on Alpaca's page "
                "(it matters only where SHORT_TYPE_* is LongPut)",
                level,
                BUYS_OPTIONS_LEVEL,
            )
        self._options_level = level

    def assets_anew(self, symbols: Sequence[str], now_ns: int) -> Sequence[AssetLine]:
        """Return the same as it stands now: of a few symbols each by itself, of many by the list; options once a day.

        Raises:
            RetryableBrokerError: there is no whole answer.
            StopTradingError: the keys are refused.
        """
        stocks = [symbol for symbol in symbols if not is_option(symbol)]
        if len(stocks) > SINGLE_MAX:
            self._read_assets(iso_utc(now_ns)[:_DATE_CHARS])
        else:
            self._assets |= {symbol: self._asset(symbol) for symbol in stocks}
        return self.assets(symbols, now_ns)

    def _read_assets(self, day: str) -> None:
        params = {"status": "active", "asset_class": "us_equity"}
        listed = a.decoded(self._line.get("/assets", "the list of assets", params), list[_Asset])
        options = {symbol: line for symbol, line in self._assets.items() if is_option(symbol)}
        self._assets = options | {one.symbol: _line_of(one) for one in listed}
        self._assets_day = day

    def _asset(self, symbol: str) -> AssetLine:
        answer = self._line.ask("GET", f"/assets/{symbol}", "an asset")
        if answer.status == 404:
            return _unknown(symbol)
        return _line_of(a.decoded(a.checked(answer.status, answer.body, "an asset", (self._key,)), _Asset))

    def _contract(self, symbol: str) -> AssetLine:
        answer = self._line.ask("GET", f"/options/contracts/{symbol}", "an option")
        if answer.status == 404:
            return _unknown(symbol)
        body = a.checked(answer.status, answer.body, "an option", ())
        return _line_of(a.decoded(body, _Asset))

    def clock(self) -> BrokerClock:
        """Return Alpaca's time and whether its market is open.

        Raises:
            RetryableBrokerError: there is no answer.
            StopTradingError: the keys are refused.
        """
        told = a.decoded(self._line.get("/clock", "the time"), _Clock)
        return BrokerClock(utc_ns=a.utc_ns_of(told.timestamp), is_open=told.is_open)

    def suspend(self, *, is_up: bool) -> None:
        """Let Alpaca itself refuse every new order, or take them again.

        Raises:
            RetryableBrokerError: it did not confirm it.
            StopTradingError: the keys are refused.
        """
        what = "the account's setting suspend_trade"
        answer = self._line.ask("PATCH", "/account/configurations", what, {"suspend_trade": is_up}, purpose="exit")
        a.checked(answer.status, answer.body, what, (self._key,))

    def faults(self) -> Sequence[str]:
        """Return one sentence for each way in which this account cannot be traded through."""
        wrong = _wrong_kind(self._endpoint, self._key)
        if wrong:
            return (wrong,)
        one = a.decoded(self._line.get("/account", "the account"), _Account)
        self._note_options(one)
        faults: list[str] = []
        if one.status != "ACTIVE":
            faults.append(f"The account at Alpaca is {one.status or 'of no status'}, not ACTIVE: see Alpaca's page")
        if one.account_blocked or one.trading_blocked:
            faults.append("The account at Alpaca is blocked from trading: ask Alpaca's support why")
        if one.trade_suspended_by_user:
            _log.warning("the account's setting suspend_trade is on: Alpaca refuses new orders until it is lifted")
        before_ns = utc_ns()
        skew_ns = self.clock().utc_ns - (before_ns + utc_ns()) // 2
        if abs(skew_ns) > SKEW_NS_MAX:
            faults.append(
                f"This machine's clock is {abs(skew_ns) // NS_PER_SECOND} s "
                f"{'behind' if skew_ns > 0 else 'ahead of'} Alpaca's: let it be set from the network (chrony, ntp)"
            )
        return faults


def _wrong_kind(endpoint: Endpoint, key: str) -> str:
    for kind, prefix in _PREFIX.items():
        if endpoint in _PREFIX and kind != endpoint and key.startswith(prefix):
            return (
                f"ALPACA_ENDPOINT is {endpoint}, but alpaca_trading_key is the key of a {kind} account (it begins with "
                f"{prefix}): enter the keys of a {endpoint} account, or set ALPACA_ENDPOINT to {kind}"
            )
    return ""


def _line_of(one: _Asset) -> AssetLine:
    return AssetLine(
        symbol=one.symbol,
        is_tradable=one.tradable and one.status == "active",
        is_fractionable=one.fractionable,
        is_shortable=one.shortable,
    )


def _unknown(symbol: str) -> AssetLine:
    return AssetLine(symbol=symbol, is_tradable=False, is_fractionable=False, is_shortable=False)
