"""Which inverse ETF stands for a short position in which name: a maintained table.

A row says that `inverse` seeks minus `leverage` times the day's return of what `underlying` is or tracks.
Rows of one underlying are in order of preference. Only funds that track the very index of an ETF, or the
very share, are listed.

Source: ProShares Trust prospectus of 2015-12-15 (SEC file 333-89822: short market-cap and sector funds);
the "-1x Inverse ETFs" list of etfreplay.com as of 2024-12-20; Direxion Shares ETF Trust (SEC file 333-150525)
for single shares, its funds as of 2026-02. Funds of more than -1x are bought only where MAX_INVERSE_LEVERAGE allows
it and no smaller one is there. Review the table when funds open, close or change their multiple.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

_LEVERAGES: Final = (1, 2, 3)


class InverseEtf(Struct, frozen=True):
    """One row: `inverse` moves minus `leverage` times as much as `underlying` in a day."""

    underlying: str
    inverse: str
    leverage: int


def _rows(inverse: str, leverage: int, *underlyings: str) -> tuple[InverseEtf, ...]:
    return tuple(InverseEtf(underlying, inverse, leverage) for underlying in underlyings)


INVERSE_ETFS: Final[tuple[InverseEtf, ...]] = (
    # Indexes: every ETF that tracks the same index shares its inverse.
    *_rows("SH", 1, "SPY", "IVV", "VOO", "SPLG"),
    *_rows("SPDN", 1, "SPY", "IVV", "VOO", "SPLG"),
    *_rows("SDS", 2, "SPY", "IVV", "VOO", "SPLG"),
    *_rows("SPXU", 3, "SPY", "IVV", "VOO", "SPLG"),
    *_rows("SPXS", 3, "SPY", "IVV", "VOO", "SPLG"),
    *_rows("PSQ", 1, "QQQ", "QQQM"),
    *_rows("QID", 2, "QQQ", "QQQM"),
    *_rows("SQQQ", 3, "QQQ", "QQQM"),
    *_rows("DOG", 1, "DIA"),
    *_rows("DXD", 2, "DIA"),
    *_rows("SDOW", 3, "DIA"),
    *_rows("RWM", 1, "IWM", "VTWO"),
    *_rows("TWM", 2, "IWM", "VTWO"),
    *_rows("SRTY", 3, "IWM", "VTWO"),
    *_rows("TZA", 3, "IWM", "VTWO"),
    *_rows("MYY", 1, "MDY", "IJH"),
    *_rows("MZZ", 2, "MDY", "IJH"),
    *_rows("SMDD", 3, "MDY", "IJH"),
    *_rows("SBB", 1, "IJR"),
    *_rows("SDD", 2, "IJR"),
    *_rows("EFZ", 1, "EFA"),
    *_rows("EUM", 1, "EEM"),
    *_rows("YXI", 1, "FXI"),
    *_rows("YANG", 3, "FXI"),
    # Bonds.
    *_rows("TBF", 1, "TLT"),
    *_rows("TBT", 2, "TLT"),
    *_rows("TMV", 3, "TLT"),
    *_rows("TBX", 1, "IEF"),
    *_rows("SJB", 1, "HYG"),
    # Sectors and themes.
    *_rows("SEF", 1, "XLF"),
    *_rows("SKF", 2, "XLF"),
    *_rows("FAZ", 3, "XLF"),
    *_rows("REK", 1, "XLRE"),
    *_rows("SRS", 2, "XLRE"),
    *_rows("TECS", 3, "XLK"),
    *_rows("ERY", 2, "XLE"),
    *_rows("SOXS", 3, "SOXX"),
    *_rows("LABD", 3, "XBI"),
    *_rows("SARK", 1, "ARKK"),
    # Single shares. GOOGL only: the fund follows class A, not class C (GOOG).
    *_rows("AAPD", 1, "AAPL"),
    *_rows("AMDD", 1, "AMD"),
    *_rows("AMZD", 1, "AMZN"),
    *_rows("AVS", 1, "AVGO"),
    *_rows("GGLS", 1, "GOOGL"),
    *_rows("METD", 1, "META"),
    *_rows("MSFD", 1, "MSFT"),
    *_rows("MUD", 1, "MU"),
    *_rows("NFXS", 1, "NFLX"),
    *_rows("NVDD", 1, "NVDA"),
    *_rows("PLTD", 1, "PLTR"),
    *_rows("TSLS", 1, "TSLA"),
    *_rows("TSLQ", 2, "TSLA"),
    *_rows("TSMZ", 1, "TSM"),
)

#: For each name its funds, the smallest leverage first, and in the table's order among equals.
_FUNDS: Final[dict[str, list[InverseEtf]]] = {}
for _row in sorted(INVERSE_ETFS, key=lambda row: row.leverage):
    _FUNDS.setdefault(_row.underlying, []).append(_row)
_INVERSES: Final = frozenset(row.inverse for row in INVERSE_ETFS)


def inverse_of(symbol: str, leverage_max: int = 1) -> InverseEtf | None:
    """Return the fund to buy instead of selling this name short: the one of the least leverage.

    None when there is none of at most `leverage_max`.
    """
    funds = _FUNDS.get(symbol)
    return funds[0] if funds and funds[0].leverage <= leverage_max else None


def is_inverse_etf(symbol: str) -> bool:
    """Tell whether this name is itself an inverse ETF, of any leverage."""
    return symbol in _INVERSES


def faults(rows: Sequence[InverseEtf] = INVERSE_ETFS) -> tuple[str, ...]:
    """Return one sentence for each way in which the table contradicts itself."""
    inverses = {row.inverse for row in rows}
    leverages: dict[str, set[int]] = {}
    for row in rows:
        leverages.setdefault(row.inverse, set()).add(row.leverage)
    pairs = Counter((row.underlying, row.inverse) for row in rows)
    return (
        *(
            f"The table of inverse ETFs has {row.inverse} with leverage {row.leverage}: it must be 1, 2 or 3"
            for row in rows
            if row.leverage not in _LEVERAGES
        ),
        *(
            f"The table of inverse ETFs has {row.underlying} as a name and as an inverse: correct one row"
            for row in rows
            if row.underlying in inverses
        ),
        *(
            f"The table of inverse ETFs gives {inverse} two leverages: correct one row"
            for inverse, found in leverages.items()
            if len(found) > 1
        ),
        *(
            f"The table of inverse ETFs lists {underlying} with {inverse} twice: remove one row"
            for (underlying, inverse), count in pairs.items()
            if count > 1
        ),
    )
