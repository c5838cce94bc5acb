"""Screen a whole universe at once: which names pass, in which order, and why each of the others does not."""

from collections.abc import Iterator, Sequence

import numpy as np

from bus.messages import Candidate, Reason, Rejection, ScanMode
from services.screener.columns import UNKNOWN, Bools, Ints, columns_of
from services.screener.rules import rules_of
from services.screener.settings import ScreenerSettings
from services.screener.universe import UniverseRow


class Screening:
    """The verdict over all names. Nothing is put into words before it is asked for.

    `candidates_total` names have a place, `rejected_total` have not: together they are all the names.
    """

    def __init__(self, rows: Sequence[UniverseRow], settings: ScreenerSettings, mode: ScanMode) -> None:
        self._names = columns_of(rows, mode)
        self._rules = rules_of(settings, self._names)
        self._masks: tuple[Bools, ...] = tuple(rule.passes(self._names) for rule in self._rules)
        passed = np.logical_and.reduce(self._masks) if len(rows) else np.zeros(0, dtype=np.bool_)
        gap = self._names.numbers["gap"]
        volume = self._names.numbers["volume"]
        self._score: Ints = np.abs(np.where(gap == UNKNOWN, 0, gap))
        ordered = np.flatnonzero(passed)
        traded = np.where(volume == UNKNOWN, 0, volume)[ordered]
        # Largest move first, then most traded, then by symbol: no two names tie.
        ordered = ordered[np.lexsort((self._names.symbols[ordered], -traded, -self._score[ordered]))]
        # SCREENER_CANDIDATES: as many as the strategies watch.
        self._places = settings.candidates_max
        ordered = _with_kept_places(ordered, rows, self._places)
        self._ordered = ordered[: self._places]
        self._place = {int(at): place for place, at in enumerate(ordered.tolist(), 1)}
        out = np.concatenate([np.flatnonzero(~passed), ordered[self._places :]])
        self._rejected = out[np.argsort(self._names.symbols[out], kind="stable")]
        self.candidates_total = len(self._ordered)
        self.rejected_total = len(self._rejected)

    def candidates(self) -> Iterator[Candidate]:
        """Yield the names that have a place, best first, each with the reasons of all rules."""
        for place, at in enumerate(self._ordered.tolist(), 1):
            row, gap = self._names.rows[at], int(self._names.numbers["gap"][at])
            yield Candidate(
                symbol=row.symbol,
                rank=place,
                score=int(self._score[at]),
                prior_close_micros=row.prior_close_micros,
                price_micros=row.price_micros,
                gap_bps=0 if gap == UNKNOWN else gap,
                reasons=self._reasons(at),
            )

    def rejections(self, limit: int | None = None, *, only_failed: bool = False) -> Iterator[Rejection]:
        """Yield the names without a place by symbol, each with the reasons of all rules or of those it failed.

        A name that passes every rule but comes after the last place is rejected aloud, not dropped.
        """
        for at in self._rejected[:limit].tolist():
            reasons = self._reasons(at, only_failed=only_failed)
            place = self._place.get(at)
            if place is not None:
                reasons = (*reasons, _no_place(place, self._places))
            yield Rejection(symbol=self._names.rows[at].symbol, reasons=reasons)

    def failures(self) -> dict[str, int]:
        """Count the names that fail each rule; a name that fails two is counted twice."""
        counts = {rule.rule: int((~mask).sum()) for rule, mask in zip(self._rules, self._masks, strict=True)}
        return counts | {"rank": max(len(self._place) - self._places, 0)}

    def _reasons(self, at: int, *, only_failed: bool = False) -> tuple[Reason, ...]:
        found = tuple(
            rule.reason(self._names, at, passed=passed)
            for rule, mask in zip(self._rules, self._masks, strict=True)
            if not (passed := bool(mask[at])) or not only_failed
        )
        after_hours = self._names.rows[at].after_hours
        if not after_hours or only_failed:
            return found
        return (*found, Reason(rule="after_hours", value=after_hours, threshold="keeps a place", passed=True))


def _with_kept_places(ordered: Ints, rows: Sequence[UniverseRow], places: int) -> Ints:
    """Put those who keep a place, and the best of the others, before the rest; each part stays in its order."""
    is_kept = np.fromiter((bool(rows[at].after_hours) for at in ordered.tolist()), np.bool_, count=len(ordered))
    if not is_kept.any():
        return ordered
    left = max(places - int(np.count_nonzero(is_kept)), 0)
    is_in = is_kept | (~is_kept & (np.cumsum(~is_kept) <= left))
    return np.concatenate([ordered[is_in], ordered[~is_in]])


def _no_place(place: int, places: int) -> Reason:
    return Reason(rule="rank", value=f"place {place}", threshold=f"<= {places}", passed=False)
