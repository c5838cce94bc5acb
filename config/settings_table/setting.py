"""What is known of one setting: its key, kind, unit, range, proposal for the form, and meaning."""

from decimal import Decimal
from typing import Literal

from msgspec import Struct

Kind = Literal["bool", "int", "decimal", "time", "date", "choice", "choices", "days", "symbols", "text"]
#: Which way a setting has to move to let the bot risk more; empty = neither way is the riskier one.
Riskier = Literal["", "up", "down", "shorter"]
#: When a change is in force: at once, from the next session on, or once all processes were started again.
Effect = Literal["now", "session", "start"]


class Setting(Struct, frozen=True, kw_only=True):
    """One setting. `bounds` limit numbers inclusively, `choices` what may be chosen; `proposal` fills in the form.

    `decimals`: the finest step of a number, so that nothing is lost when it becomes a scaled integer.
    `dangers`: values that have consequences to be read before they are chosen, each with these in plain words.
    """

    key: str
    group: str
    kind: Kind
    proposal: str
    description: str
    unit: str = ""
    bounds: tuple[str, str] | None = None
    choices: tuple[str, ...] = ()
    optional: bool = False
    decimals: int = 4
    riskier: Riskier = ""
    dangers: tuple[tuple[str, str], ...] = ()
    takes_effect: Effect = "session"

    @property
    def low(self) -> Decimal | None:
        """Return the least value of a number."""
        return Decimal(self.bounds[0]) if self.bounds else None

    @property
    def high(self) -> Decimal | None:
        """Return the greatest value of a number."""
        return Decimal(self.bounds[1]) if self.bounds else None
