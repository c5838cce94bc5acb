"""The time zone a person reads times in, and the one way in which pages write a time. UTC inside, always.

The choice is in a cookie; `static/live.js` writes times in the same form, so nothing jumps when a page comes alive.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal
from zoneinfo import ZoneInfo

from flask import request
from markupsafe import Markup

ZONE_COOKIE: Final = "zone"
Form = Literal["stamp", "second", "minute", "day"]
_FORMS: Final[dict[Form, str]] = {
    "stamp": "%Y-%m-%d %H:%M:%S",
    "second": "%H:%M:%S",
    "minute": "%H:%M",
    "day": "%Y-%m-%d",
}


@dataclass(frozen=True)
class Zone:
    """A time zone to read times in: the word of the form and the cookie, the name of the tz database, the name here."""

    key: str
    iana: str
    name: str


#: The first one holds until a person chooses: it is the exchange's.
ZONES: Final = (Zone("new_york", "America/New_York", "New York"), Zone("utc", "UTC", "UTC"))


def zone_of(key: str) -> Zone:
    """Return the zone with this key, the first one for any other word."""
    return next((zone for zone in ZONES if zone.key == key), ZONES[0])


def chosen_zone() -> Zone:
    """Return the zone that whoever asks reads times in."""
    return zone_of(request.cookies.get(ZONE_COOKIE, ""))


def time_text(ms: int, zone: Zone, form: Form = "stamp") -> str:
    """Return a time, in milliseconds since 1970, as it reads in a zone.

    >>> time_text(1_741_786_200_000, ZONES[0]), time_text(1_741_786_200_000, ZONES[1], "minute")
    ('2025-03-12 09:30:00', '13:30')
    """
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(ZoneInfo(zone.iana)).strftime(_FORMS[form])


def when(ms: int | None, form: Form = "stamp") -> Markup:
    """Return a `<time>` element in the zone of whoever asks: read by machines in UTC; a dash for None or 0."""
    if not ms:
        return Markup("–")  # noqa: RUF001 - the dash that stands for "none" in every table
    instant = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    zone = chosen_zone()
    return Markup('<time datetime="{}" title="{} {}">{}</time>').format(
        instant, time_text(ms, zone, "stamp"), zone.name, time_text(ms, zone, form)
    )
