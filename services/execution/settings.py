"""The slice of the settings that execution reads."""

from typing import Literal

from msgspec import Struct

from bus.messages import MICROS, NANOS
from config.env_bot import EnvBot
from services.execution.brokers.commission import Commission
from services.execution.brokers.paper_rules import PaperRules

#: Parts per million in a basis point.
_PPM_PER_BASIS_POINT = 100
_CENTS_PER_DOLLAR = 100
_PPM_PER_PERCENT = 10_000
_NS_PER_MS = 1_000_000
_NS_PER_SECOND = 1_000_000_000


class EntryLimits(Struct, frozen=True, kw_only=True):
    """What execution itself holds an entry against.

    MAX_ORDER_NOTIONAL, MAX_ORDER_SHARES, MAX_ORDERS_PER_SECOND and MAX_QUOTE_AGE; `collar_ppm` is EXECUTION_COLLAR in
    parts per million of the newest ask.
    """

    notional_max_micros: int
    qty_max_nanos: int
    per_second_max: int
    collar_ppm: int
    quote_age_max_ns: int


def paper_rules(env: EnvBot) -> PaperRules:
    """Read how realistic the paper broker is."""
    return PaperRules(
        latency_ns=env.whole("PAPER_LATENCY") * _NS_PER_MS,
        participation_percent=env.whole("PAPER_PARTICIPATION"),
        refuses_opposite_sides=env.flag("PAPER_WASH_RULE"),
    )


class ExecutionSettings(Struct, frozen=True, kw_only=True):
    """What the operator set for orders. `paper_slippage_ppm` is in parts per million of the price."""

    broker_name: str
    halt_positions: Literal["keep", "flatten"]
    stop_positions: Literal["keep", "flatten"]
    paper_starting_cash_micros: int
    paper_slippage_ppm: int
    paper_commission: Commission
    entry_limits: EntryLimits

    @classmethod
    def from_env(cls, env: EnvBot) -> "ExecutionSettings":
        """Read the settings that execution needs."""
        return cls(
            broker_name=env.word("BROKER_NAME"),
            halt_positions="flatten" if env.word("HALT_POSITIONS") == "flatten" else "keep",
            stop_positions="flatten" if env.word("STOP_POSITIONS") == "flatten" else "keep",
            paper_starting_cash_micros=env.whole("PAPER_STARTING_CASH") * MICROS,
            paper_slippage_ppm=env.scaled("PAPER_SLIPPAGE", _PPM_PER_BASIS_POINT),
            paper_commission=Commission(
                sec_cents=env.scaled("PAPER_SEC_FEE", _CENTS_PER_DOLLAR),
                taf_micros=env.scaled("PAPER_TAF", MICROS),
                share_micros=env.scaled("PAPER_COMMISSION_SHARE", MICROS),
                order_micros=env.scaled("PAPER_COMMISSION_ORDER", MICROS),
            ),
            entry_limits=EntryLimits(
                notional_max_micros=env.whole("MAX_ORDER_NOTIONAL") * MICROS,
                qty_max_nanos=env.whole("MAX_ORDER_SHARES") * NANOS,
                per_second_max=env.whole("MAX_ORDERS_PER_SECOND"),
                collar_ppm=env.scaled("EXECUTION_COLLAR", _PPM_PER_PERCENT),
                quote_age_max_ns=env.whole("MAX_QUOTE_AGE") * _NS_PER_SECOND,
            ),
        )


class AlpacaSettings(Struct, frozen=True, kw_only=True):
    """What the operator set for Alpaca; read only where BROKER_NAME is ALPACA."""

    endpoint: Literal["paper", "live", "simulator"]
    simulator_port: int

    @classmethod
    def from_env(cls, env: EnvBot) -> "AlpacaSettings":
        """Read the settings that Alpaca's adapter needs."""
        word = env.word("ALPACA_ENDPOINT")
        return cls(
            # Whatever is not one of the other two is the account without money.
            endpoint="live" if word == "live" else "simulator" if word == "simulator" else "paper",
            simulator_port=env.whole("ALPACA_SIMULATOR_PORT"),
        )


class IbkrSettings(Struct, frozen=True, kw_only=True):
    """What the operator set for Interactive Brokers; read only where BROKER_NAME is IBKR."""

    mode: Literal["paper", "live"]
    port: int
    client_id: int
    account: str
    library: str

    @classmethod
    def from_env(cls, env: EnvBot) -> "IbkrSettings":
        """Read the settings that Interactive Brokers' adapter needs."""
        return cls(
            mode="live" if env.word("IBKR_MODE") == "live" else "paper",
            port=env.whole("IBKR_PORT"),
            client_id=env.whole("IBKR_CLIENT_ID"),
            account=env.word("IBKR_ACCOUNT").strip(),
            library=env.word("IBKR_LIBRARY"),
        )
