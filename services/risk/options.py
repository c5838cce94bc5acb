"""Limits of a long option: what it may cost, how long it must still live, how many contracts must be open.

Pure. The facts come from the screener's list of the session (OptionsListed) and from the newest quote.
"""

import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from bus.messages import CENT_MICROS, MICROS
from config.env_bot import EnvBot
from services.risk.wording import dollars

_PPM_PER_PERCENT: Final = 10_000
Finding = tuple[str, str]
#: Root of up to six letters, padded or not, the expiry as YYMMDD, C or P, and the strike in thousandths of a dollar.
#: Source: Options Clearing Corporation, Options Symbology Initiative, 21-character symbol, 2010.
_OCC: Final = re.compile(r"^([A-Z][A-Z0-9.]{0,5}) *\d{6}[CP]\d{8}$")


class OptionLimits(Struct, frozen=True, kw_only=True):
    """The operator's limits for a long option; days to its expiry, contracts of open interest.

    `spread_max_ppm` is in millionths of the ask.
    """

    premium_max_micros: int
    days_min: int
    days_max: int
    open_interest_min: int
    spread_max_ppm: int

    @classmethod
    def from_env(cls, env: EnvBot) -> "OptionLimits":
        """Read MAX_OPTION_PREMIUM, PUT_EXPIRY_*_DAYS, PUT_OPEN_INTEREST_MIN and PUT_SPREAD_MAX."""
        return cls(
            premium_max_micros=env.whole("MAX_OPTION_PREMIUM") * MICROS,
            days_min=env.whole("PUT_EXPIRY_MIN_DAYS"),
            days_max=env.whole("PUT_EXPIRY_MAX_DAYS"),
            open_interest_min=env.whole("PUT_OPEN_INTEREST_MIN"),
            spread_max_ppm=env.scaled("PUT_SPREAD_MAX", _PPM_PER_PERCENT),
        )


class OptionFacts(Struct, frozen=True, kw_only=True):
    """What has to be known of an option before it is bought; None = not known.

    `ask_micros` is a share's premium, `shares_per_contract` what one contract stands for (100 unless it was adjusted).
    """

    contracts: int
    ask_micros: int | None
    shares_per_contract: int | None
    days_to_expiry: int | None
    open_interest: int | None


def underlying_of(instrument: str) -> str | None:
    """Return the root of an option's symbol; None when it is no option.

    >>> underlying_of("AAPL131019P00480000"), underlying_of("AAPL")
    ('AAPL', None)
    """
    found = _OCC.match(instrument)
    return found.group(1) if found else None


def round_up_to_cent(price_micros: int) -> int:
    """Return a price in whole cents, as options are ordered in, and never less than it was.

    >>> round_up_to_cent(1_230_000), round_up_to_cent(1_230_001)
    (1230000, 1240000)
    """
    return -(-price_micros // CENT_MICROS) * CENT_MICROS


def option_finding(facts: OptionFacts | None, limits: OptionLimits) -> Finding | None:
    """Return what forbids this option and the limit it breaks, in words; None when it may be bought."""
    if facts is None:
        return ("its premium, expiry and open interest are not known", "an option with all of them known")
    for find in _CHECKS:
        finding = find(facts, limits)
        if finding is not None:
            return finding
    return None


def _premium(facts: OptionFacts, limits: OptionLimits) -> Finding | None:
    # MAX_OPTION_PREMIUM
    limit = f"at most {dollars(limits.premium_max_micros)} of premium a trade"
    if facts.ask_micros is None or facts.shares_per_contract is None:
        return ("its premium is not known", limit)
    if min(facts.ask_micros, facts.shares_per_contract, facts.contracts) <= 0:
        return ("no contracts, or no premium to pay for them", limit)
    premium = facts.ask_micros * facts.shares_per_contract * facts.contracts
    return None if premium <= limits.premium_max_micros else (f"{dollars(premium)} of premium", limit)


def _expiry(facts: OptionFacts, limits: OptionLimits) -> Finding | None:
    # PUT_EXPIRY_MIN_DAYS, PUT_EXPIRY_MAX_DAYS
    limit = f"{limits.days_min} to {limits.days_max} days"
    if facts.days_to_expiry is None:
        return ("its expiry is not known", limit)
    is_within = limits.days_min <= facts.days_to_expiry <= limits.days_max
    return None if is_within and facts.days_to_expiry >= 0 else (f"expires in {facts.days_to_expiry} days", limit)


def _open_interest(facts: OptionFacts, limits: OptionLimits) -> Finding | None:
    # PUT_OPEN_INTEREST_MIN
    limit = f"at least {limits.open_interest_min:,} contracts open"
    if facts.open_interest is None or facts.open_interest < 0:
        return ("its open interest is not known", limit)
    is_enough = facts.open_interest >= limits.open_interest_min
    return None if is_enough else (f"{facts.open_interest:,} contracts open", limit)


_CHECKS: Final[tuple[Callable[[OptionFacts, OptionLimits], Finding | None], ...]] = (_premium, _expiry, _open_interest)
