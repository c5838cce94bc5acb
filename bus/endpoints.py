"""Where each service's sockets are: unix sockets in the home's run folder, or TCP ports, by one setting."""

from dataclasses import dataclass
from typing import Literal

from bus.messages import ServiceName
from bus.routes import SECOND_HOST_SERVICES, SERVICES
from config.env_bot import EnvBot
from config.paths import HomePaths

Channel = Literal["inbox", "pub"]
_CHANNELS: tuple[Channel, ...] = ("inbox", "pub")


@dataclass(frozen=True)
class Endpoints:
    """Addresses of one chain. `tcp_host` empty = ipc; `tcp_second_host` empty = every service is on `tcp_host`."""

    paths: HomePaths
    tcp_host: str = ""
    tcp_port: int = 0
    tcp_second_host: str = ""

    @classmethod
    def from_env(cls, paths: HomePaths, env: EnvBot) -> "Endpoints":
        """Read BUS_TRANSPORT, BUS_TCP_HOST, BUS_TCP_PORT and BUS_TCP_SECOND_HOST."""
        if env.word("BUS_TRANSPORT") == "tcp":
            return cls(paths, env.word("BUS_TCP_HOST"), env.whole("BUS_TCP_PORT"), env.word("BUS_TCP_SECOND_HOST"))
        return cls(paths)

    def address(self, service: ServiceName, channel: Channel) -> str:
        """Return the ZeroMQ address of a service's inbox (reliable) or publisher (lossy)."""
        if self.tcp_host:
            offset = SERVICES.index(service) * len(_CHANNELS) + _CHANNELS.index(channel)
            # BUS_TCP_SECOND_HOST: the services whose leases and halts go by one host's clock and disk stay together.
            is_away = self.tcp_second_host and service in SECOND_HOST_SERVICES
            return f"tcp://{self.tcp_second_host if is_away else self.tcp_host}:{self.tcp_port + offset}"
        return f"ipc://{self.paths.run / f'{service}.{channel}.sock'}"
