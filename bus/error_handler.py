"""Critical runtime errors: whatever a service did not expect halts the chain, then the process ends."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from bus.control import ControlFolder
from bus.messages import ServiceName
from bus.store import StoreError
from config.paths import HomePaths

logger = logging.getLogger(__name__)


@contextmanager
def halting_on_error(service: ServiceName, paths: HomePaths) -> Iterator[None]:
    """Raise a halt for any unhandled error inside, log it with its traceback, and pass it on.

    While a halt for an error of this service stands, further ones are logged only: a service that crashes at each
    start does not bury the first record.
    """
    try:
        yield
    except Exception as error:
        logger.exception("critical error in %s: the chain halts", service)
        try:
            rule, words = _told(service, error)
            ControlFolder(paths).raise_halt_once(service, rule, words, is_for_source=True)
        except OSError:
            # The process ends next, its heartbeats and leases stop, and the watchdog halts the chain for that.
            logger.exception("the halt of %s could not be written", service)
        raise


def _told(service: ServiceName, error: Exception) -> tuple[str, str]:
    """Return rule and detail; a file that cannot be used says in words of its own what to do."""
    if isinstance(error, StoreError):
        return "unusable_store", f"{service}: {error}"
    return "critical_error", f"{service}: {type(error).__name__}: {error}"
