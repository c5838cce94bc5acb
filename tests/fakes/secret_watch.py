"""Watches a whole test run for secrets in the clear; one finding fails the run.

Each process that runs tests learns every secret as it comes to be: what a vault is given, the keys it makes, passwords
that are hashed, tokens that are drawn. When its tests are over it looks for all of them, and for the canaries, in

- every file that is left under its folder of temporary files, packed ones unpacked;
- every file that tests, or the code that they call, removed or replaced: a second name keeps it till then;
- what tests said and logged, failures and warnings included, and every page that the web interface answered;
- the command line and the environment of every process that came of it, looked at once a second.

Only ciphertext may hold them, and two kinds of files that nobody but their owner may read: keys of the vault, and
supervisord's configuration with the password of its socket.
"""

import os
import re
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from secret_search import Hit, Index
from secret_sources import Known, ProcessWatch, Spool, Texts

from config.paths import HomePaths
from config.vault import CURRENT_FILE, Vault, VaultError

_SPOOL: Final = "removed-files"
_REMOVED: Final = " (removed)"
_LINES_SAID_MAX: Final = 40
_MAY_HOLD: Final = re.compile(
    r"/(storage/keys/(backups/)?[^/]+\.key|run/supervisord\.(conf|\d+\.part))( \(removed\))?$"
)
#: A key of anybody else, such as a proxy's own for TLS, is no secret of the bot.
_GENERATION_KEY: Final = re.compile(r"/storage/keys/(backups/)?[^/]+\.key$")
_SUPERVISORD_PASSWORD: Final = re.compile(r"^password=(\S+)$", re.MULTILINE)
#: Where a new second factor is shown to the one who sets it up, until it is confirmed.
_SHOWN_ON_PURPOSE: Final = re.compile(r"or type the key: <code>\w+</code>")
_FINDINGS, _FIGURES = "secret_findings", "secret_figures"


class SecretWatch:
    """The plugin: one object in each process of the run."""

    NAME: Final = "secret_watch"

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._known, self._spool, self._texts = Known(), Spool(), Texts()
        self._patch = pytest.MonkeyPatch()
        self._root: Path | None = None
        self._processes: ProcessWatch | None = None
        self._planters: set[str] = set()
        self._planted: list[str] = []
        self._is_planting = self._hears_pages = False
        self.findings: list[str] = []
        self.figures: list[str] = []
        self._known.learn(self._patch)
        sys.addaudithook(self._spool.hear)

    def begin(self, root: Path) -> None:
        """Watch from now on; `root` is where this process's tests have their temporary files."""
        self._root = root
        (root / _SPOOL).mkdir()
        self._processes = ProcessWatch(self._texts, root)
        # It is set up within the first test.
        self._look_away(away=self._is_planting)
        self._processes.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Look away from a test that puts a secret where none may be, to see that nobody is shown it."""
        self._is_planting = item.get_closest_marker("plants_a_secret") is not None
        if self._is_planting:
            self._look_away(away=True)
            self._planters.add(item.nodeid)
        self._hear_pages()
        result = yield
        if self._is_planting:
            self._look_away(away=False)
            self._is_planting = False
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        """Remember the folder of a test that plants a secret."""
        if self._is_planting and isinstance(item, pytest.Function):
            self._planted += [str(one) for one in item.funcargs.values() if isinstance(one, Path)]
            self._planted += [str(one.root) for one in item.funcargs.values() if isinstance(one, HomePaths)]
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a test said and logged, and what is said of its failure."""
        if report.nodeid not in self._planters:
            for name, text in report.sections:
                self._texts.add(f"{name} of {report.nodeid}", text)
            self._texts.add(f"failure of {report.nodeid}", report.longreprtext)

    def pytest_warning_recorded(self, warning_message: Any, nodeid: str) -> None:
        """Keep what a warning says."""
        self._texts.add(f"warning of {nodeid}", str(warning_message.message))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take what a worker of several has found."""
        told = getattr(node, "workeroutput", {})
        self.findings += told.get(_FINDINGS, [])
        self.figures += told.get(_FIGURES, [])

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Look for everything, and let the run fail where something is found."""
        self._spool.folder = None
        self._patch.undo()
        if self._root is not None and self._processes is not None:
            self._processes.stop()
            self._search(self._root)
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput.update({_FINDINGS: self.findings, _FIGURES: self.figures})
        elif self.findings:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say where secrets were found, or that none was."""
        for figure in self.figures:
            terminalreporter.write_line(figure)
        if self.findings:
            terminalreporter.section("SECRETS IN THE CLEAR", red=True)
            for finding in self.findings[:_LINES_SAID_MAX]:
                terminalreporter.write_line(finding)
            terminalreporter.write_line(f"{len(self.findings)} places, none may be")

    def _look_away(self, *, away: bool) -> None:
        if self._root is not None and self._processes is not None:
            self._spool.folder = None if away else self._root / _SPOOL
            self._processes.is_away = away

    def _hear_pages(self) -> None:
        if not self._hears_pages and "services.web.app" in sys.modules:
            from flask import Response, request, request_finished

            def answered(_app: object, response: Response, **_more: object) -> None:
                # Streams and files that are passed on are not pages; the files are searched where they are.
                if self._is_planting or response.is_streamed:
                    return
                page = response.get_data().decode(errors="replace")
                if request.path.startswith("/account"):
                    page = _SHOWN_ON_PURPOSE.sub("", page)
                self._texts.add(f"page {request.path}", page)

            request_finished.connect(answered, weak=False)
            self._hears_pages = True

    def _search(self, root: Path) -> None:
        begin = time.monotonic()
        files = {path: self._name_of(path) for path in _files(root)}
        self._learn_from_homes(files)
        index, counted = Index(self._known.names), [0, 0]
        for where, hit in index.search(self._texts.lines()):
            self._found(where, hit)
        for where, hit in index.search(self._contents(files, counted)):
            self._found(where.removeprefix(f"{root}/"), hit)
        self.figures.append(
            f"secrets: {len(self._known.names)} looked for in {counted[0]} files of {counted[1] >> 20} MiB and in "
            f"{self._texts.count()} lines of logs, pages and processes in {time.monotonic() - begin:.1f} s"
        )

    def _name_of(self, path: Path) -> str:
        return f"{Spool.was(path)}{_REMOVED}" if _SPOOL in path.parts else str(path)

    def _contents(self, files: dict[Path, str], counted: list[int]) -> Iterator[tuple[str, bytes]]:
        """Yield what is to be searched, and count files and bytes."""
        for path, name in files.items():
            content, mode = _content(path)
            is_allowed = _MAY_HOLD.search(name) is not None and not mode & 0o077
            if not is_allowed and not name.startswith(tuple(self._planted)):
                counted[0] += 1
                counted[1] += len(content)
                yield name, content

    def _found(self, where: str, hit: Hit) -> None:
        for secret in self._known.names:
            # A command line says where it was found, and is what was found.
            where = where.replace(secret, "[masked]")
        finding = f"{where}: at byte {hit.offset} the {hit.secret}, {hit.form}"
        if finding not in self.findings:
            self.findings.append(finding)

    def _learn_from_homes(self, files: dict[Path, str]) -> None:
        """Take the keys and secrets that other processes made: of every home that is left, or was."""
        for path, whole_name in files.items():
            name = whole_name.removesuffix(_REMOVED)
            if _GENERATION_KEY.search(name):
                self._known.add(_content(path)[0].decode(errors="replace").strip(), "key of a generation")
            elif name.endswith("/run/supervisord.conf"):
                for password in _SUPERVISORD_PASSWORD.findall(_content(path)[0].decode(errors="replace")):
                    self._known.add(password, "password of supervisord")
            elif name.endswith(f"/storage/secrets/{CURRENT_FILE}") and _SPOOL not in path.parts:
                try:
                    self._known.add_all(Vault(HomePaths(path.parents[2])).open())
                except VaultError:
                    # A test has damaged it.
                    continue


def _files(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def _content(path: Path) -> tuple[bytes, int]:
    try:
        return path.read_bytes(), path.stat().st_mode
    except OSError:
        # A test has taken its rights away, or a process that still ends has removed it.
        return b"", 0
