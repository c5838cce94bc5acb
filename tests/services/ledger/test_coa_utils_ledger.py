"""The chart of accounts: the template is sound, and every fault is named."""

from typing import Any

import msgspec
import pytest

from services.ledger import accounts
from services.ledger.coa_utils_ledger import (
    Account,
    ChartOfAccounts,
    CoaError,
    content_hash,
    load_template,
    parse_coa,
    validate,
)


def changed(code: str, /, **changes: str) -> ChartOfAccounts:
    coa = load_template()
    edited = tuple(
        msgspec.structs.replace(account, **changes) if account.code == code else account for account in coa.accounts
    )
    return msgspec.structs.replace(coa, accounts=edited)


def test_template_when_loaded_then_has_every_account_of_the_recipes() -> None:
    codes = {account.code for account in load_template().accounts}
    assert accounts.REQUIRED.keys() <= codes
    assert {"1030", "1040", "1220", "1900", "4120", "5020", "9110", "9190"} <= codes


@pytest.mark.parametrize(
    ("code", "changes", "words"),
    [
        ("1010", {"type": "EXPENSE"}, "Account 1010 must be ASSET, BASE, NONE, OPEN"),
        ("9010", {"lot_rule": "NONE"}, "Account 9010 must be"),
        ("5010", {"status": "CLOSED"}, "Account 5010 must be"),
        ("1210", {"code": "1211"}, "Account 1210 is missing"),
        ("1030", {"code": "10A0"}, "must be 1 to 12 digits"),
        ("1030", {"name": " "}, "needs a name"),
        ("1030", {"code": "1040"}, "used twice: 1040"),
        ("1030", {"parent": "7777"}, "parent 7777, which does not exist"),
        ("1000", {"parent": "1010"}, "its own ancestor"),
        ("1030", {"unit_rule": "UNITS"}, "its type must be MEMO"),
    ],
)
def test_validate_when_edited_badly_then_one_sentence_says_so(code: str, changes: dict[str, Any], words: str) -> None:
    assert any(words in fault for fault in validate(changed(code, **changes)))


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"{", b'{"title": "x"}', b"[" * 100_000, b'{"title":"x","accounts":[],"more":1}', b"\xff"],
)
def test_parse_when_malformed_then_coa_error(raw: bytes) -> None:
    with pytest.raises(CoaError):
        parse_coa(raw)


def test_hash_when_only_the_order_differs_then_same() -> None:
    coa = load_template()
    assert content_hash(coa.accounts) == content_hash(coa.accounts[::-1])
    renamed: tuple[Account, ...] = changed("1010", name="Other").accounts
    assert content_hash(coa.accounts) != content_hash(renamed)
