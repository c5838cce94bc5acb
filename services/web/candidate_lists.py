"""The screener's lists on disk, as the page of candidates reads them: every name with the rules it passed or failed."""

import functools
import re
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from bus import messages as m

_NAME: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})_([a-z-]{1,24})(?:_([0-9]{2})([0-9]{2}))?\.json")
#: So many lists are offered, the newest first; the folder may have years of them.
LISTS_SHOWN_MAX: Final = 120
#: The parts of a day in their order; a first list that was made late comes before those of the scans after it.
_PARTS: Final = ("pre-market", "intraday", "after-hours")
#: A list of 30,000 names is some 20 MB; what is larger is none of the screener's.
LIST_BYTES_MAX: Final = 64 * 1024 * 1024


class ListError(Exception):
    """A list cannot be read; the message says which and why."""


class Rule(Struct, frozen=True, kw_only=True):
    """One rule applied to one name."""

    rule: str
    value: str
    threshold: str
    passed: bool


class Named(Struct, frozen=True, kw_only=True):
    """A name with its rules; rank 0 and price 0 for those that were screened out."""

    symbol: str
    reasons: tuple[Rule, ...]
    rank: int = 0
    price_micros: int = 0
    prior_close_micros: int = 0
    gap_bps: int = 0

    @property
    def failed(self) -> tuple[Rule, ...]:
        """Return the rules that it failed."""
        return tuple(rule for rule in self.reasons if not rule.passed)


class CandidateList(Struct, frozen=True, kw_only=True):
    """One list: who is in, who is out and why, and how many each rule failed."""

    session_date: str
    scan_mode: str
    source: str
    made_at: str
    names: int
    failed_by_rule: dict[str, int]
    candidates: tuple[Named, ...]
    rejected: tuple[Named, ...]


class ListId(Struct, frozen=True, kw_only=True):
    """One list: `id` names it, `words` say for people of which session, part of the day and UTC time it is."""

    id: str
    words: str


class CandidateLists:
    """Reads the lists of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def offered(self) -> list[ListId]:
        """Return the newest lists, newest first: date, part of the day and, of a scan in the session, its time."""
        try:
            found = [match for path in self._folder.iterdir() if (match := _NAME.fullmatch(path.name))]
        except FileNotFoundError:
            return []
        return [
            ListId(id=match[0].removesuffix(".json"), words=_words(match))
            for match in sorted(found, key=_order, reverse=True)[:LISTS_SHOWN_MAX]
        ]

    def ids(self) -> list[str]:
        """Return the ids of the newest lists, newest first."""
        return [one.id for one in self.offered()]

    def read(self, list_id: str) -> CandidateList | None:
        """Return a list by one of the `ids`, None for any other word: no path is made of it.

        Raises:
            ListError: the file is there and cannot be read.
        """
        if list_id not in self.ids():
            return None
        path = self._folder / f"{list_id}.json"
        try:
            stat = path.stat()
            if stat.st_size > LIST_BYTES_MAX:
                raise ListError(f"The list {list_id} is larger than {LIST_BYTES_MAX // 2**20} MiB and is not read.")
            return _decoded(path, stat.st_mtime_ns)
        except (OSError, msgspec.MsgspecError) as error:
            raise ListError(f"The list {list_id} cannot be read: {error}. The screener writes it anew.") from error


def _order(match: re.Match[str]) -> tuple[str, int, str]:
    part = _PARTS.index(match[2]) if match[2] in _PARTS else -1
    return match[1], part, (match[3] or "") + (match[4] or "")


def _words(match: re.Match[str]) -> str:
    time = f" at {match[3]}:{match[4]} UTC" if match[3] else ""
    return f"{match[1]}, {match[2]}{time}"


@functools.lru_cache(maxsize=4)
def _decoded(path: Path, _changed_ns: int) -> CandidateList:
    """Return a list as it was at its newest change: a person turns its pages, and reading it takes a moment."""
    return msgspec.json.decode(path.read_bytes(), type=CandidateList)


def list_of(said: m.CandidatesRanked) -> CandidateList:
    """Return the list that was said on the bus: of those that were screened out it has the first alone."""
    return CandidateList(
        session_date=said.session_date,
        scan_mode=said.scan_mode,
        source=said.source,
        made_at="",
        names=len(said.candidates) + said.rejected_total,
        failed_by_rule={},
        candidates=tuple(
            Named(
                symbol=one.symbol,
                reasons=_rules(one.reasons),
                rank=one.rank,
                price_micros=one.price_micros,
                prior_close_micros=one.prior_close_micros,
                gap_bps=one.gap_bps,
            )
            for one in said.candidates
        ),
        rejected=tuple(Named(symbol=one.symbol, reasons=_rules(one.reasons)) for one in said.rejected),
    )


def _rules(reasons: tuple[m.Reason, ...]) -> tuple[Rule, ...]:
    return tuple(
        Rule(rule=reason.rule, value=reason.value, threshold=reason.threshold, passed=reason.passed)
        for reason in reasons
    )
