"""CURVE keys and ZAP: every socket proves which service it is; an unknown key, or none, gets no connection."""

from collections.abc import Mapping
from dataclasses import dataclass

import zmq
import zmq.auth.thread

from bus.messages import ServiceName
from bus.routes import SERVICES
from config.vault import CurvePair

ZAP_DOMAIN = "tradebot"


@dataclass(frozen=True)
class KeyRing:
    """One service's secret key, everybody's public keys, and who owns each of them (Z85 text)."""

    service: ServiceName
    secret: bytes
    public: Mapping[ServiceName, bytes]
    owners: Mapping[str, ServiceName]

    @classmethod
    def of(cls, service: ServiceName, pairs: Mapping[str, CurvePair]) -> "KeyRing":
        """Pick one service's ring out of the vault's pairs."""
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
    """Tells pyzmq's authenticator which keys may connect."""

    def __init__(self, ring: KeyRing) -> None:
        self._known = frozenset(ring.public.values())

    def callback(self, _domain: str, key: bytes) -> bool:
        return key in self._known


class ZapGuard:
    """The ZAP handler of one context. A CURVE server without it accepts anyone, so it starts before any bind."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], ring: KeyRing) -> None:
        self._authenticator = zmq.auth.thread.ThreadAuthenticator(context)
        self._authenticator.start()
        self._authenticator.configure_curve_callback(domain=ZAP_DOMAIN, credentials_provider=_KnownKeys(ring))

    def close(self) -> None:
        """Stop the handler's thread."""
        self._authenticator.stop()
