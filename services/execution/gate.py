"""The gate before the runtime has opened one: nothing leaves this process."""


class ClosedGate:
    """Refuses every order; the runtime replaces it with one that reads the arm record and the leases."""

    def refusal(self, *, reduces: bool) -> str | None:
        """Refuse, in words that say what kind of order waits."""
        return f"no lease: the runtime has not opened the gate for {'exits' if reduces else 'entries'}"

    def lapsed_ns(self) -> int:
        """Return the shortest lapse: there is no lease, and nobody knows since when."""
        return 1
