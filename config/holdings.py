"""What the operator has set for the holdings. It is the part `holdings` of the vault, and edited only in the pages."""

import re
from collections.abc import Collection, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from msgspec import Struct

ETFS_MAX: Final = 20
_BPS: Final = 10_000
INTERVALS_MONTHS: Final = (3, 6, 12)
_SYMBOL: Final = re.compile(r"^[A-Z][A-Z0-9.\-]{0,11}$")


class HoldingsSettingsError(Exception):
    """The settings cannot be used; the message names every fault and what to do."""


class Target(Struct, frozen=True, kw_only=True):
    """One fund and its target weight in basis points of all funds."""

    symbol: str
    weight_bps: int


class HoldingsSettings(Struct, frozen=True, kw_only=True):
    """How the funds are kept. All parts are in basis points.

    `float_bps` of free cash and funds stays in cash; `tax_bps` of realized gains and `payroll_bps` of what the tax
    leaves are set aside. `rebalance_months` is the interval; `band_bps` 0 = no band. `targets` are in the order of
    their symbols. `is_enabled` False: the service watches, and neither moves money nor orders.
    """

    is_enabled: bool
    targets: tuple[Target, ...]
    float_bps: int
    tax_bps: int
    payroll_bps: int
    rebalance_months: int
    is_auto_rebalance: bool
    band_bps: int

    @property
    def symbols(self) -> frozenset[str]:
        """Return the funds that have a target."""
        return frozenset(target.symbol for target in self.targets)

    @property
    def active_symbols(self) -> frozenset[str]:
        """Return the funds that are dealt in, none while the holdings are not enabled."""
        return self.symbols if self.is_enabled else frozenset()

    @property
    def weights_bps(self) -> dict[str, int]:
        """Return the target weights by symbol."""
        return {target.symbol: target.weight_bps for target in self.targets}

    @classmethod
    def from_vault(cls, part: Mapping[str, Any], day_trading: Collection[str] = ()) -> "HoldingsSettings":
        """Read the settings, with the defaults where one is not set.

        `day_trading` are the symbols that the strategies may trade by name: a fund in both books would share one tax
        queue between them, since first in, first out counts by account.

        Raises:
            HoldingsSettingsError: what is wrong, all faults at once.
        """
        values = {**DEFAULTS, **part}
        faults = [f"{name} is not known: take it out." for name in sorted(set(part) - set(DEFAULTS))]
        faults += _target_faults(values["etfs"], values["weights"], {symbol.upper() for symbol in day_trading})
        faults += [
            *_percent_faults("float_percent", values["float_percent"], 100),
            *_percent_faults("tax_percent", values["tax_percent"], 90),
            *_percent_faults("payroll_percent", values["payroll_percent"], 100),
            *_percent_faults("band_percent", values["band_percent"], 50),
        ]
        if values["rebalance_months"] not in INTERVALS_MONTHS or isinstance(values["rebalance_months"], bool):
            faults.append(f"rebalance_months is {values['rebalance_months']!r}: set 3, 6 or 12.")
        faults += [
            f"{name} is {values[name]!r}: set true or false."
            for name in ("is_enabled", "is_auto_rebalance")
            if not isinstance(values[name], bool)
        ]
        if values["weights"] not in ("equal", "custom"):
            faults.append(f"weights is {values['weights']!r}: set equal or custom.")
        if faults:
            raise HoldingsSettingsError("The settings of the holdings cannot be used. " + " ".join(faults))
        return cls(
            is_enabled=values["is_enabled"],
            targets=_targets(values["etfs"], is_equal=values["weights"] == "equal"),
            float_bps=_bps(values["float_percent"]),
            tax_bps=_bps(values["tax_percent"]),
            payroll_bps=_bps(values["payroll_percent"]),
            rebalance_months=values["rebalance_months"],
            is_auto_rebalance=values["is_auto_rebalance"],
            band_bps=_bps(values["band_percent"]),
        )


#: What holds where the operator has set nothing. Percentages are decimal text with at most two places.
DEFAULTS: Final[dict[str, Any]] = {
    "is_enabled": False,
    "etfs": {"SCHD": "50", "SCHY": "50"},
    "weights": "custom",
    "float_percent": "10",
    "tax_percent": "20",
    "payroll_percent": "10",
    "rebalance_months": 6,
    "is_auto_rebalance": True,
    "band_percent": "0",
}


def left_over_bps(targets: Collection[Target]) -> int:
    """Return what the weights leave to the whole; below zero where they are more than it."""
    return _BPS - sum(target.weight_bps for target in targets)


def equal_weights(symbols: Collection[str]) -> tuple[Target, ...]:
    """Return equal weights that fill the whole: the first symbols get the basis points that do not divide.

    >>> [target.weight_bps for target in equal_weights(("B", "A", "C"))]
    [3334, 3333, 3333]
    """
    ordered = sorted(symbols)
    whole, rest = divmod(_BPS, len(ordered)) if ordered else (0, 0)
    return tuple(Target(symbol=symbol, weight_bps=whole + (place < rest)) for place, symbol in enumerate(ordered))


def _targets(etfs: Mapping[str, str], *, is_equal: bool) -> tuple[Target, ...]:
    if is_equal:
        return equal_weights(etfs)
    return tuple(Target(symbol=symbol, weight_bps=_bps(etfs[symbol])) for symbol in sorted(etfs))


def _target_faults(etfs: object, weights: object, day_trading: set[str]) -> list[str]:
    if not isinstance(etfs, dict):
        return ["etfs is no list of funds with their percentages."]
    faults = [f"{symbol} is no ticker: write it in capitals." for symbol in etfs if not _SYMBOL.match(str(symbol))]
    if len(etfs) > ETFS_MAX:
        faults.append(f"There are {len(etfs)} funds: keep at most {ETFS_MAX}.")
    faults += [
        f"{symbol} is traded by the strategies too. Both would share one queue of tax lots, so keep it in one book: "
        "take it out here, or out of the strategies' lists."
        for symbol in sorted(set(map(str, etfs)) & day_trading)
    ]
    if weights == "equal":
        return faults
    wrong = [fault for symbol, percent in etfs.items() for fault in _percent_faults(f"{symbol}'s weight", percent, 100)]
    if wrong or not etfs:
        return faults + wrong
    if left := _BPS - sum(_bps(percent) for percent in etfs.values()):
        faults.append(
            f"The weights add up to {percent_text(_BPS - left)} %: "
            + (f"{percent_text(left)} % would stay in cash" if left > 0 else f"{percent_text(-left)} % too much")
            + ". Rescale them to 100 %."
        )
    return faults


_PERCENT: Final = re.compile(r"^(\d{1,3})(?:\.(\d{1,2}))?$")


def _percent_faults(name: str, value: object, most: int) -> list[str]:
    if not isinstance(value, str) or not _PERCENT.match(value) or _bps(value) > most * 100:
        return [f"{name} is {value!r}: set a percentage from 0 to {most} with at most two places."]
    return []


def _bps(percent: str) -> int:
    match = _PERCENT.match(percent)
    if match is None:
        raise HoldingsSettingsError(f"{percent!r} is no percentage.")
    return int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))


def percent_text(bps: int) -> str:
    """Return basis points as a percentage.

    >>> percent_text(9850), percent_text(5)
    ('98.50', '0.05')
    """
    return f"{bps // 100}.{bps % 100:02d}"


def rescaled(etfs: Mapping[str, str]) -> dict[str, str]:
    """Return the same weights in proportion, as percentages that fill the whole; what is no number counts as nothing.

    Each gets its whole hundredths of a percent; those left over go to the largest remainders, ties to the first symbol.

    >>> rescaled({"AAA": "1", "BBB": "2"})
    {'AAA': '33.33', 'BBB': '66.67'}
    """
    parts = {symbol: _hundredths(text) for symbol, text in sorted(etfs.items())}
    whole = sum(parts.values())
    if not whole:
        return {target.symbol: percent_text(target.weight_bps) for target in equal_weights(etfs)}
    shares = {symbol: divmod(part * _BPS, whole) for symbol, part in parts.items()}
    left = _BPS - sum(bps for bps, _ in shares.values())
    first = sorted(shares, key=lambda symbol: (-shares[symbol][1], symbol))[:left]
    return {symbol: percent_text(bps + (symbol in first)) for symbol, (bps, _) in shares.items()}


def _hundredths(text: str) -> int:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return 0
    return int(value * 100) if value.is_finite() and 0 <= value <= _BPS else 0
