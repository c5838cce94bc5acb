"""The slice of the settings that the web interface keeps itself to: its sessions and the passwords tried."""

from collections.abc import Mapping
from contextlib import suppress

from msgspec import Struct

from bus.clock import NS_PER_MINUTE
from config.env_bot import BY_KEY, parse_value


class WebLimits(Struct, frozen=True, kw_only=True):
    """Limits on log-ins: ASVS 5.0 7.3.1 and 7.3.2 ask for an end of a session without use, and for one in any case."""

    idle_ns: int
    age_ns: int
    confirmed_ns: int
    tries: int
    wait_minutes: int

    @classmethod
    def of(cls, stored: Mapping[str, str]) -> "WebLimits":
        """Read WEB_SESSION_IDLE, WEB_SESSION_AGE, WEB_CONFIRM_TIME, WEB_LOGIN_TRIES and WEB_LOGIN_WAIT.

        What is missing takes its proposal: before the first configuration nothing is stored, and where an older version
        wrote the settings a person has to log in to confirm the new ones.
        """
        return cls(
            idle_ns=_whole(stored, "WEB_SESSION_IDLE") * NS_PER_MINUTE,
            age_ns=_whole(stored, "WEB_SESSION_AGE") * 60 * NS_PER_MINUTE,
            confirmed_ns=_whole(stored, "WEB_CONFIRM_TIME") * NS_PER_MINUTE,
            tries=_whole(stored, "WEB_LOGIN_TRIES"),
            wait_minutes=_whole(stored, "WEB_LOGIN_WAIT"),
        )


def _whole(stored: Mapping[str, str], key: str) -> int:
    setting = BY_KEY[key]
    with suppress(ValueError):
        value = parse_value(setting, stored.get(key, ""))
        if isinstance(value, int):
            return value
    return int(setting.proposal)
