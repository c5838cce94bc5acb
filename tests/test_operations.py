"""The operator's page against the code: every state with its exact words, every halt rule, control file and field."""

import re
from pathlib import Path
from typing import get_args

import pytest

from bus import control
from bus.delivery import StopRule
from bus.halt import ArmRecord
from bus.lifecycle import BOT_MEANING, EFFECTS, HALTED_FLATTEN, MEANING, NO_LEASE
from bus.messages import ChainState
from bus.status_file import StatusRecord, StatusTimes

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
#: How a halt's rule is written in the code: the first argument of a halt, or of the message that is one.
RULE = re.compile(
    "|".join(
        (
            r"self\._halt\(\s*\"(\w+)\"",
            r"self\._stop\(\w+, \"(\w+)\"",
            r"ports\.raise_halt\(\s*\"(\w+)\"",
            r"raise_halt\(\w+, \"(\w+)\"",
            r"source=\"\w+\",\s*rule=\"(\w+)\"",
            r"found\.append\(\(\"([a-z_]+)\"",
            r"\[\(\"(\w+)\", detail\)\]",
            r"rule=\"(operator)\"",
            r"or \"(control_file)\"",
            r"return \"(\w+)\", f\"\{service\}",
        )
    )
)


@pytest.mark.parametrize("state", MEANING)
def test_a_state_of_the_chain_is_on_the_page_with_the_words_that_are_shown(state: ChainState) -> None:
    effects = [EFFECTS[state], *{"HALTED": [HALTED_FLATTEN], "ACTIVE": [NO_LEASE]}.get(state, [])]
    rows = [line for line in PAGE.splitlines() if line.startswith(f"| {state}")]
    assert MEANING[state] in rows[0]
    for said in effects:
        assert any(row.endswith(f"| {said.stopped} | {said.goes_on} |") for row in rows)


@pytest.mark.parametrize(("state", "meaning"), BOT_MEANING.items())
def test_a_state_of_the_bot_is_on_the_page(state: str, meaning: str) -> None:
    assert f"| {state} | {meaning} |" in PAGE.splitlines()


def test_every_rule_that_can_halt_is_on_the_page() -> None:
    sources = [path.read_text(encoding="utf-8") for part in ("bus", "services", "supervisor") for path in _files(part)]
    rules = {rule for text in sources for found in RULE.findall(text) for rule in found if rule}
    assert {
        "service_silent",
        "disk_full",
        "kill_file",
        "broker_failure",
        "operator",
        "poison_message",
        "unusable_store",
    } <= rules
    rules |= set(get_args(StopRule))
    assert sorted(rule for rule in rules - {"test"} if f"| `{rule}` |" not in PAGE) == []


def _files(part: str) -> list[Path]:
    return sorted((ROOT / part).rglob("*.py"))


def test_every_control_file_and_every_field_for_readers_outside_is_on_the_page() -> None:
    for name in (control.ARM_FILE, control.START_FILE, control.STOP_FILE, control.KILL_FILE):
        assert f"| `{name}` |" in PAGE
    for field in (*StatusRecord.__struct_fields__, *StatusTimes.__struct_fields__):
        assert f"`{field}`" in PAGE, field
    assert "expires" in ArmRecord.__struct_fields__
    assert "ARM_EXPIRES" in PAGE
