"""The fields of settings in a form and what is wrong with them, for the first configuration and every later change."""

from collections.abc import Mapping
from itertools import groupby

from flask import request

from config import env_bot
from config.credentials import needs_of
from config.env_bot_settings import SETTINGS, Setting
from config.identity import Identity

#: Faults by the field they belong to; "" = to none alone.
Faults = dict[str, list[str]]


def groups() -> list[tuple[str, list[Setting]]]:
    """Return the table as the form shows it: groups with their settings."""
    return [(name, list(found)) for name, found in groupby(SETTINGS, key=lambda setting: setting.group)]


def typed_settings() -> dict[str, str]:
    """Return the settings in the form; one that is not in it is not in the answer."""
    return {key: request.form[key].strip() for key in env_bot.BY_KEY if key in request.form}


def setting_faults(settings: Mapping[str, str]) -> Faults:
    """Return everything that is wrong with a whole set of settings, each next to its field."""
    faults: Faults = {}
    try:
        env_bot.parse(settings)
    except env_bot.SettingsError as error:
        for fault in error.faults:
            key = fault.split(" ", 1)[0]
            faults.setdefault(key if key in env_bot.BY_KEY else "", []).append(fault)
    return faults


def broker_fault(settings: Mapping[str, str], identity: Identity) -> str:
    """Return how the broker's name in the identity contradicts BROKER_NAME; empty where it does not."""
    broker, code = settings.get("BROKER_NAME", ""), identity.broker_code
    # A BROKER_NAME that is no broker has a fault of its own.
    if broker in env_bot.BY_KEY["BROKER_NAME"].choices and code != broker:
        return f"broker_code is '{code}': it must be BROKER_NAME, {broker}"
    return ""


def unmet_needs(settings: Mapping[str, str], kept: Mapping[str, str]) -> Faults:
    """Return which settings name a provider whose credentials are not kept, next to those settings."""
    faults: Faults = {}
    for need in needs_of(settings, kept):
        if not all(kept.get(name) for name in need.credentials):
            faults.setdefault(need.setting, []).append(f"{need.words}: enter it on the page of credentials first")
    return faults
