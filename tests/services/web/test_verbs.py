"""Commands of the web interface: what they say, what they change, and that a mistake changes nothing."""

from collections.abc import Sequence

import pytest

from bus.clock import utc_ns
from config.bootstrap_token import BootstrapToken
from config.paths import HomePaths
from config.vault import Vault
from services.web.audit_log import AuditFilter, AuditLog
from services.web.verbs import VERBS


def run(home: HomePaths, *words: str) -> int:
    arguments: Sequence[str] = words[1:]
    return VERBS[words[0]](home, arguments)


def test_token_when_asked_for_then_is_good_once_shown_and_the_one_before_is_not(
    home: HomePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(home, "bootstrap-token") == 0
    first = capsys.readouterr().out.split()[-1]
    assert run(home, "bootstrap-token") == 0
    second = capsys.readouterr().out.split()[-1]
    token = BootstrapToken(home, utc_ns)
    assert (token.state_of(first), token.state_of(second)) == ("wrong", "good")


def test_token_when_the_bot_is_configured_then_there_is_none(
    configured: HomePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(configured, "bootstrap-token") == 1
    assert "configured already" in capsys.readouterr().err


def test_secrets_when_the_key_is_lost_then_a_copy_is_listed_and_restored(
    configured: HomePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Vault(configured).open()
    (configured.keys / "g000001.key").unlink()
    assert run(configured, "list-secrets") == 0
    assert capsys.readouterr().out == "g000001  opens\n"
    assert run(configured, "restore-secrets", "g000001") == 0
    assert "Generation g000002 is in force" in capsys.readouterr().out
    after = Vault(configured).open()
    assert (after.users, after.settings) == (before.users, before.settings)
    (row,) = AuditLog(configured).rows(AuditFilter())
    assert (row.action, row.subject, row.after, row.request) == (
        "secrets_restored",
        "g000001",
        "g000002",
        "command",
    )


def test_secrets_when_a_copy_is_damaged_then_the_list_and_the_restore_say_so(
    configured: HomePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    path = configured.secrets_backups / "g000001" / "users.enc"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert run(configured, "list-secrets") == 0
    assert "users.enc is not what MANIFEST says" in capsys.readouterr().out
    assert run(configured, "restore-secrets", "1") == 1
    assert "Nothing was changed" in capsys.readouterr().err
    assert Vault(configured).generation() == 1


@pytest.mark.parametrize("words", [(), ("g1", "g2"), ("../g1",), ("one",), ("",)])
def test_restore_when_called_wrongly_then_shows_how(
    configured: HomePaths, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert run(configured, "restore-secrets", *words) == 2
    assert "usage: python -m services.web restore-secrets g000041" in capsys.readouterr().err
