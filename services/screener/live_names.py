"""Whose quotes and bars a live session needs, and which of them the plan of the data has room for."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from bus.inverse_etfs import inverse_of


class Watched(Struct, frozen=True, kw_only=True):
    """`symbols`: quotes are wanted. `barred`: bars as well. `left_out`: candidates that there is no room for.

    `room`: how many more names the plan of the data lets be subscribed.
    """

    symbols: tuple[str, ...]
    barred: tuple[str, ...]
    left_out: tuple[str, ...]
    room: int = 0


def watched(candidates: Sequence[str], held: Iterable[str], *, leverage_max: int, symbols_max: int) -> Watched:
    """Choose the names of a session: what is held, then the candidates by rank, each with its inverse ETF.

    A candidate has a place only together with its inverse: a bearish signal of it must be able to buy.
    """
    chosen = dict.fromkeys(list(held)[:symbols_max])
    barred: dict[str, None] = {}
    left_out: list[str] = []
    for candidate in candidates:
        fund = inverse_of(candidate, leverage_max)
        pair = (candidate,) if fund is None else (candidate, fund.inverse)
        if len(chosen.keys() | set(pair)) > symbols_max:
            left_out.append(candidate)
            continue
        chosen.update(dict.fromkeys(pair))
        barred.update(dict.fromkeys(pair))
    room = symbols_max - len(chosen)
    return Watched(symbols=tuple(chosen), barred=tuple(barred), left_out=tuple(left_out), room=room)
