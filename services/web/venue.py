"""Where orders go and where prices come from, in words for the top of every page. Pure.

Whatever is not known for certain to be without money is shown as real money.
"""

from collections.abc import Callable, Mapping
from typing import Final, Literal

from msgspec import Struct

Money = Literal["simulator", "paper", "live"]
_BADGES: Final[dict[Money, str]] = {"simulator": "simulator", "paper": "paper account", "live": "REAL MONEY"}


class Venue(Struct, frozen=True, kw_only=True):
    """The broker, what kind of money it trades, and the source of prices; `badge`, `words`, `prices` are for people."""

    broker: str
    money: Money
    words: str
    prices: str

    @property
    def badge(self) -> str:
        """Return the broker's name and what kind of money it trades, in a few words."""
        return f"{self.broker} · {_BADGES[self.money]}"


def venue_of(settings: Mapping[str, str]) -> Venue:
    """Return where orders go and where prices come from by these settings, as they are stored."""
    broker = settings.get("BROKER_NAME", "")
    money, words = _BROKERS.get(broker, _unknown)(settings)
    return Venue(broker=broker or "unknown broker", money=money, words=words, prices=_prices(settings))


def _paper(_settings: Mapping[str, str]) -> tuple[Money, str]:
    return "simulator", "Orders go to the embedded paper broker on this machine: no money."


def _alpaca(settings: Mapping[str, str]) -> tuple[Money, str]:
    match settings.get("ALPACA_ENDPOINT"):
        case "simulator":
            return "simulator", "Orders go to a stand-in for Alpaca on this machine: no money."
        case "paper":
            return "paper", "Orders go to Alpaca's paper account: no money."
        case "live":
            return "live", "REAL MONEY: orders go to the live account at Alpaca."
        case _:
            return _unknown(settings)


def _ibkr(settings: Mapping[str, str]) -> tuple[Money, str]:
    match settings.get("IBKR_MODE"):
        case "paper":
            return "paper", "Orders go to the paper account at Interactive Brokers: no money."
        case "live":
            return "live", "REAL MONEY: orders go to the live account at Interactive Brokers."
        case _:
            return _unknown(settings)


def _unknown(_settings: Mapping[str, str]) -> tuple[Money, str]:
    return "live", "REAL MONEY for all that is known: the settings do not say which account orders go to."


def _prices(settings: Mapping[str, str]) -> str:
    source = settings.get("MARKET_DATA_SOURCE", "")
    if source == "alpaca":
        # ALPACA_ENDPOINT simulator: the stand-in has a market of its own, whoever the broker is.
        if settings.get("ALPACA_ENDPOINT") == "simulator":
            return "simulated exchange"
        return f"live, Alpaca {settings.get('ALPACA_DATA_FEED', '')}".rstrip()
    if source == "ibkr":
        # IBKR_DELAYED_DATA: nobody may take old prices for live ones.
        is_delayed = settings.get("IBKR_DELAYED_DATA") != "false"
        return "DELAYED 15 minutes, Interactive Brokers" if is_delayed else "live, Interactive Brokers"
    return source or "unknown"


_BROKERS: Final[dict[str, Callable[[Mapping[str, str]], tuple[Money, str]]]] = {
    "PAPER": _paper,
    "ALPACA": _alpaca,
    "IBKR": _ibkr,
}
