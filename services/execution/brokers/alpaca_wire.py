"""Requests to Alpaca that end: one worker thread, a deadline, and a last question before the first byte is written.

alpaca-py's client knows the hosts, the version and the headers. Its own sending is replaced, because it sets no
time-out, sleeps between tries of its own, and sends an order again after a 504 (alpaca-py 0.44, common/rest.py).

A request is in one of three states, changed under one lock: it waits, it was called off, or its bytes are being
written. Whoever gives up on a request that still waits has called it off, so a slow connection never sends an order
late; whoever gives up on one that was written does not know what became of it.

How narrow the last gap is: the connection, TLS included, stands before the gate is asked. Between the gate's answer
and the system call that takes the bytes lies the joining of the headers in memory, some ten microseconds, and no wait.
"""

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import requests
import urllib3
from alpaca.trading.client import TradingClient
from msgspec import Struct
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from bus.clock import NS_PER_SECOND, boot_ns

#: How long a connection may take. Source: the project's rule for every order: connect 1 s, total 3 s, no redirects.
CONNECT_NS_MAX: Final = NS_PER_SECOND
#: The caller breathes at least this often while it waits, in seconds.
SLICE_S: Final = 0.01
#: The list of all assets is about 6 MB; nothing else comes near it.
BODY_BYTES_MAX: Final = 32 * 1024 * 1024
#: So many workers may still be stuck in a request that was given up before nothing more is asked.
STUCK_MAX: Final = 4
#: What a path of the next version begins with.
BETA: Final = "v2beta1"
BETA_PATH: Final = f"/{BETA}"
_CHUNK_BYTES: Final = 65_536

Permit = Callable[[], str | None]


class UnsentError(Exception):
    """Not one byte of the request was written, and none will be."""


class RefusedError(UnsentError):
    """The permit was refused at the last moment."""


class LostError(Exception):
    """The request was written, at least in part, and there is no answer to it."""


class Answer(Struct, frozen=True, kw_only=True):
    """What the server said; the names of `headers` are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Question(Struct, frozen=True, kw_only=True):
    """One request. `permit` is asked right before it is written: None, or in words why it may not be."""

    method: str
    path: str
    data: dict[str, Any] | None = None
    permit: Permit = lambda: None

    @property
    def is_beta(self) -> bool:
        """Tell whether its path is of the interface's next version; all others are of the present one."""
        return self.path.startswith(BETA_PATH)


class _Job:
    """A question on its way: `waits`, `called off`, `refused` or `written`."""

    def __init__(self, question: Question, deadline_ns: int) -> None:
        self.question = question
        self.deadline_ns = deadline_ns
        self.done = threading.Event()
        self.answer: Answer | None = None
        self.words = ""
        self._lock = threading.Lock()
        self._state = "waits"

    @property
    def left_s(self) -> float:
        """Return the seconds until the deadline."""
        return max(0.001, (self.deadline_ns - boot_ns()) / NS_PER_SECOND)

    def begin_write(self) -> None:
        """Ask the permit and note that the bytes go out now; once only, whatever the library would like to repeat."""
        with self._lock:
            if self._state != "waits":
                raise UnsentError(f"the request {self._state} already")
            words = self.question.permit()
            if words is not None:
                self._state = "was refused"
                raise RefusedError(words)
            self._state = "was written"

    def call_off(self) -> bool:
        """Give up; True when nothing was written, and then nothing will be."""
        with self._lock:
            if self._state == "waits":
                self._state = "was called off"
            return self._state != "was written"

    def error(self) -> Exception:
        """Return what went wrong, by whether anything was written."""
        with self._lock:
            match self._state:
                case "was refused":
                    return RefusedError(self.words)
                case "was written":
                    return LostError(self.words)
                case _:
                    return UnsentError(self.words)


_here = threading.local()


class _GuardedConnection(HTTPConnection):
    """Connects first, then asks whether it may write."""

    def endheaders(self, message_body: Any = None, *, encode_chunked: bool = False) -> None:
        if self.sock is None:
            self.connect()
        _here.job.begin_write()
        super().endheaders(message_body, encode_chunked=encode_chunked)


class _GuardedTlsConnection(HTTPSConnection):
    """The same over TLS."""

    def endheaders(self, message_body: Any = None, *, encode_chunked: bool = False) -> None:
        if self.sock is None:
            self.connect()
        _here.job.begin_write()
        super().endheaders(message_body, encode_chunked=encode_chunked)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _GuardedConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedTlsConnection


class _Guarded(HTTPAdapter):
    """Sets the time-outs that are left, repeats nothing, and guards the first byte."""

    def __init__(self) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def send(self, request: Any, **options: Any) -> Any:  # type: ignore[override]  # all options are handed on
        left_s = _here.job.left_s
        options["timeout"] = (min(CONNECT_NS_MAX / NS_PER_SECOND, left_s), left_s)
        options["stream"] = True
        return super().send(request, **options)


class _Client(TradingClient):
    """alpaca-py's client with its sending replaced: one try, and the answer as it came."""

    def __init__(self, keys: tuple[str, str], url: str) -> None:
        super().__init__(*keys, url_override=url)
        self._retry = 0
        # Proxies, .netrc and certificates named by the environment would send the keys elsewhere.
        self._session.trust_env = False
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, _Guarded())

    def ask(self, question: Question) -> Answer:
        """Ask once; GET and DELETE carry their data in the address, the others as JSON."""
        version, path = (BETA, question.path.removeprefix(BETA_PATH)) if question.is_beta else (None, question.path)
        answer: Any = self._request(question.method, path, question.data, api_version=version)
        if not isinstance(answer, Answer):
            raise UnsentError("the library did not ask")
        return answer

    def _one_request(self, method: str, url: str, opts: Any, retry: int) -> Any:
        del retry
        with self._session.request(method, url, **opts) as response:
            body = bytearray()
            for chunk in response.iter_content(_CHUNK_BYTES):
                body += chunk
                if len(body) > BODY_BYTES_MAX or boot_ns() > _here.job.deadline_ns:
                    raise requests.exceptions.ReadTimeout("the answer is too long, or too slow")
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answer(status=response.status_code, headers=headers, body=bytes(body))

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._session.close()


class _Worker:
    """A thread that asks one question at a time."""

    def __init__(self, client: _Client) -> None:
        self._client = client
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, name="alpaca-http", daemon=True)
        self.thread.start()

    def put(self, job: _Job) -> None:
        """Take a job."""
        self._jobs.put(job)

    def retire(self) -> None:
        """End after what is being done; nothing that still waits is written any more."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            _here.job = job
            try:
                job.answer = self._client.ask(job.question)
            except (UnsentError, requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                job.words = str(error) if isinstance(error, UnsentError) else type(error).__name__
            finally:
                job.done.set()
        self._client.close()


class Wire:
    """Asks Alpaca, one question at a time, from one thread.

    Args:
        keys: the key id and its secret; neither is in any log, message or `repr`.
        url: the host, with its scheme.
    """

    def __init__(self, keys: tuple[str, str], url: str) -> None:
        self._keys = keys
        self._url = url
        self._worker: _Worker | None = None
        self._stuck: list[_Worker] = []

    def __repr__(self) -> str:
        """Return the host alone."""
        return f"Wire({self._url})"

    def ask(self, question: Question, deadline_ns: int, breathe: Callable[[], None]) -> Answer:
        """Ask, and breathe until the answer is there; `deadline_ns` is boot time.

        Raises:
            RefusedError: its permit was refused; nothing was written.
            UnsentError: nothing was written, for another reason.
            LostError: it was written and there is no whole answer.
        """
        if boot_ns() >= deadline_ns:
            raise UnsentError("there is no time left for it")
        job = _Job(question, deadline_ns)
        self._ready().put(job)
        try:
            while not job.done.wait(min(SLICE_S, job.left_s)) and boot_ns() < deadline_ns:
                breathe()
        finally:
            if not job.done.is_set():
                self._give_up(job)
        if job.answer is not None:
            return job.answer
        raise job.error()

    def close(self) -> None:
        """End the worker after what it is doing, and wait for it briefly."""
        if self._worker is not None:
            self._worker.retire()
            self._worker.thread.join(1.0)
            self._worker = None

    def _give_up(self, job: _Job) -> None:
        job.words = "no answer in time"
        job.call_off()
        if self._worker is not None:
            self._worker.retire()
            self._stuck.append(self._worker)
            self._worker = None

    def _ready(self) -> _Worker:
        self._stuck = [worker for worker in self._stuck if worker.thread.is_alive()]
        if len(self._stuck) >= STUCK_MAX:
            raise UnsentError(f"{len(self._stuck)} requests before it have not ended yet")
        if self._worker is None:
            self._worker = _Worker(_Client(self._keys, self._url))
        return self._worker
