"""The place of the web interface on the cores that it shares with the chain: behind it."""

import os
from typing import Final

#: As far as the tasks after the close (supervisor/after_close.py) go back. Anybody may lower themselves so far.
NICENESS: Final = 10


def stand_behind_the_chain() -> None:
    """Let the chain's processes have the cores first: pages may wait for some milliseconds, orders may not.

    Threads and processes that are started later stand there too. There is no way back without special rights, which
    the bot does not have. Where there is SCHED_BATCH (Linux), waking up for a page does not interrupt anybody either.
    """
    os.nice(NICENESS)
    if hasattr(os, "sched_setscheduler") and hasattr(os, "SCHED_BATCH"):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
