"""A service outlives its terminal, not its supervisord."""

import os

import pytest

from bus.orphan import Parent


def test_a_service_when_supervisord_is_gone_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = Parent({"SUPERVISOR_ENABLED": "1"})
    assert not parent.has_died()
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert parent.has_died()


def test_a_service_when_started_by_hand_has_no_parent_to_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = Parent({})
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert not parent.has_died()
