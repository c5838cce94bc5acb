"""Interactive Brokers' adapter on ib_insync, for the cards."""

from contextlib import AbstractContextManager
from pathlib import Path

from conformance.ibkr_rig import made
from conformance.rig import Rig


def make(folder: Path) -> AbstractContextManager[Rig]:
    """Give a rig whose file lies in this folder."""
    return made(folder, "ib_insync")
