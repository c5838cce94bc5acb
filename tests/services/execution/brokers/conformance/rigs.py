"""The adapters that the cards are played for: one entry each, made by the module that it names.

A rig's module has `make(folder)`, which returns a context manager that gives the `Rig`. `capabilities` stand here, so
that the table in docs/brokers.md can be written without opening a broker. The names of outcomes count among them.
"""

from typing import Final

from conformance.rig import Outcome
from msgspec import Struct


class RigEntry(Struct, frozen=True, kw_only=True):
    """One adapter. `title` heads its column; one that is not listed is a check of the cards themselves."""

    title: str
    module: str
    capabilities: frozenset[str]
    is_listed: bool = True


#: No switch against orders, no keys to refuse; and what is not HTTP has no 429, 500 and 504.
_IBKR: Final = frozenset(
    {
        *(
            "network",
            "foreign",
            "asset-list",
            "clock",
            "trailing-buy",
            "options",
            "sessions",
            "corrections",
            "late-listing",
        ),
        *(Outcome.TIMEOUT_BEFORE, Outcome.TIMEOUT_AFTER_ACCEPT, Outcome.RESET_AFTER_ACCEPT, Outcome.UNREADABLE),
        *(Outcome.LATE_ACCEPT, Outcome.FILLED_BEFORE, Outcome.CANCEL_PENDING, Outcome.REJECT),
    }
)

RIGS: Final[dict[str, RigEntry]] = {
    "paper": RigEntry(
        title="Paper",
        module="conformance.paper_rig",
        capabilities=frozenset({"fractions", "options", "sessions", "expiries"}),
    ),
    "alpaca": RigEntry(
        title="Alpaca",
        module="conformance.alpaca_rig",
        capabilities=frozenset(
            {
                *("network", "foreign", "shorts", "asset-list", "fractions", "fence", "clock", "wash-rule"),
                *("trailing-buy", "options", "sessions", "expiries", "corrections", "late-listing", "money"),
                *Outcome,
            }
        ),
    ),
    "ibkr-insync": RigEntry(title="IBKR (ib_insync)", module="conformance.ibkr_insync_rig", capabilities=_IBKR),
    "ibkr-async": RigEntry(title="IBKR (ib_async)", module="conformance.ibkr_async_rig", capabilities=_IBKR),
    "double": RigEntry(
        title="Double",
        module="conformance.outside_rig",
        capabilities=frozenset(
            {
                *("network", "foreign", "shorts", "asset-list", "fractions", "fence", "clock", "wash-rule"),
                *("options", "sessions", "expiries", *Outcome),
            }
        ),
        is_listed=False,
    ),
}
