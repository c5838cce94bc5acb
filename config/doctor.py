"""A look at everything that an operator would be asked about first: what is well, what is not, and what to do.

Nothing is changed, and nothing secret is shown. Questions that belong to a service are asked of it in a process of its
own, so that the doctor knows none of them.
"""

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from time import CLOCK_REALTIME, clock_gettime
from typing import Final, Literal

import msgspec
from msgspec import Struct

from config.archive import SUFFIX
from config.build_check import ROOT, build_faults
from config.connection_check import ARGUMENT, Answer, Question
from config.credentials import ARCHIVE_PASSPHRASE, needs_of
from config.env_bot import SettingsError, parse
from config.paths import HOME_VARIABLE, HomePaths
from config.vault import Secrets, Vault, VaultError

Verdict = Literal["ok", "warn", "bad"]
FREE_BYTES_MIN: Final = 256 * 1024**2
FREE_BYTES_GOOD: Final = 2 * 1024**3
CALENDAR_DAYS_MIN: Final = 60
ARCHIVE_DAYS_MAX: Final = 5
_ASK_S_MAX: Final = 120.0
_WORDS_MAX: Final = 400
#: Source: linux/timex.h: the kernel's clock is not kept by anybody (NTP, chrony, systemd-timesyncd).
_STA_UNSYNC: Final = 0x0040
_STA_NANO: Final = 0x2000
#: Far below what a signal's age or a session's window allow, and far above what a time service leaves.
CLOCK_SKEW_US_MAX: Final = 500_000
CLOCK_ERROR_US_MAX: Final = 2_000_000
#: Who has to be asked whether the bot is let in, by BROKER_NAME and by MARKET_DATA_SOURCE: provider, service.
_BROKERS: Final = {"ALPACA": ("alpaca", "services.execution"), "IBKR": ("ibkr", "services.execution")}
_SOURCES: Final = {"alpaca": ("alpaca_data", "services.screener")}


class _Verb(Struct, frozen=True, kw_only=True):
    """A check that a service has a verb for, and what to do when it fails."""

    what: str
    module: str
    verb: str
    todo: str


_QUESTIONS: Final = (
    _Verb(
        what="ledger",
        module="services.ledger",
        verb="verify",
        todo="Keep the file as it is, and restore: docs/ledger.md, 'Restore by hand'.",
    ),
    _Verb(
        what="ledger backups",
        module="services.ledger",
        verb="backups",
        todo="docs/ledger.md, 'Backups': put the backups folder back, or start anew with 'services.ledger backup'.",
    ),
    _Verb(
        what="audit log",
        module="services.web",
        verb="verify-audit",
        todo="Keep the file as it is, and compare it with a backup.",
    ),
)


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that was looked at; `todo` is empty where there is nothing to do."""

    what: str
    verdict: Verdict
    words: str
    todo: str = ""


def examine(paths: HomePaths, *, is_offline: bool = False) -> Iterator[Finding]:
    """Yield each finding as soon as it is made.

    Args:
        paths: the home.
        is_offline: leave out what asks somebody on the network.
    """
    yield _build()
    yield _clock()
    yield _calendar()
    if not paths.root.is_dir():
        yield Finding(
            what="home",
            verdict="bad",
            words=f"{paths.root} is not there.",
            todo=f"Set {HOME_VARIABLE} to the home, or start the chain there once: make run HOME_DIR=…",
        )
        return
    yield _disk(paths)
    yield _permissions(paths)
    try:
        secrets = Vault(paths).open()
    except VaultError as error:
        yield Finding(what="configuration", verdict="bad", words=str(error), todo="Open the page of the web UI.")
        return
    yield _settings(secrets)
    if paths.second_host.exists():
        words = "The second host of a divided chain: broker, ledger, users and archives are on the first one."
        yield Finding(what="host", verdict="ok", words=words)
        return
    yield _credentials(secrets)
    if not is_offline:
        yield from _connections(paths, secrets)
    yield from (_asked(paths, question) for question in _QUESTIONS)
    yield _archives(paths, secrets)


def _build() -> Finding:
    faults = build_faults()
    if faults:
        return Finding(what="build", verdict="bad", words=" ".join(faults), todo="make setup")
    return Finding(what="build", verdict="ok", words=f"{ROOT}: versions and files are those of the release.")


def _clock() -> Finding:
    kernel = _kernel_clock()
    if kernel is None:
        return Finding(
            what="clock",
            verdict="warn",
            words="Whether anybody keeps the clock cannot be found out on this system.",
            todo="See that the time comes from a time server: signals and sessions go by it.",
        )
    if kernel.status & _STA_UNSYNC:
        return Finding(
            what="clock",
            verdict="warn",
            words="The kernel says that nobody keeps the clock.",
            todo="Let chrony or systemd-timesyncd keep it: timedatectl set-ntp true. In a container the host does.",
        )
    words = f"A time service keeps the clock: {abs(kernel.offset_us) / 1000:.1f} ms off, "
    words += f"{kernel.error_us / 1000:.0f} ms at most."
    if abs(kernel.offset_us) > CLOCK_SKEW_US_MAX or kernel.error_us > CLOCK_ERROR_US_MAX:
        todo = "See why the time service does not come nearer (chronyc tracking, timedatectl timesync-status)."
        return Finding(what="clock", verdict="warn", words=words, todo=todo)
    return Finding(what="clock", verdict="ok", words=words)


class KernelClock(Struct, frozen=True, kw_only=True):
    """What the kernel knows of its clock: offset and largest error in microseconds, and its status word."""

    offset_us: int
    error_us: int
    status: int


def _kernel_clock() -> KernelClock | None:
    """Ask the kernel of its clock, changing nothing; None where there is none to ask.

    Source: adjtimex(2): struct timex has modes (u32, padded), then longs: offset, freq, maxerror, esterror; status is
    the int after them. The offset is in nanoseconds where the status has STA_NANO.
    """
    if sys.platform != "linux":
        return None
    buffer = ctypes.create_string_buffer(512)
    try:
        if ctypes.CDLL(None).adjtimex(buffer) < 0:
            return None
    except (OSError, AttributeError):
        return None
    size = ctypes.sizeof(ctypes.c_long)

    def at(place: int, length: int = size) -> int:
        return int.from_bytes(buffer.raw[place : place + length], sys.byteorder, signed=True)

    status = at(size * 5, 4)
    offset = at(size) // 1000 if status & _STA_NANO else at(size)
    return KernelClock(offset_us=offset, error_us=at(size * 3), status=status)


def _calendar() -> Finding:
    # pandas comes with it: for this question alone.
    import exchange_calendars

    last = exchange_calendars.get_calendar("XNYS").last_session.date()
    left = last - _today().date()
    if left < timedelta(days=CALENDAR_DAYS_MIN):
        return Finding(
            what="calendar",
            verdict="bad",
            words=f"The exchange's calendar ends on {last}.",
            todo="Update exchange_calendars: a release with a newer lock file.",
        )
    return Finding(what="calendar", verdict="ok", words=f"Trading days are known up to {last}.")


def _disk(paths: HomePaths) -> Finding:
    found = os.statvfs(paths.root)
    free = found.f_bavail * found.f_frsize
    words = f"{free >> 20:,} MiB are free where the home is."
    if free < FREE_BYTES_MIN:
        return Finding(what="disk", verdict="bad", words=words, todo="Make room: the chain halts below 256 MiB.")
    if free < FREE_BYTES_GOOD:
        return Finding(what="disk", verdict="warn", words=words, todo="Make room soon: logs and backups grow.")
    return Finding(what="disk", verdict="ok", words=words)


def _permissions(paths: HomePaths) -> Finding:
    """Look whether others on this machine could read what is private."""
    private = (paths.root, paths.keys, paths.secrets, paths.control, paths.run)
    open_ones = [path for path in private if path.is_dir() and path.stat().st_mode & 0o077]
    for folder in (paths.keys, paths.secrets):
        open_ones += [path for path in folder.rglob("*") if path.stat().st_mode & 0o077]
    foreign = [path for path in private if path.exists() and path.stat().st_uid != os.getuid()]
    if open_ones or foreign:
        names = ", ".join(str(path) for path in (open_ones + foreign)[:5])
        return Finding(
            what="permissions",
            verdict="bad",
            words=f"Others may read or own what is private: {names}.",
            todo=f"chmod -R go-rwx {paths.root}; chown -R of the user who runs the bot.",
        )
    return Finding(what="permissions", verdict="ok", words="Keys, secrets and sockets are the bot's own user's alone.")


def _settings(secrets: Secrets) -> Finding:
    try:
        env = parse(secrets.settings)
    except SettingsError as error:
        todo = "Correct them on the page of settings."
        return Finding(what="settings", verdict="bad", words=str(error)[:_WORDS_MAX], todo=todo)
    broker, source = env.word("BROKER_NAME"), env.word("MARKET_DATA_SOURCE")
    words = f"Generation {secrets.generation}: broker {broker}, market data {source}."
    return Finding(what="settings", verdict="ok", words=words)


def _credentials(secrets: Secrets) -> Finding:
    missing = [
        f"{name} ({need.words})"
        for need in needs_of(secrets.settings, secrets.credentials)
        for name in need.credentials
        if not secrets.credentials.get(name)
    ]
    if missing:
        todo = "Enter them on the page of credentials."
        return Finding(what="credentials", verdict="bad", words=f"Not set: {'; '.join(missing)}.", todo=todo)
    return Finding(what="credentials", verdict="ok", words="Everything that the settings need is set.")


def _connections(paths: HomePaths, secrets: Secrets) -> Iterator[Finding]:
    broker, source = (secrets.settings.get(key, "") for key in ("BROKER_NAME", "MARKET_DATA_SOURCE"))
    if broker not in _BROKERS:
        yield Finding(what="broker", verdict="ok", words="The embedded paper broker: nobody to reach.")
    else:
        yield _connection(paths, "broker", *_BROKERS[broker])
    if source in _SOURCES:
        yield _connection(paths, "market data", *_SOURCES[source])


def _connection(paths: HomePaths, what: str, provider: str, service: str) -> Finding:
    question = msgspec.json.encode(Question(provider=provider))
    code, out, err = _run(paths, service, (ARGUMENT,), question)
    try:
        answer = msgspec.json.decode(out, type=Answer)
    except msgspec.MsgspecError:
        answer = Answer(is_in=False, words=(err.strip()[:_WORDS_MAX] or f"{service} gave no answer ({code}).",))
    todo = "" if answer.is_in else "Look at the page of credentials: it has the same test, and the settings beside it."
    return Finding(what=what, verdict="ok" if answer.is_in else "bad", words=" ".join(answer.words), todo=todo)


def _asked(paths: HomePaths, question: _Verb) -> Finding:
    code, out, err = _run(paths, question.module, (question.verb,))
    said = " ".join((out if code == 0 else err or out).split())[:_WORDS_MAX]
    return Finding(
        what=question.what,
        verdict="ok" if code == 0 else "bad",
        words=said or f"{question.module} said nothing ({code}).",
        todo="" if code == 0 else question.todo,
    )


def _run(paths: HomePaths, module: str, arguments: tuple[str, ...], given: bytes = b"") -> tuple[int | None, str, str]:
    environment = {**os.environ, HOME_VARIABLE: str(paths.root), "PYTHONSAFEPATH": "1"}
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and modules; no part of it is typed by a person
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=environment,
            input=given,
            capture_output=True,
            timeout=_ASK_S_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, "", f"{module} did not answer within {_ASK_S_MAX:.0f} s."
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def _archives(paths: HomePaths, secrets: Secrets) -> Finding:
    if not secrets.credentials.get(ARCHIVE_PASSPHRASE):
        return Finding(
            what="archives",
            verdict="warn",
            words="The home is not archived after its sessions: the credential archive_passphrase is not set.",
            todo="Set it on the page of credentials, and keep it away from this machine.",
        )
    folder = paths.root / "backups"
    times = [path.stat().st_mtime for path in folder.glob(f"*{SUFFIX}")] if folder.is_dir() else []
    if not times:
        todo = "It comes after the next session; at once: .venv/bin/python supervisor/auto_backup.py make"
        return Finding(what="archives", verdict="warn", words="There is no archive yet.", todo=todo)
    age = _today() - datetime.fromtimestamp(max(times), UTC)
    words = f"{len(times)} archives, the newest {age.days} days old."
    if age > timedelta(days=ARCHIVE_DAYS_MAX):
        return Finding(what="archives", verdict="warn", words=words, todo="The watchdog's log says why none came.")
    return Finding(what="archives", verdict="ok", words=words)


def _today() -> datetime:
    # bus.clock is above this layer; a doctor reads the machine's own clock.
    return datetime.fromtimestamp(clock_gettime(CLOCK_REALTIME), UTC)
