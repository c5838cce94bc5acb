"""The slice of the settings that execution reads."""

from typing import Literal

from msgspec import Struct

from bus.messages import MICROS
from config.env_bot import EnvBot
from services.execution.brokers.commission import Commission
from services.execution.brokers.paper_rules import PaperRules

#: Parts per million in a basis point.
_PPM_PER_BASIS_POINT = 100
_CENTS_PER_DOLLAR = 100
_NS_PER_MS = 1_000_000


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
        )
