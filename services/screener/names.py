"""The names of a generated session: real index ETFs and their inverses, and invented companies."""

from typing import Literal, NamedTuple

Kind = Literal["index", "inverse", "plain", "wide", "thin"]


class Name(NamedTuple):
    """One name's character. `base` is what an inverse ETF mirrors; `float_shares` 0 = unknown.

    `vol_bps` is the standard deviation of its own daily return, beside what it shares with the market;
    `shares_daily` a usual day's volume; kind wide = a spread of about 2 %, thin = few trades today.
    """

    symbol: str
    kind: Kind
    price_dollars: float
    beta: float
    vol_bps: int
    shares_daily: int
    float_shares: int = 0
    base: str = ""


_MILLION = 1_000_000


def _plain(symbol: str, price: float, beta: float, vol_bps: int, *, millions: float) -> Name:
    shares = int(millions * _MILLION)
    return Name(symbol, "plain", price, beta, vol_bps, shares, shares * 60)


NAMES: tuple[Name, ...] = (
    Name("SPY", "index", 450.0, 1.0, 8, 70 * _MILLION),
    Name("QQQ", "index", 380.0, 1.2, 30, 45 * _MILLION),
    Name("IWM", "index", 205.0, 1.15, 45, 30 * _MILLION),
    Name("SH", "inverse", 48.0, -1.0, 0, 6 * _MILLION, base="SPY"),
    Name("PSQ", "inverse", 42.0, -1.2, 0, 5 * _MILLION, base="QQQ"),
    Name("RWM", "inverse", 37.0, -1.15, 0, 3 * _MILLION, base="IWM"),
    _plain("ALVQ", 182.0, 1.3, 140, millions=38),
    _plain("BRNK", 64.5, 1.0, 150, millions=12),
    _plain("CADZ", 27.4, 1.4, 210, millions=22),
    _plain("DOVQ", 118.0, 0.8, 110, millions=9),
    _plain("ELMZ", 14.2, 1.6, 260, millions=31),
    _plain("FENQ", 238.0, 1.1, 130, millions=7),
    _plain("GRVZ", 91.0, 0.9, 120, millions=6),
    _plain("HOLQ", 43.6, 1.2, 170, millions=14),
    _plain("IVNZ", 312.0, 1.5, 180, millions=18),
    _plain("JASQ", 8.9, 1.7, 320, millions=26),
    _plain("KELZ", 55.0, 0.7, 90, millions=8),
    _plain("LORQ", 76.3, 1.0, 130, millions=5),
    _plain("MUVZ", 149.0, 1.2, 150, millions=11),
    _plain("NYLQ", 33.8, 0.6, 80, millions=13),
    _plain("ORBZ", 21.7, 1.8, 290, millions=41),
    _plain("PELQ", 487.0, 1.1, 140, millions=4),
    _plain("QUVZ", 102.0, 0.9, 110, millions=3),
    _plain("RISQ", 69.0, 1.3, 190, millions=16),
    _plain("SOLZ", 38.2, 1.5, 240, millions=28),
    _plain("TARQ", 129.0, 0.8, 100, millions=5),
    _plain("UMBZ", 18.4, 1.4, 230, millions=9),
    _plain("VELQ", 205.0, 1.0, 120, millions=6),
    _plain("WENZ", 84.0, 1.1, 160, millions=7),
    _plain("XARQ", 57.7, 1.6, 250, millions=19),
    _plain("YOLZ", 265.0, 1.2, 150, millions=4),
    _plain("ZIMQ", 46.1, 0.9, 140, millions=2.5),
    _plain("PENZ", 3.4, 1.5, 380, millions=15),  # below the proposed SCREENER_PRICE_MIN
    _plain("TOPQ", 1_460.0, 1.0, 130, millions=1.2),  # above the proposed SCREENER_PRICE_MAX
    Name("WIDQ", "wide", 24.0, 0.8, 260, 900_000, 20 * _MILLION),
    Name("WIDZ", "wide", 61.0, 0.6, 220, 700_000, 16 * _MILLION),
    Name("WYDQ", "wide", 12.5, 1.0, 300, 1_100_000, 25 * _MILLION),
    Name("THNQ", "thin", 31.0, 0.5, 150, 160_000, 6 * _MILLION),
    Name("THNZ", "thin", 52.0, 0.4, 130, 130_000, 5 * _MILLION),
    Name("RARQ", "thin", 19.5, 0.5, 170, 60_000, 3 * _MILLION),  # below the proposed SCREENER_VOLUME_MIN
)
