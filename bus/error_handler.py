"""Critical runtime errors: whatever a service did not expect halts the chain, then the process ends."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from bus.control import ControlFolder
from bus.messages import ServiceName
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
            words = f"{service}: {type(error).__name__}: {error}"
            ControlFolder(paths).raise_halt_once(service, "critical_error", words, is_for_source=True)
        except OSError:
            # The process ends next, its heartbeats and leases stop, and the watchdog halts the chain for that.
            logger.exception("the halt of %s could not be written", service)
        raise
