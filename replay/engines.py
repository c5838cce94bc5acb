"""Where a sweep's combinations are played: on this machine's cores, or on a Dask cluster that is there already."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib import import_module
from multiprocessing import get_context
from typing import Any

from replay.faults import ReplayError
from replay.sweep import Job, Verdict, evaluate

Engine = Callable[[Sequence[Job]], Iterator[tuple[Job, Verdict]]]
_CONNECT_S = 20


def on_this_machine(workers: int = 0) -> Engine:
    """Return an engine of so many processes; 0 = one for each core. Each is started anew, so nothing is inherited."""

    def run(jobs: Sequence[Job]) -> Iterator[tuple[Job, Verdict]]:
        count = min(workers or os.cpu_count() or 1, len(jobs))
        pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"))
        try:
            waiting = {pool.submit(evaluate, job): job for job in jobs}
            for done in as_completed(waiting):
                error = done.exception()
                yield waiting[done], _failed(waiting[done], error) if error else done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    return run


def on_cluster(address: str) -> Engine:
    """Return an engine on the Dask cluster whose scheduler has this address, such as tcp://10.0.0.1:8786.

    Its workers need this program, and the data under the same path. What a combination leaves is only its figures.
    """

    def run(jobs: Sequence[Job]) -> Iterator[tuple[Job, Verdict]]:
        try:
            dask: Any = import_module("distributed")
        except ImportError as fault:
            raise ReplayError("--scheduler needs Dask: install it with pip install '.[sweep]'.") from fault
        try:
            client = dask.Client(address, timeout=_CONNECT_S)
        except (OSError, ValueError) as fault:
            raise ReplayError(f"No Dask scheduler answers at {address}: {fault}. Start one, or correct it.") from fault
        try:
            waiting = {client.submit(evaluate, job, key=f"replay-{job.key}", pure=False): job for job in jobs}
            for done in dask.as_completed(waiting):
                error = done.exception()
                yield waiting[done], _failed(waiting[done], error) if error else done.result()
        finally:
            client.close()

    return run


def _failed(job: Job, error: BaseException) -> Verdict:
    return Verdict(combination=job.combination, error=f"{type(error).__name__}: {error}"[:400])
