"""Which processes the chain was armed with: a chain of other processes than those never trades by itself.

Kept in `run/boots.json`, because the watchdog may itself be one of those that were started anew.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from bus.halt import ArmRecord
from bus.messages import ServiceName

logger = logging.getLogger(__name__)
BOOTS_FILE: Final = "boots.json"


class Boots(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The permission that was given, and the processes (service -> boot id) that it was given to."""

    armed: str
    boots: dict[ServiceName, str]


class BootBook:
    """Compares the running processes with those that the standing permission was given to.

    Args:
        folder: the run folder.
        services: the services that count.
    """

    def __init__(self, folder: Path, services: tuple[ServiceName, ...]) -> None:
        self._path = folder / BOOTS_FILE
        self._services = services
        self._known = _read(self._path)
        self._before: str | None = None
        self._compared: str | None = None

    def begin(self, arm: ArmRecord | None) -> None:
        """Note the permission that stood when this process started: nobody saw to whom it was given, but the file."""
        self._before = _name_of(arm) if arm else None

    def strangers(self, arm: ArmRecord, boots: Mapping[ServiceName, str]) -> tuple[ServiceName, ...]:
        """Return the services heard as other processes than the chain was armed with; a new permission is noted.

        Args:
            arm: the standing permission.
            boots: the boot id of each service that is alive.
        """
        name = _name_of(arm)
        if self._known.armed != name:
            if name == self._before:
                # Given before this process started, and not to the processes that the file tells of.
                return self._services
            self._keep(Boots(armed=name, boots={**boots}))
        known = self._known.boots
        strangers = tuple(service for service, boot_id in boots.items() if known.get(service, boot_id) != boot_id)
        if strangers:
            self._compared = None
            return strangers
        if any(service not in known for service in boots):
            # Armed before all services were up: those that come later belong to it as well.
            self._keep(Boots(armed=name, boots={**boots, **known}))
        if len(boots) == len(self._services):
            self._compared = name
        return ()

    def refusal(self, arm: ArmRecord | None) -> str | None:
        """Return why it is not known yet that the chain is the one that was armed; None when it is."""
        if arm is not None and self._compared == _name_of(arm):
            return None
        return "it is not known yet whether these are the processes the chain was armed with"

    def _keep(self, boots: Boots) -> None:
        self._known = boots
        part = self._path.with_name(f".{self._path.name}.part")
        try:
            part.write_bytes(msgspec.json.encode(boots))
            os.replace(part, self._path)
        except OSError as error:
            # Without the file a restart of the watchdog asks for an operator: that is the safe side.
            logger.warning("%s cannot be written: %s", self._path, error)


def _name_of(arm: ArmRecord) -> str:
    return f"{arm.armed_at_utc} {arm.operator} {arm.halt_counter}"


def _read(path: Path) -> Boots:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Boots)
    except (OSError, msgspec.MsgspecError):
        return Boots(armed="", boots={})
