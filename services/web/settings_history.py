"""Who changed which setting or credential when: read from the audit log, which is the only place that says so."""

from collections.abc import Mapping, Sequence
from typing import Final

from config.settings_change import Change
from services.web.audit_log import AuditFilter, Row
from services.web.site import site

SETTING_CHANGED: Final = "setting_changed"
CREDENTIAL_CHANGED: Final = "credential_changed"
#: How far back the pages look; the page of the audit log has everything.
ROWS_MAX: Final = 1000
#: What stands for a setting that is not there.
NONE_WORDS: Final = "(not set)"


def record_changes(changes: Sequence[Change], generation: int, reason: str) -> None:
    """Put one row for each changed setting into the audit log, and one for the whole with its reason."""
    audit = site().audit
    for change in changes:
        audit.record(SETTING_CHANGED, change.key, before=shown(change.old), after=shown(change.new))
    audit.record("settings_saved", f"generation {generation}", after=f"{len(changes)} changed: {reason}")


def shown(value: str | None) -> str:
    """Return a value as it is shown: an empty one and a missing one are told apart."""
    if value is None:
        return NONE_WORDS
    return value or "(empty)"


def newest(action: str) -> Mapping[str, Row]:
    """Return the newest change of each subject.

    Raises:
        AuditError: the log cannot be read.
    """
    found: dict[str, Row] = {}
    for row in site().audit.log.rows(AuditFilter(action=action), limit=ROWS_MAX):
        found.setdefault(row.subject, row)
    return found


def history(key: str = "") -> list[Row]:
    """Return the changes of one setting, or of all, newest first.

    Raises:
        AuditError: the log cannot be read.
    """
    rows = site().audit.log.rows(AuditFilter(action=SETTING_CHANGED, text=key), limit=ROWS_MAX)
    return [row for row in rows if not key or row.subject == key]
