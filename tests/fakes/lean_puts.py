"""A small folder in LEAN's layout: one name that falls out of its opening range, and puts on it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from zipfile import ZipFile

#: A half-day: 9:30 to 13:00 in New York.
DAY = "2015-12-24"
BEFORE = "2015-12-23"
OPEN_MS = 34_200_000
MINUTES = 210
_MINUTE_MS = 60_000
_HEAD = "#expiry,strike,right,open,high,low,close,volume,open_interest,implied_volatility,delta,gamma,vega,theta,rho"

#: A put's bid and ask in cents in each minute; None = that side is absent.
Premium = Callable[[int], tuple[int | None, int | None]]


def price_cents(minute: int) -> int:
    """Return what the name costs: fifteen quiet minutes, then a fall from the twentieth on."""
    return 100_00 if minute < 20 else max(98_00 - minute, 90_00)


def write_name(root: Path, name: str) -> None:
    """Write the day of a name and the one before it."""
    folder = root / "equity/usa/minute" / name
    trades = [_bar(minute, price_cents(minute)) for minute in range(MINUTES)]
    _write(folder / "20151223_trade.zip", {"t.csv": [_bar(minute, 100_00) for minute in range(390)]})
    _write(folder / "20151224_trade.zip", {"t.csv": trades})
    quotes = [two_sided(minute, price_cents(minute) - 1, price_cents(minute) + 1) for minute in range(MINUTES)]
    _write(folder / "20151224_quote.zip", {"q.csv": quotes})


def write_puts(root: Path, name: str, universe: Sequence[str], premiums: Mapping[tuple[int, str], Premium]) -> None:
    """Write lines of the universe of the day before, and the quotes of puts by (strike in dollars, expiry)."""
    write_universe(root, name, "20151223", universe)
    members = {
        f"20151224_{name}_minute_quote_american_put_{strike * 10_000}_{expiry}.csv": [
            two_sided(minute, *premium(minute)) for minute in range(MINUTES)
        ]
        for (strike, expiry), premium in premiums.items()
    }
    _write(root / f"option/usa/minute/{name}/20151224_quote_american.zip", members)


def write_universe(root: Path, name: str, day: str, lines: Sequence[str]) -> None:
    """Write the universe of a day."""
    path = root / f"option/usa/universes/{name}/{day}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join((_HEAD, ",,,100,100,100,100,5,,,,,,,", *lines)) + "\n", encoding="ascii")


def put_line(strike: str, expiry: str, interest: str = "500", delta: str = "-0.5") -> str:
    """Return a universe's line of a put."""
    return f"{expiry},{strike},P,2,2,2,2,10,{interest},0.2,{delta},0,0,0,0"


def two_sided(minute: int, bid: int | None, ask: int | None) -> str:
    """Return a minute of quotes that stand still; prices in cents."""
    sides = [",,,,0" if cents is None else ",".join([str(cents * 100)] * 4) + ",50" for cents in (bid, ask)]
    return f"{OPEN_MS + minute * _MINUTE_MS},{sides[0]},{sides[1]}"


def _bar(minute: int, cents: int) -> str:
    return ",".join(str(field) for field in (OPEN_MS + minute * _MINUTE_MS, *[cents * 100] * 4, 10_000))


def _write(path: Path, members: Mapping[str, Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with ZipFile(path, "w") as archive:
        for member, lines in members.items():
            archive.writestr(member, "\n".join(lines) + "\n")
