"""The named points around what execution asks of the broker; see bus/failpoints.py."""

from typing import Final

from bus.failpoints import Failpoint

SUBMIT: Final = Failpoint("execution.submit")
CANCEL: Final = Failpoint("execution.cancel")
LOOKUP: Final = Failpoint("execution.lookup")
RECONCILE: Final = Failpoint("execution.reconcile")
FILLS: Final = Failpoint("execution.fills")
DRAIN: Final = Failpoint("execution.drain")
ACCOUNT: Final = Failpoint("execution.account")
ASSETS: Final = Failpoint("execution.assets")
DROP_COPY: Final = Failpoint("execution.drop_copy")
FINISH: Final = Failpoint("execution.finish")

FAILPOINTS: Final[tuple[str, ...]] = (
    "execution.submit",
    "execution.cancel",
    "execution.lookup",
    "execution.reconcile",
    "execution.fills",
    "execution.drain",
    "execution.account",
    "execution.assets",
    "execution.drop_copy",
    "execution.finish",
)
