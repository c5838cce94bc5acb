"""The volatility index before a session: the generated market's own, or the last close before it in a file."""

import csv
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

from bus.assembly import CannotStartError
from bus.messages import SessionPlanned, VixObserved
from config.env_bot import EnvBot

_HEAD: Final = ["DATE", "OPEN", "HIGH", "LOW", "CLOSE"]
_CLOSE: Final = 4
#: A close beyond this is no volatility index. Source: Cboe, the highest close since 1990 was 82.69 (2020-03-16).
VIX_HUNDREDTHS_MAX: Final = 100_000


class VixFileError(CannotStartError):
    """VIX_DATA_FILE cannot be read or is not what it has to be."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(
            f"VIX_DATA_FILE {path} {detail}. Give a CSV of DATE,OPEN,HIGH,LOW,CLOSE with a line for each day, or leave "
            "the setting empty: the close strategy is then silent."
        )


class VixSource:
    """Says the volatility index of a session, as it was known before it began."""

    def __init__(self, env: EnvBot) -> None:
        self._is_generated = env.word("MARKET_DATA_SOURCE") == "generated"
        self._seed = env.whole("MARKET_DATA_SEED")
        self._file = env.word("VIX_DATA_FILE")

    def faults(self) -> Sequence[str]:
        """Return what is wrong with the file, before a session is known."""
        # VIX_DATA_FILE is for recorded data; a generated market has its own figure.
        if self._is_generated or not self._file:
            return ()
        try:
            for _ in _closes(self._path()):
                pass
        except CannotStartError as error:
            return (str(error),)
        return ()

    def observe(self, plan: SessionPlanned, now_ns: int) -> VixObserved:
        """Return the index of this session; 0 = unknown, with the reason.

        Raises:
            VixFileError: the file cannot be read.
        """
        as_of, hundredths, source = self._look_up(plan)
        return VixObserved(
            ts_event=now_ns,
            ts_init=now_ns,
            session_date=plan.session_date,
            as_of_date=as_of,
            vix_hundredths=hundredths,
            source=source,
        )

    def _path(self) -> Path:
        return Path(self._file).expanduser()

    def _look_up(self, plan: SessionPlanned) -> tuple[str, int, str]:
        session = date.fromisoformat(plan.session_date)
        if self._is_generated:
            # Only the generator needs numpy, so only then it is imported.
            from services.screener.generator import volatility_hundredths

            as_of = (session - timedelta(days=1)).isoformat()
            return as_of, volatility_hundredths(plan, self._seed), f"the generated market, seed {self._seed}"
        if not self._file:
            return "", 0, "VIX_DATA_FILE is empty"
        # Only days before the session: its own close is not known while it is played.
        before = [row for row in _closes(self._path()) if row[0] < session]
        if not before:
            return "", 0, f"VIX_DATA_FILE has no day before {plan.session_date}"
        day, hundredths = max(before)
        return day.isoformat(), hundredths, self._path().name


def _closes(path: Path) -> Iterator[tuple[date, int]]:
    """Yield (day, close in hundredths of a point) of each line; finer digits are rounded half to even."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise VixFileError(path, f"cannot be read: {error}") from error
    if not rows or [name.strip().upper() for name in rows[0]] != _HEAD:
        raise VixFileError(path, f"does not begin with {','.join(_HEAD)}")
    for number, row in enumerate(rows[1:], 2):
        try:
            hundredths = round(Decimal(row[_CLOSE]) * 100)
            day = date.fromisoformat(row[0])
        except (ValueError, IndexError, InvalidOperation, OverflowError) as error:
            raise VixFileError(path, f"is malformed in line {number}") from error
        if not 0 < hundredths <= VIX_HUNDREDTHS_MAX:
            raise VixFileError(path, f"has a close of {row[_CLOSE]} in line {number}")
        yield day, hundredths
