"""What tests of operators' commands share: the fields of every command, and the runtime's part over the journal."""

from collections.abc import Sequence
from typing import Any

from bus.messages import Message

COMMON: dict[str, Any] = {
    "ts_event": 1_700_000_900_000_000_000, "ts_init": 1_700_000_900_000_000_000, "command_id": "c1",
    "expires_boot_ns": 1, "operator": "olga", "receiver": "ledger", "halt_counter": 0, "reason": "for the test",
}  # fmt: skip


class Deciding:
    """The runtime's part, over the tests' journal."""

    def __init__(self, journal: Any) -> None:
        self._journal = journal

    @property
    def state(self) -> Any:
        return self._journal.state

    def decided(self, message: Message) -> Sequence[Message]:
        return self._journal.assembly.core.decide(self.state, message, COMMON["ts_init"])

    def follow(self, events: Sequence[Message]) -> None:
        for event in events:
            self._journal.assembly.shell.before_commit(event)
            self._journal.events.append(event)
            self._journal.state = self._journal.assembly.core.evolve(self._journal.state, event)
