"""Ids that were seen before. They are part of a state that is never changed in place, and share what they grow from."""

from typing import Final

#: So many ids beyond the limit are forgotten at a time.
_SLACK: Final = 255


class Seen:
    """The newest ids; the oldest are forgotten some time after there are `limit` of them.

    All that grew out of each other share one table of ids with their numbers; each knows only those before its own end.
    """

    __slots__ = ("_end", "_numbers", "limit")

    def __init__(self, limit: int, numbers: dict[str, int] | None = None, end: int = 0) -> None:
        self.limit = limit
        self._numbers: dict[str, int] = {} if numbers is None else numbers
        #: How many of the table's ids are known here.
        self._end = end

    def __contains__(self, name: str) -> bool:
        return self._numbers.get(name, self._end) < self._end

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Seen):
            return NotImplemented
        if self._numbers is other._numbers:
            return self._end == other._end and self.limit == other.limit
        return (self.limit, self._known()) == (other.limit, other._known())

    __hash__ = None  # type: ignore[assignment]  # it is compared by its contents, which are many

    def __len__(self) -> int:
        return self._end

    def adding(self, name: str) -> "Seen":
        """Return the ids with a new one."""
        if name in self:
            return self
        numbers, end = self._numbers, self._end
        if not end or len(numbers) != end or end >= self.limit + _SLACK:
            # Another one has grown out of this one already, or the oldest are to be forgotten.
            numbers = {known: number for number, known in enumerate(self._known()[-self.limit :])}
            end = len(numbers)
        numbers[name] = end
        return Seen(self.limit, numbers, end + 1)

    def _known(self) -> list[str]:
        return list(self._numbers)[: self._end]
