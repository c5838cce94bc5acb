"""A service under supervisord ends when supervisord does: nobody could stop or restart it any more."""

import os
from collections.abc import Mapping
from typing import Final

#: supervisord sets this for its children (supervisor 4.3, subprocess environment).
_VARIABLE: Final = "SUPERVISOR_ENABLED"


class Parent:
    """The process that started this one; watched only where that is supervisord."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        values = os.environ if environment is None else environment
        self._pid = os.getppid() if values.get(_VARIABLE) else None

    def has_died(self) -> bool:
        """Tell whether supervisord is gone; always False for a service that was started by hand."""
        return self._pid is not None and os.getppid() != self._pid
