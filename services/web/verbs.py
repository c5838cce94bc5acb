"""What the web interface does from the command line, without serving anybody: `python -m services.web verify-audit`."""

import sys
from collections.abc import Callable, Mapping
from typing import Final

from config.paths import HomePaths
from services.web.audit_log import AuditError, AuditLog

EXIT_OK, EXIT_FAULT = 0, 1


def verify_audit(paths: HomePaths) -> int:
    """Check the whole chain of the audit log; name the first row that is not as it was written, and exit 1."""
    log = AuditLog(paths)
    try:
        verdict = log.verify()
    except AuditError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FAULT
    if verdict.fault:
        sys.stderr.write(
            f"{log.path}: {verdict.fault}. The {verdict.rows} rows before it are as they were written. "
            "Keep this file as it is, and compare it with the newest backup.\n"
        )
        return EXIT_FAULT
    sys.stdout.write(f"{log.path}: {verdict.rows} rows, every one as it was written.\n")
    return EXIT_OK


VERBS: Final[Mapping[str, Callable[[HomePaths], int]]] = {"verify-audit": verify_audit}
