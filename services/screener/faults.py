"""What can be wrong with market data. Each message says what, where, and what to do about it."""

from collections.abc import Sequence
from pathlib import Path

from bus.assembly import CannotStartError

_NAMED_MAX = 8


def some_of(names: Sequence[str]) -> str:
    """List the first names, and say how many more there are."""
    shown = ", ".join(names[:_NAMED_MAX])
    more = len(names) - _NAMED_MAX
    return f"{shown} and {more} more" if more > 0 else shown or "none"


class NoSessionError(CannotStartError):
    """The plan is for a day without a session."""

    def __init__(self, session_date: str) -> None:
        super().__init__(
            f"{session_date} is not a trading day, so there is no session to play. "
            "Set MARKET_DATA_DATE to a trading day."
        )


class LiveSourceError(CannotStartError):
    """Live data was asked for as a whole day."""

    def __init__(self, source: str) -> None:
        super().__init__(
            f"MARKET_DATA_SOURCE is {source}, which is live: there is no whole day of it to play. Set generated or "
            "recorded to replay a session."
        )


class WrongDateError(CannotStartError):
    """The plan and MARKET_DATA_DATE name different days, or the setting is not a day at all."""

    def __init__(self, setting: str, session_date: str) -> None:
        super().__init__(
            f"MARKET_DATA_DATE is '{setting}' but the session planned is {session_date}. "
            "Set MARKET_DATA_DATE to the day to play, such as 2013-10-08, and start the chain again."
        )


class UnknownSymbolError(CannotStartError):
    """MARKET_DATA_SYMBOLS names what the source does not have."""

    def __init__(self, missing: Sequence[str], where: str, known: Sequence[str]) -> None:
        super().__init__(
            f"MARKET_DATA_SYMBOLS has {some_of(missing)}, which {where} does not have. "
            f"It has {some_of(known)}. Take the missing names out of MARKET_DATA_SYMBOLS, or add their data."
        )


class FolderMissingError(CannotStartError):
    """MARKET_DATA_DIR is not a folder."""

    def __init__(self, root: Path) -> None:
        super().__init__(
            f"The market data folder {root} does not exist or is not a folder. "
            "Set MARKET_DATA_DIR to the folder that contains equity/usa/minute."
        )


class NoMinutesError(CannotStartError):
    """The folder has no recorded minutes."""

    def __init__(self, root: Path) -> None:
        super().__init__(
            f"The market data folder {root} has no equity/usa/minute with a folder for each symbol. "
            "Set MARKET_DATA_DIR to the folder that contains equity/usa/minute."
        )


class DayMissingError(CannotStartError):
    """No bars for the day, in the whole folder or for a name that was asked for."""

    def __init__(self, session_date: str, where: str, days: Sequence[str]) -> None:
        super().__init__(
            f"There are no minute bars of {session_date}'s session {where}. Days there: {some_of(days)}. "
            "Set MARKET_DATA_DATE to one of these, or add the day's files."
        )


class QuotesMissingError(CannotStartError):
    """A day has trades but no quotes; without quotes nothing could be bought or sold."""

    def __init__(self, trades: Path, quotes: Path) -> None:
        super().__init__(
            f"{trades} is there but its quotes, {quotes.name}, are not. Add that file beside it, "
            "or set MARKET_DATA_SYMBOLS to the names that have both."
        )


class CorruptFileError(CannotStartError):
    """A file cannot be read, or is not a zip with one CSV in it."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(f"The market data file {path} cannot be read: {detail}. Fetch it again or make it readable.")


class MalformedLineError(CannotStartError):
    """A line of a file is not in LEAN's format. Lines count from 1."""

    def __init__(self, path: Path, line: int, detail: str) -> None:
        super().__init__(
            f"The market data file {path} is malformed in line {line}: {detail}. "
            "Correct that line or fetch the file again."
        )
