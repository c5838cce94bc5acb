"""Worker processes of a bench: started fresh, asked over a pipe, placed on cores from outside, always ended."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

ANSWER_TIMEOUT_S: Final = 60
_JOIN_S: Final = 3
SPAWN: Final = multiprocessing.get_context("spawn")


class WorkerError(Exception):
    """A worker ended or did not answer; the message says which."""


class Worker:
    """One process; `ask` runs a round in it.

    Args:
        target: called in the process as target(connection, *arguments).
        arguments: what it needs; no sockets, which do not survive the way.
    """

    def __init__(self, target: Callable[..., None], arguments: Sequence[Any]) -> None:
        self._ours, theirs = SPAWN.Pipe()
        self.process: BaseProcess = SPAWN.Process(target=target, args=(theirs, *arguments), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, what: str, count: int) -> list[float]:
        """Run `count` of `what` in the worker and return its figures.

        Raises:
            WorkerError: it ended, or takes longer than ANSWER_TIMEOUT_S.
        """
        try:
            self._ours.send((what, count))
            if self._ours.poll(ANSWER_TIMEOUT_S):
                return list(self._ours.recv())
        except (EOFError, BrokenPipeError) as error:
            raise WorkerError(f"The worker for {what} ended; its words are above.") from error
        raise WorkerError(f"The worker for {what} did not answer in {ANSWER_TIMEOUT_S} s.")

    def end(self) -> None:
        """End the process, by force if it must be."""
        self.process.terminate()
        self.process.join(_JOIN_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class Crew:
    """All workers of one bench; leaving the `with` ends them."""

    def __init__(self) -> None:
        self._workers: list[Worker] = []

    def start(self, target: Callable[..., None], *arguments: Any) -> Worker:
        """Start one worker."""
        worker = Worker(target, arguments)
        self._workers.append(worker)
        return worker

    def place(self, cores: set[int]) -> None:
        """Let every thread of every worker run on these cores only."""
        for worker in self._workers:
            for task in Path(f"/proc/{worker.process.pid}/task").iterdir():
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(int(task.name), cores)

    def __enter__(self) -> Self:
        """Begin without workers."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every worker."""
        for worker in self._workers:
            worker.end()


def placements() -> dict[str, set[int]]:
    """Return the ways to place workers, by name: all on one core, and free; only free where cores cannot be chosen."""
    if not hasattr(os, "sched_setaffinity"):
        return {"free": set()}
    cores = os.sched_getaffinity(0)
    return {"one core": {max(cores)}, "free": cores}


def serve(connection: Connection, rounds: dict[str, Callable[[int], list[float]]]) -> None:
    """Answer rounds until the bench ends."""
    while True:
        try:
            what, count = connection.recv()
        except EOFError:
            return
        connection.send(rounds[what](count))
