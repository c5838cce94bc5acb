"""The chart of accounts and the schema that a ledger must have: load, validate, compare."""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from bus.messages import ChangeCoa
from config.identity import Identity
from services.ledger import accounts

SCHEMA_FILE = Path(__file__).with_name("tbot_ledger_schema.sql")
TEMPLATE_FILE = Path(__file__).with_name("tbot_ledger_coa_template.json")
ACCOUNTS_MAX = 2_000
_CODE_LENGTH_MAX = 12
_NAME_LENGTH_MAX = 120

AccountType = Literal["ASSET", "LIABILITY", "EQUITY", "INCOME", "EXPENSE", "MEMO"]


class Account(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account. `unit_rule` BASE = the currency, UNITS = shares, NONE = a heading without postings."""

    code: str
    name: str
    type: AccountType
    unit_rule: Literal["BASE", "UNITS", "NONE"]
    lot_rule: Literal["NONE", "REQUIRED"]
    parent: str = ""
    status: Literal["OPEN", "CLOSED"] = "OPEN"


class ChartOfAccounts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole chart of accounts, as the template, the web page and the request file hold it."""

    title: str
    accounts: tuple[Account, ...]


class CoaError(Exception):
    """A chart of accounts cannot be used. `faults` has one plain sentence for each fault, all at once."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        self.faults = faults
        listed = "\n".join(f"  - {fault}" for fault in faults)
        super().__init__(f"The chart of accounts has {len(faults)} fault(s):\n{listed}")


def load_template() -> ChartOfAccounts:
    """Return the default chart of accounts."""
    return parse_coa(TEMPLATE_FILE.read_bytes())


def parse_coa(raw: bytes) -> ChartOfAccounts:
    """Read a chart of accounts from JSON and validate it.

    Raises:
        CoaError: with every fault; a malformed text is one fault.
    """
    try:
        coa = msgspec.json.decode(raw, type=ChartOfAccounts)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise CoaError((f"It is not a chart of accounts in JSON: {error}",)) from error
    if faults := validate(coa):
        raise CoaError(faults)
    return coa


def validate(coa: ChartOfAccounts) -> tuple[str, ...]:
    """Return one sentence for each fault: codes, parents, and the accounts that the recipes need."""
    faults: list[str] = []
    if not 0 < len(coa.accounts) <= ACCOUNTS_MAX:
        faults.append(f"It has {len(coa.accounts)} accounts: there must be 1 to {ACCOUNTS_MAX}.")
    by_code = {account.code: account for account in coa.accounts}
    if len(by_code) != len(coa.accounts):
        codes = [account.code for account in coa.accounts]
        doubled = sorted({code for code in codes if codes.count(code) > 1})
        faults.append(f"Account codes are used twice: {', '.join(doubled)}.")
    for account in coa.accounts:
        faults.extend(_account_faults(account, by_code))
    for code, rules in accounts.REQUIRED.items():
        found = by_code.get(code)
        if found is None:
            faults.append(f"Account {code} is missing: the posting recipes need it.")
        elif (found.type, found.unit_rule, found.lot_rule, found.status) != (*rules, "OPEN"):
            faults.append(
                f"Account {code} must be {', '.join(rules)}, OPEN (type, unit rule, lot rule, status), but "
                "is "
                f"{found.type}, {found.unit_rule}, {found.lot_rule}, {found.status}."
            )
    return tuple(faults)


def changed_chart(chart: Sequence[Account], change: ChangeCoa, used: Collection[str]) -> tuple[Account, ...]:
    """Return a chart with one account changed as an operator asks, validated whole.

    Args:
        chart: the active version.
        change: what to do.
        used: codes of accounts with postings; the schema refuses as well what must not happen to them.

    Raises:
        CoaError: with every reason why it cannot be.
    """
    by_code = {account.code: account for account in chart}
    known = by_code.get(change.code)
    if change.action == "add":
        faults = [f"Account {change.code} exists already: {known.name}."] if known else []
        changed = _new_account(change)
    elif known is None:
        raise CoaError((f"There is no account {change.code}.",))
    else:
        faults, changed = _change_faults(known, change, by_code), _changed(known, change)
        if changed == known:
            faults.append(f"Account {known.code} is so already.")
    parent = by_code.get(changed.parent)
    if parent is not None and parent.code != changed.code and change.action in ("add", "move"):
        faults += _parent_faults(parent, changed, used)
    whole = {**by_code, changed.code: changed}
    ordered = tuple(whole[code] for code in sorted(whole))
    faults += validate(ChartOfAccounts(title="", accounts=ordered))
    if faults:
        raise CoaError(tuple(dict.fromkeys(faults)))
    return ordered


def _new_account(change: ChangeCoa) -> Account:
    return Account(
        code=change.code,
        name=change.name.strip(),
        type=change.account_type,
        unit_rule="NONE" if change.is_heading else "BASE",
        lot_rule="NONE",
        parent=change.parent,
    )


def _changed(known: Account, change: ChangeCoa) -> Account:
    match change.action:
        case "rename":
            return msgspec.structs.replace(known, name=change.name.strip())
        case "move":
            return msgspec.structs.replace(known, parent=change.parent)
        case _:
            return msgspec.structs.replace(known, status="CLOSED" if change.action == "deactivate" else "OPEN")


def _change_faults(known: Account, change: ChangeCoa, by_code: Mapping[str, Account]) -> list[str]:
    if change.action != "deactivate":
        return []
    faults = []
    if known.code in accounts.REQUIRED:
        faults.append(f"Account {known.code} is needed by the posting recipes: it cannot be deactivated.")
    below = sorted(a.code for a in by_code.values() if a.parent == known.code and a.status == "OPEN")
    if below:
        faults.append(f"Account {known.code} has open accounts below it: {', '.join(below)}. Deactivate those first.")
    return faults


def _parent_faults(parent: Account, child: Account, used: Collection[str]) -> list[str]:
    faults = []
    if parent.status != "OPEN":
        faults.append(f"Account {parent.code} is not open, so nothing can go below it.")
    if parent.type != child.type:
        faults.append(f"Account {child.code} is {child.type} and cannot go below {parent.code}, a {parent.type}.")
    if parent.unit_rule != "NONE" and parent.code in used:
        faults.append(f"Account {parent.code} has postings, so it is no heading: choose a heading.")
    return faults


def content_hash(coa_accounts: tuple[Account, ...]) -> str:
    """Return the sha256 of the accounts in the order of their codes, as 64 hex digits."""
    ordered = sorted(coa_accounts, key=lambda account: account.code)
    return sha256(msgspec.json.encode(ordered)).hexdigest()


def stored_accounts(db: sqlite3.Connection, version: int) -> tuple[Account, ...]:
    """Return one version of a ledger's chart of accounts, in the order of the codes."""
    rows = db.execute(
        "SELECT code, name, type, unit_rule, lot_rule, parent, status FROM coa_account WHERE version = ? ORDER BY code",
        (version,),
    )
    names = ("code", "name", "type", "unit_rule", "lot_rule", "parent", "status")
    return tuple(msgspec.convert(dict(zip(names, row, strict=True)), Account) for row in rows)


def schema_faults(db: sqlite3.Connection) -> tuple[str, ...]:
    """Return one sentence for each table, index or trigger that differs from tbot_ledger_schema.sql."""
    expected, found = _expected_schema(), _schema_of(db)
    faults = [f"the {kind} {name} is missing" for kind, name in sorted(expected.keys() - found.keys())]
    faults += [f"the {kind} {name} does not belong there" for kind, name in sorted(found.keys() - expected.keys())]
    faults += [
        f"the {kind} {name} was changed"
        for kind, name in sorted(expected.keys() & found.keys())
        if expected[kind, name] != found[kind, name]
    ]
    return tuple(faults)


def coa_faults(db: sqlite3.Connection, identity: Identity) -> tuple[str, ...]:
    """Return one sentence for each fault of a ledger's metadata and chart of accounts."""
    row = db.execute("SELECT currency_code, entity_code, jurisdiction_code, coa_version FROM coa_metadata").fetchone()
    if row is None:
        return ("its coa_metadata table is empty: the creation of the ledger was not finished",)
    currency, entity, jurisdiction, version = row
    faults: list[str] = []
    if currency != accounts.CURRENCY:
        faults.append(f"its currency is {currency}, but this bot books in {accounts.CURRENCY}")
    if (entity, jurisdiction) != (identity.entity_code, identity.jurisdiction_code):
        faults.append(
            f"it belongs to {entity} in {jurisdiction}, but this bot is {identity.entity_code} in "
            f"{identity.jurisdiction_code}"
        )
    stored = stored_accounts(db, version)
    known = db.execute("SELECT content_hash FROM coa_version WHERE version = ?", (version,)).fetchone()
    if known is None or known[0] != content_hash(stored):
        faults.append(f"version {version} of its chart of accounts is not the one that was recorded")
    faults.extend(validate(ChartOfAccounts(title="", accounts=stored)))
    return tuple(faults)


def _account_faults(account: Account, by_code: dict[str, Account]) -> list[str]:
    faults: list[str] = []
    if not account.code.isascii() or not account.code.isdigit() or len(account.code) > _CODE_LENGTH_MAX:
        faults.append(f"Account code '{account.code}' must be 1 to {_CODE_LENGTH_MAX} digits.")
    if not account.name.strip() or len(account.name) > _NAME_LENGTH_MAX or not account.name.isprintable():
        faults.append(f"Account {account.code} needs a name of 1 to {_NAME_LENGTH_MAX} printable characters.")
    if account.unit_rule == "UNITS" and account.type != "MEMO":
        faults.append(f"Account {account.code} holds units, so its type must be MEMO.")
    seen = {account.code}
    step = account
    while step.parent:
        if step.parent in seen:
            faults.append(f"Account {account.code} is its own ancestor: {step.code} has parent {step.parent}.")
            break
        if step.parent not in by_code:
            faults.append(f"Account {step.code} has parent {step.parent}, which does not exist.")
            break
        seen.add(step.parent)
        step = by_code[step.parent]
    return faults


def _schema_of(db: sqlite3.Connection) -> dict[tuple[str, str], str]:
    rows = db.execute(
        r"SELECT type, name, coalesce(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\'"
    )
    return {(str(kind), str(name)): str(sql) for kind, name, sql in rows}


def _expected_schema() -> dict[tuple[str, str], str]:
    db = sqlite3.connect(":memory:")
    try:
        db.executescript(SCHEMA_FILE.read_text(encoding="utf-8"))
        return _schema_of(db)
    finally:
        db.close()
