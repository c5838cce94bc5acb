"""Share a sale or a purchase out by the water level: the funds furthest from their targets come first. Pure.

The level L is a value for each basis point of weight. A sale lowers every fund that stands above it to weight x L, a
purchase raises every fund that stands below it to weight x L, and L is where these legs add up to the amount. So funds
that are on target relative to each other stay so, and a fund that is further off is dealt in before one that is less.
"""

from collections.abc import Mapping
from fractions import Fraction

from msgspec import Struct

from services.holdings.portfolio import ORDER_MIN_MICROS
from services.holdings.targets import largest_remainder


class Stand(Struct, frozen=True, kw_only=True):
    """Where a fund stands: its value in whole cents and its weight."""

    value_micros: int
    weight_bps: int


def sale_legs(amount_micros: int, stands: Mapping[str, Stand]) -> dict[str, int]:
    """Return what to sell of each fund so that all legs bring the amount, or all there is where that is less.

    Funds without a weight go first, the largest of them first. A leg below $1 is left out and its part taken from the
    others, unless it sells all of its fund.
    """
    legs: dict[str, int] = {}
    left = amount_micros
    for symbol in sorted((s for s in stands if stands[s].weight_bps == 0), key=lambda s: (-stands[s].value_micros, s)):
        part = min(stands[symbol].value_micros, max(left, ORDER_MIN_MICROS) if left > 0 else 0)
        if part:
            legs[symbol] = part
            left -= part
    rest = {symbol: stand for symbol, stand in stands.items() if stand.weight_bps and stand.value_micros}
    if left <= 0 or not rest:
        return legs
    return legs | _dealt_down(max(left, ORDER_MIN_MICROS), rest)


def purchase_legs(amount_micros: int, stands: Mapping[str, Stand]) -> dict[str, int]:
    """Return what to buy of each fund so that all legs cost the amount; each leg is at least $1.

    A leg below $1 is left out, the smallest first, and its part given to the others: its fund falls further behind,
    and has the largest leg on a later night.
    """
    left = {symbol: stand for symbol, stand in stands.items() if stand.weight_bps}
    while left and amount_micros >= ORDER_MIN_MICROS:
        legs = _raised(amount_micros, left)
        if min(legs.values()) >= ORDER_MIN_MICROS:
            return legs
        # Funds that stand above the level have no leg at all; they cannot get one by leaving others out.
        small = min(legs, key=lambda symbol: (legs[symbol], _last(symbol)))
        left = {symbol: left[symbol] for symbol in legs if symbol != small}
    return {}


def _dealt_down(amount_micros: int, stands: Mapping[str, Stand]) -> dict[str, int]:
    left = dict(stands)
    while True:
        legs = _lowered(min(amount_micros, sum(stand.value_micros for stand in left.values())), left)
        small = [s for s, leg in legs.items() if leg < ORDER_MIN_MICROS and leg < left[s].value_micros]
        if not small or len(left) == 1:
            return legs
        del left[min(small, key=lambda symbol: (legs[symbol], _last(symbol)))]


def _lowered(amount_micros: int, stands: Mapping[str, Stand]) -> dict[str, int]:
    """Lower the highest funds to one level; the amount is at most what all are worth."""
    order = sorted(stands, key=lambda s: (-Fraction(stands[s].value_micros, stands[s].weight_bps), s))
    value = weight = 0
    for place, symbol in enumerate(order, 1):
        value, weight = value + stands[symbol].value_micros, weight + stands[symbol].weight_bps
        following = order[place] if place < len(order) else None
        # The level with these funds is (value - amount) / weight; it holds unless the next fund stands above it.
        if following is None or (value - amount_micros) * stands[following].weight_bps >= (
            stands[following].value_micros * weight
        ):
            break
    chosen = order[:place]
    return _nonzero(
        largest_remainder(
            {s: stands[s].value_micros * weight - stands[s].weight_bps * (value - amount_micros) for s in chosen},
            weight,
        )
    )


def _raised(amount_micros: int, stands: Mapping[str, Stand]) -> dict[str, int]:
    """Raise the lowest funds to one level."""
    order = sorted(stands, key=lambda s: (Fraction(stands[s].value_micros, stands[s].weight_bps), s))
    value = weight = 0
    for place, symbol in enumerate(order, 1):
        value, weight = value + stands[symbol].value_micros, weight + stands[symbol].weight_bps
        following = order[place] if place < len(order) else None
        if following is None or (value + amount_micros) * stands[following].weight_bps <= (
            stands[following].value_micros * weight
        ):
            break
    chosen = order[:place]
    return _nonzero(
        largest_remainder(
            {s: stands[s].weight_bps * (value + amount_micros) - stands[s].value_micros * weight for s in chosen},
            weight,
        )
    )


def _nonzero(legs: dict[str, int]) -> dict[str, int]:
    return {symbol: leg for symbol, leg in legs.items() if leg}


def _last(symbol: str) -> tuple[int, ...]:
    """A key that puts the last symbol first: of equal legs the last by symbol is left out."""
    return tuple(-ord(letter) for letter in symbol)
