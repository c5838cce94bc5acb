"""Sees from outside when the broker took each order, on the boot clock: it reads the broker's books again and again."""

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

from bus.clock import boot_ns

_EVERY_S = 0.005
_NEW = "SELECT seq, client_order_id FROM orders WHERE seq > ? ORDER BY seq"


class Witness:
    """A thread that notes each new order with the moment at which it was first there; never earlier than it was."""

    def __init__(self, books: Path) -> None:
        self.seen_ns: dict[str, int] = {}
        self._uri = f"{books.resolve().as_uri()}?mode=ro"
        self._last = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look once more, then end."""
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.is_set():
            try:
                with closing(sqlite3.connect(self._uri, uri=True)) as db:
                    while not self._end.is_set():
                        self._look(db)
                        time.sleep(_EVERY_S)
                    self._look(db)
            except sqlite3.OperationalError:
                # Not there yet, or just being recovered after a kill.
                time.sleep(_EVERY_S)

    def _look(self, db: sqlite3.Connection) -> None:
        for seq, client_order_id in db.execute(_NEW, (self._last,)).fetchall():
            self._last = seq
            self.seen_ns[client_order_id] = boot_ns()
