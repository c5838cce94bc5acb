"""Ids that were seen before. They are part of a state that is never changed in place, so adding one copies few."""

from typing import Final

from msgspec import Struct

#: So many new ids are copied with each one that is added, at most.
RECENT_MAX: Final = 256


class Seen(Struct, frozen=True):
    """The newest ids, in two parts; the oldest are forgotten some time after there are `limit` of them."""

    limit: int
    older: dict[str, None] = {}
    recent: dict[str, None] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.recent or name in self.older

    def adding(self, name: str) -> "Seen":
        """Return the ids with a new one."""
        recent = {**self.recent, name: None}
        if len(recent) < RECENT_MAX:
            return Seen(self.limit, self.older, recent)
        older = {**self.older, **recent}
        for forgotten in list(older)[: max(len(older) - self.limit, 0)]:
            del older[forgotten]
        return Seen(self.limit, older, {})
