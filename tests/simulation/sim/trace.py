"""A seed told to a person: what every service logs, and what happens to it, with the simulated time in front."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sim.chain import Chain
from sim.host import SECOND

_START_NS = 3_600 * SECOND


class _Teller(logging.Handler):
    def __init__(self, chain: Chain) -> None:
        super().__init__()
        self._chain = chain

    def emit(self, record: logging.LogRecord) -> None:
        who = self._chain.running.name if self._chain.running else "host"
        at = (self._chain.host.boot_ns() - _START_NS) / SECOND
        sys.stdout.write(f"{at:9.4f} {who:10} {record.getMessage()[:400]}\n")


@contextmanager
def quiet() -> Iterator[None]:
    """Let nothing be logged inside the block: formatting lines that nobody reads would be most of a run."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def told(chain: Chain) -> Iterator[None]:
    """Write everything that is logged inside the block to stdout."""
    root, teller = logging.getLogger(), _Teller(chain)
    level, root.level = root.level, logging.INFO
    logging.disable(logging.NOTSET)
    root.addHandler(teller)
    note = chain.host.note

    def tell(text: str) -> None:
        if text.split(maxsplit=1)[0] not in _QUIET and ">" not in text:
            logging.getLogger("host").info("* %s", text)
        note(text)

    chain.host.note = tell  # type: ignore[method-assign]  # the notes are told as well
    try:
        yield
    finally:
        root.removeHandler(teller)
        root.setLevel(level)


_QUIET = {"screener", "strategy", "risk", "execution", "ledger", "watchdog", "operator", "trouble", "slow", "rest"}
