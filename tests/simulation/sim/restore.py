"""The fault that no delivery can mend: a service's file is put back from an older copy while the others go on."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sim.chain import Chain
from sim.host import MS, SECOND

from bus.messages import ServiceName, SubmitOrder
from bus.store import read_journal

_LATER_NS: Final = (500 * MS, 5 * SECOND)
#: Some die again at once, perhaps with new numbers that nobody has heard of yet.
_DIES_AGAIN: Final = 0.4
_AGAIN_NS: Final = (5 * MS, 1 * SECOND)


@dataclass
class Restore:
    """Copies the file of one service, and puts the copy back some seconds later.

    Args:
        chain: whose service.
        name: which one.
    """

    chain: Chain
    name: ServiceName
    #: The others have heard, or told, more than the copy knows: nobody may go on as if nothing had been.
    must_halt: bool = False
    is_done: bool = False
    #: What risk had approved before its journal was lost.
    approved: list[SubmitOrder] = field(default_factory=list)

    def begin(self, after_ns: int) -> None:
        self.chain.host.after(after_ns, f"copy {self.name}", self._copy)

    def _path(self, suffix: str = ".db") -> Path:
        return self.chain.paths.state / f"{self.name}{suffix}"

    def _copy(self) -> None:
        with closing(sqlite3.connect(self._path())) as live, closing(sqlite3.connect(self._path(".copy"))) as copy:
            live.backup(copy)
        self.chain.host.after(self.chain.host.between(*_LATER_NS), f"restore {self.name}", self._put_back)

    def _put_back(self) -> None:
        chain = self.chain
        self.approved = [m for m in read_journal(chain.paths.state / "risk.db") if isinstance(m, SubmitOrder)]
        chain.crash(self.name, "its file is put back", restarts=False)
        found = _contradictions(chain.paths.state, self.name, self._path(".copy"))
        self.must_halt = bool(found)
        for suffix in (".db-wal", ".db-shm"):
            self._path(suffix).unlink(missing_ok=True)
        shutil.copyfile(self._path(".copy"), self._path())
        self.is_done = True
        chain.host.note(f"restored {self.name}: {found}")
        chain.start(self.name)
        if chain.host.chance(_DIES_AGAIN):
            chain.host.after(chain.host.between(*_AGAIN_NS), "again", lambda: chain.crash(self.name, "again"))


def _contradictions(folder: Path, name: ServiceName, copy: Path) -> list[str]:
    """Return the streams in which the other end knows more than the copy."""
    sent, heard, _ = _figures(copy)
    found = []
    for path in folder.glob("*.db"):
        if path.stem == name:
            continue
        _, others_heard, others_acked = _figures(path)
        if others_heard.get(name, 0) > sent.get(path.stem, 0):
            found.append(f"{path.stem} has heard more")
        if others_acked.get(name, 0) > heard.get(path.stem, 0):
            found.append(f"{path.stem} has forgotten what was acknowledged")
    return found


def _figures(path: Path) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Return the newest number sent to each receiver, heard of each sender, and acknowledged by each receiver."""
    with closing(sqlite3.connect(path)) as db:
        sent = dict(db.execute("SELECT receiver, max(seq) FROM outbox GROUP BY receiver"))
        acked = dict(db.execute("SELECT receiver, seq FROM acked"))
        heard = dict(db.execute("SELECT sender, seq FROM cursor"))
    return {key: max(sent.get(key, 0), acked.get(key, 0)) for key in sent | acked}, heard, acked
