"""Where a watched test run gets its secrets from, and what it keeps to look for them in: see `secret_watch.py`."""

import functools
import itertools
import os
import stat
import threading
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

import canaries
import pytest
from secret_search import CHARS_MIN

from config.vault import Secrets

_LOOK_EVERY_S: Final = 1.0
_INIT: Final = 1
#: A name in a folder has at most 255 bytes; of a longer path its end is kept.
_NAME_CHARS_MAX: Final = 220


def secrets_of(kept: Secrets) -> Iterator[tuple[str, str]]:
    """Yield every secret of a generation and what it is called."""
    for name, text in kept.credentials.items():
        yield text, name
    for service, pair in kept.curve.items():
        yield pair.secret, f"bus key of {service}"
    for user in kept.users:
        yield user.password_hash, "password hash"
        yield user.totp_secret, "TOTP secret"
        for one in user.recovery_hashes:
            yield one, "hash of a recovery code"


class Known:
    """Every secret that this process has come to know, and what it is called; the canaries from the start."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {text: name for name, text in canaries.ALL.items()}

    def add(self, secret: object, name: str) -> None:
        """Take one more; what is too short to be told from a word by chance is left out."""
        if isinstance(secret, str) and len(secret) >= CHARS_MIN:
            self.names.setdefault(secret, name)

    def add_all(self, kept: Secrets) -> None:
        """Take every secret of a generation."""
        for secret, name in secrets_of(kept):
            self.add(secret, name)

    def learn(self, patch: pytest.MonkeyPatch) -> None:
        """Hear of every secret where it comes to be: in vaults, as a password that is hashed, as a token drawn."""

        def wrote(_result: object, _disk: object, path: Path, content: bytes) -> None:
            if path.suffix == ".key":
                self.add(content.decode(errors="replace").strip(), "key of a generation")

        _hear(patch, "config.vault", "Vault._write_generation", lambda _, *args: self.add_all(args[2]))
        _hear(patch, "config.vault", "Disk.write_file", wrote)
        _hear(patch, "config.users", "hash_password", lambda _, password, **_how: self.add(password, "password"))
        _hear(patch, "secrets", "token_urlsafe", lambda token, *_: self.add(token, "drawn token"))


def _hear(patch: pytest.MonkeyPatch, module: str, name: str, hear: Callable[..., None]) -> None:
    """Let a function say what it was given and what it returned."""
    function = attrgetter(name)(__import__(module, fromlist=[name]))

    @functools.wraps(function)
    def heard(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        hear(result, *args, **kwargs)
        return result

    patch.setattr(f"{module}.{name}", heard)


class Spool:
    """Keeps a second name of every file that is removed or replaced here, so that it can be searched later."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self._numbers = itertools.count()
        self._here = threading.local()

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        """Take an event of the interpreter, as `sys.addaudithook` gives it."""
        if event == "os.remove":
            self._keep(args[0], args[1])
        elif event == "os.rename":
            self._keep(args[1], args[3])

    @staticmethod
    def was(path: Path) -> str:
        """Return where a kept file stood."""
        return unquote(path.name.split("-", 2)[2])

    def _keep(self, path: Any, folder_descriptor: int) -> None:
        if self.folder is None or getattr(self._here, "is_busy", False):
            return
        self._here.is_busy = True
        at = folder_descriptor if folder_descriptor >= 0 else None
        try:
            if stat.S_ISREG(os.stat(path, dir_fd=at, follow_symlinks=False).st_mode):
                folder = "" if at is None else os.readlink(f"/proc/self/fd/{at}")
                was = quote(str(Path(folder, os.fsdecode(path)).absolute()), safe="")
                # A process that this one forked keeps its removed files here too.
                name = f"{os.getpid()}-{next(self._numbers)}-{was[-_NAME_CHARS_MAX:]}"
                os.link(path, self.folder / name, src_dir_fd=at, follow_symlinks=False)
        except (OSError, NotImplementedError):
            # It is not there, on another disk, or the system gives no second name this way.
            return
        finally:
            self._here.is_busy = False


class Texts:
    """Lines that were said, each once, and where."""

    def __init__(self) -> None:
        self._where: dict[str, str] = {}

    def add(self, where: str, text: str) -> None:
        """Take every line of a text that was not said before."""
        for line in text.splitlines():
            self._where.setdefault(line, where)

    def lines(self) -> Iterator[tuple[str, bytes]]:
        """Yield every line with where it was said first."""
        for line, where in self._where.items():
            yield where, line.encode(errors="replace")

    def count(self) -> int:
        """Return how many lines there are."""
        return len(self._where)


class ProcessWatch:
    """Notes the command line and the environment of every process that came of this one, once a second.

    Args:
        texts: takes the notes.
        root: who has lost its parent belongs to this run when its environment names this folder.
    """

    def __init__(self, texts: Texts, root: Path) -> None:
        self._texts = texts
        self._root = str(root).encode()
        self._ended = threading.Event()
        self.is_away = False
        self._thread = threading.Thread(target=self._run, name="process-watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look once more and stop."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_EVERY_S):
            self._look()
        self._look()

    def _look(self) -> None:
        if self.is_away:
            return
        parents = {int(path.name): _parent_of(path) for path in Path("/proc").glob("[0-9]*")}
        ours = {os.getpid()}
        for process in parents:
            if self._is_ours(process, parents):
                ours.add(process)
        for process in ours:
            arguments, environment = _read(process, "cmdline"), _read(process, "environ")
            said = arguments.replace(b"\0", b" ").decode(errors="replace")
            for kind, content in (("argument", arguments), ("environment", environment)):
                for one in content.split(b"\0"):
                    self._texts.add(f"{kind} of the process '{said[:120]}'", one.decode(errors="replace"))

    def _is_ours(self, process: int, parents: dict[int, int]) -> bool:
        own = os.getpid()
        for _ in range(len(parents)):
            above = parents.get(process, 0)
            if own in (process, above):
                return True
            if above <= _INIT:
                return above == _INIT and self._root in _read(process, "environ")
            process = above
        return False


def _parent_of(folder: Path) -> int:
    # The name of the program is in brackets, and may hold anything; the parent is the second word after it.
    fields = _read(int(folder.name), "stat").rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0


def _read(process: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{process}/{name}").read_bytes()
    except OSError:
        # It has ended, or is another user's.
        return b""
