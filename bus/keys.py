"""CURVE keys and ZAP: every socket proves which service it is; an unknown key, or none, gets no connection."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import zmq
import zmq.auth.thread

from bus.clock import boot_ns
from bus.messages import ServiceName
from bus.routes import SERVICES
from config.vault import CurvePair

logger = logging.getLogger(__name__)
ZAP_DOMAIN = "tradebot"
_TOLD_EVERY_NS: Final = 60_000_000_000
_FINGERPRINT_DIGITS: Final = 12


class MissingKeyError(Exception):
    """The secrets have no keys for a service of this version; the message says what to do."""


@dataclass(frozen=True)
class KeyRing:
    """One service's secret key, everybody's public keys, and who owns each of them (Z85 text)."""

    service: ServiceName
    secret: bytes
    public: Mapping[ServiceName, bytes]
    owners: Mapping[str, ServiceName]

    @classmethod
    def of(cls, service: ServiceName, pairs: Mapping[str, CurvePair]) -> "KeyRing":
        """Pick one service's ring out of the vault's pairs.

        Raises:
            MissingKeyError: an older version made them, which did not know a service of this one.
        """
        missing = [name for name in SERVICES if name not in pairs]
        if missing:
            raise MissingKeyError(
                f"The secrets have no key of the bus for {' and '.join(missing)}: an older version made them. Save the "
                "settings once on their page of the web UI: every save makes new keys for all services."
            )
        return cls(
            service=service,
            secret=pairs[service].secret.encode(),
            public={name: pairs[name].public.encode() for name in SERVICES},
            owners={pairs[name].public: name for name in SERVICES},
        )

    def __repr__(self) -> str:
        """Keep the secret key out of logs."""
        return f"KeyRing({self.service})"


def make_pairs() -> dict[str, CurvePair]:
    """Return a fresh key pair for every service."""
    pairs: dict[str, CurvePair] = {}
    for name in SERVICES:
        public, secret = zmq.curve_keypair()
        pairs[name] = CurvePair(public=public.decode(), secret=secret.decode())
    return pairs


class _KnownKeys:
    """Tells pyzmq's authenticator which keys may connect, in its thread, and counts the others.

    A connection without a key fails before anybody is asked here.
    """

    def __init__(self, ring: KeyRing) -> None:
        self.refused = 0
        self.is_counting = False
        self._service = ring.service
        self._known = frozenset(ring.public.values())
        self._told_ns: int | None = None

    def callback(self, _domain: str, key: bytes) -> bool:
        if key in self._known:
            return True
        if self.is_counting:
            self.refused += 1
            self._tell(key)
        return False

    def _tell(self, key: bytes) -> None:
        """Log at most one a minute: whoever knocks may go on and on."""
        now = boot_ns()
        if self._told_ns is not None and now - self._told_ns < _TOLD_EVERY_NS:
            return
        self._told_ns = now
        print_of = hashlib.sha256(key).hexdigest()[:_FINGERPRINT_DIGITS]
        logger.warning(
            "%s refused a connection with an unknown key (SHA-256 %s...), %d refused since its start: something on "
            "this machine, or with BUS_TCP_PORT on its network, tries to get in",
            self._service,
            print_of,
            self.refused,
        )


class ZapGuard:
    """The ZAP handler of one context. A CURVE server without it accepts anyone, so it starts before any bind."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], ring: KeyRing) -> None:
        self._authenticator = zmq.auth.thread.ThreadAuthenticator(context)
        self._authenticator.start()
        self._keys = _KnownKeys(ring)
        self._authenticator.configure_curve_callback(domain=ZAP_DOMAIN, credentials_provider=self._keys)

    def begin_counting(self) -> None:
        """Count and tell what is refused from now on: our own self-test is over."""
        self._keys.is_counting = True

    @property
    def refused(self) -> int:
        """Return how many connections were refused for their key; one that tries again counts again."""
        return self._keys.refused

    def close(self) -> None:
        """Stop the handler's thread."""
        self._authenticator.stop()
