"""The web server process: one waitress with many threads on the loopback address, and the bus listener."""

import errno
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Final, Protocol

import waitress

from bus.assembly import Setup
from bus.codec import CommandAnswer
from bus.halt import HaltRecord
from bus.keys import KeyRing, MissingKeyError
from bus.lock import LockTakenError, service_lock
from bus.messages import Message, OperatorRequest, ServiceName
from bus.new_settings import POLL_S
from bus.orphan import Parent
from bus.sockets import BindError
from config import env_bot
from config.bootstrap_token import is_awaited
from config.env_bot import SettingsError
from config.generation_pin import pinned
from config.logs import LogFormat, set_up_logs
from config.paths import HomeError, HomePaths, home_paths
from config.vault import Secrets, Vault, VaultError
from services.web.alert_watch import AlertWatch
from services.web.alerts import AlertBook
from services.web.app import create_app
from services.web.assets import asset_faults
from services.web.hub import StatusHub
from services.web.kept_traces import newest_messages
from services.web.public_address import ORIGIN_VARIABLE, origin_fault, server_options
from services.web.session_curve import SessionCurve
from services.web.site import Bus
from services.web.verbs import VERBS, bootstrap_token

HOST: Final = "127.0.0.1"
PORT_VARIABLE: Final = "TRADEBOT_WEB_PORT"
PORT_DEFAULT: Final = 8780
#: Set to 1 by whoever works on the pages: /styleguide shows the components.
STYLEGUIDE_VARIABLE: Final = "TRADEBOT_WEB_STYLEGUIDE"
ALERTS_FILE: Final = "web_alerts.json"
CURVE_FILE: Final = "web_curve.jsonl"
THREADS: Final = 64
_PARENT_EVERY_S: Final = 0.5
CONNECTIONS_MAX: Final = 500
#: What may wait for one slow browser in the server's own buffer; the hub drops the browser soon after.
BUFFER_BYTES_MAX: Final = 256 * 1024
EXIT_OK, EXIT_FAULT, EXIT_CANNOT_START, EXIT_LOCKED = 0, 1, 2, 75
log = logging.getLogger(__name__)


class Listener(Bus, Protocol):
    """What hears the status topic of the bus, and says what pages say."""

    def start(self) -> None:
        """Begin to listen, on a thread of its own."""

    def stop(self) -> None:
        """Stop listening; returns soon."""


#: Takes a message and the service that said it.
Publish = Callable[[Message, ServiceName], None]
ListenerFactory = Callable[[Setup, Secrets, Publish], Listener]


class Ear:
    """Starts the bus listener once there is a configuration, passes on what pages say, and stops it."""

    def __init__(self, paths: HomePaths, hub: StatusHub, factory: ListenerFactory) -> None:
        self._paths = paths
        self._hub = hub
        self._factory = factory
        self._lock = threading.Lock()
        self._listener: Listener | None = None
        self._generation = 0

    def start(self, secrets: Secrets) -> None:
        """Listen from now on; the second call does nothing.

        Raises:
            SettingsError: the stored settings are not those of this version.
            BindError: another web interface runs on this chain.
        """
        setup = Setup(
            paths=self._paths,
            env=env_bot.parse(secrets.settings),
            identity=secrets.identity,
            generation=secrets.generation,
        )
        with self._lock:
            if self._listener is None:
                log_format: LogFormat = "CSV" if setup.env.word("LOG_FORMAT") == "CSV" else "JSON"
                set_up_logs("web", log_format, self._paths.output / setup.identity.bot_identity / "logs")
                listener = self._factory(setup, secrets, self._hub.publish)
                listener.start()
                # Read after it listens, so that nothing is said between the two.
                self._hub.restore(newest_messages(self._paths.state))
                self._listener, self._generation = listener, secrets.generation

    def start_late(self, secrets: Secrets) -> None:
        """Listen from now on, when there are usable settings at last; what keeps it from that goes to the log."""
        try:
            self.start(secrets)
        except (SettingsError, BindError, MissingKeyError):
            # The configuration itself is done and answered; the page says that it hears nothing.
            log.exception("the status of the chain is not heard")

    def follow(self, vault: Vault) -> None:
        """Listen with the keys of the generation that the chain has turned to, where that is another one."""
        pin = pinned(self._paths)
        if self._listener is None or pin in (0, self._generation):
            return
        try:
            secrets = vault.open(pin)
        except VaultError:
            log.exception("generation %d, which the chain uses, cannot be opened", pin)
            return
        self.stop()
        self.start_late(secrets)

    def tell_halt(self, record: HaltRecord) -> None:
        """Tell every service of a halt, where there is a bus."""
        # Without the lock: a listener that is being started or stopped must not hold up a halt.
        listener = self._listener
        if listener is not None:
            listener.tell_halt(record)

    def command(self, message: OperatorRequest, timeout_s: float) -> CommandAnswer | None:
        """Give a command where there is a bus; None when nobody answered."""
        listener = self._listener
        return None if listener is None else listener.command(message, timeout_s)

    def stop(self) -> None:
        """Stop listening, if it ever began."""
        with self._lock:
            if self._listener is not None:
                self._listener.stop()
                self._listener = None


def main(
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    listener_factory: ListenerFactory | None = None,
) -> int:
    """Serve until told to stop.

    Returns:
        The exit status: 0 stopped, 1 self-check found faults, 2 cannot start, 75 another copy runs.
    """
    values = dict(os.environ if environment is None else environment)
    paths = home_paths(values)
    if arguments and arguments[0] in VERBS:
        return VERBS[arguments[0]](paths, arguments[1:])
    faults, is_check = start_faults(paths, values), "--self-check" in arguments
    if is_check:
        faults += settings_faults(paths)
    if faults or is_check:
        sys.stderr.write("".join(f"web: {fault}\n" for fault in faults) or "web: no fault found\n")
        if not faults:
            return EXIT_OK
        return EXIT_FAULT if is_check else EXIT_CANNOT_START
    try:
        with service_lock(paths, "web"):
            return serve(
                paths,
                int(values.get(PORT_VARIABLE) or PORT_DEFAULT),
                listener_factory or _bus_listener,
                has_styleguide=values.get(STYLEGUIDE_VARIABLE) == "1",
                origin=values.get(ORIGIN_VARIABLE, "").rstrip("/"),
            )
    except LockTakenError as error:
        sys.stderr.write(f"web: {error}\n")
        return EXIT_LOCKED


def start_faults(paths: HomePaths, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return one sentence for everything that keeps the web interface from its start."""
    faults = list(asset_faults())
    port = environment.get(PORT_VARIABLE) or str(PORT_DEFAULT)
    if not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        faults.append(f"{PORT_VARIABLE} is '{port}': it must be a port number from 1 to 65535")
    if fault := origin_fault(environment.get(ORIGIN_VARIABLE, "")):
        faults.append(fault)
    try:
        paths.make()
        vault = Vault(paths)
        if vault.is_provisioned():
            vault.open()
    except (HomeError, VaultError) as error:
        faults.append(str(error))
    return tuple(faults)


def settings_faults(paths: HomePaths) -> tuple[str, ...]:
    """Return what is wrong with the stored settings: the web interface starts with it, for there it is corrected."""
    vault = Vault(paths)
    try:
        if vault.is_provisioned():
            env_bot.parse(vault.open().settings)
    except VaultError:
        # start_faults has said it.
        return ()
    except SettingsError as error:
        return (str(error),)
    return ()


def serve(
    paths: HomePaths, port: int, listener_factory: ListenerFactory, *, has_styleguide: bool = False, origin: str = ""
) -> int:
    """Serve one home on one port until SIGTERM or SIGINT; `origin` as in create_app."""
    curve = SessionCurve(paths.state / CURVE_FILE)
    hub, vault = StatusHub(alerts=AlertBook(paths.state / ALERTS_FILE), curve=curve), Vault(paths)
    ear = Ear(paths, hub, listener_factory)
    app = create_app(paths, hub, ear.start_late, bus=ear, has_styleguide=has_styleguide, origin=origin)
    try:
        server = waitress.create_server(
            app,
            host=HOST,
            port=port,
            threads=THREADS,
            connection_limit=CONNECTIONS_MAX,
            outbuf_high_watermark=BUFFER_BYTES_MAX,
            ident=None,
            **server_options(origin),
        )
    except OSError as error:
        return _port_refused(error, port)
    try:
        if vault.is_provisioned():
            ear.start(_of_the_chain(paths, vault))
    except BindError as error:
        sys.stderr.write(f"web: {error}\n")
        return EXIT_CANNOT_START
    except (SettingsError, MissingKeyError) as error:
        # The page of settings is where they are corrected; the bus is listened to once they are saved.
        sys.stderr.write(f"web: {error}\n")

    def end(_number: int, _frame: FrameType | None) -> None:
        # Open streams hold a thread each; they must end first, or the server waits five seconds for them.
        hub.close()
        raise SystemExit(EXIT_OK)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    threading.Thread(target=_end_with_supervisord, name="parent-watch", daemon=True).start()
    threading.Thread(target=_follow_the_chain, args=(ear, vault), name="settings-watch", daemon=True).start()
    watch = AlertWatch(app.extensions["tradebot"])
    watch.start()
    sys.stderr.write(f"web: open http://{HOST}:{port}/ in a browser on this machine\n")
    if origin:
        sys.stderr.write(f"web: a proxy on this machine may pass on what comes to {origin}\n")
    if sys.stderr.isatty() and is_awaited(vault):
        # Under supervisord this output is a log file, and the token must be in none: whoever started it shows one.
        bootstrap_token(paths)
    sys.stderr.flush()
    try:
        server.run()
    finally:
        watch.stop()
        hub.close()
        ear.stop()
    return EXIT_OK


def _of_the_chain(paths: HomePaths, vault: Vault) -> Secrets:
    """Return the generation that the chain uses, where one is pinned and kept; else what is in force."""
    try:
        return vault.open(pinned(paths))
    except VaultError:
        return vault.open()


def _follow_the_chain(ear: Ear, vault: Vault) -> None:
    while True:
        time.sleep(POLL_S)
        ear.follow(vault)


def _end_with_supervisord() -> None:
    parent = Parent()
    while not parent.has_died():
        time.sleep(_PARENT_EVERY_S)
    os.kill(os.getpid(), signal.SIGTERM)


def _port_refused(error: OSError, port: int) -> int:
    if error.errno == errno.EADDRINUSE:
        why = f"Port {port} of {HOST} is in use by another program: end it"
    else:
        why = f"Port {port} of {HOST} cannot be opened ({error.strerror})"
    sys.stderr.write(f"web: {why}, or set {PORT_VARIABLE} to a free port.\n")
    return EXIT_CANNOT_START


def _bus_listener(setup: Setup, secrets: Secrets, publish: Publish) -> Listener:
    from bus.listener import StatusListener

    def heard(sender: ServiceName, message: Message) -> None:
        publish(message, sender)

    return StatusListener(setup, KeyRing.of("web", secrets.curve), heard)
