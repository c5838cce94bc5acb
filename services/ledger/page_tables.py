"""Answer questions about accounts, statements, charts of accounts, reconciliation and the audit trail."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from bus.clock import iso_utc
from bus.messages import AskLedger, LedgerPage
from services.ledger import accounts
from services.ledger.coa_utils_ledger import Account, stored_accounts
from services.ledger.ofx_text import units
from services.ledger.page_queries import QuestionError, Row, cut, page_of, period_of

_STATEMENT: Final = ("section", "code", "account", "amount")
_FIELDS: Final = ("name", "type", "unit_rule", "lot_rule", "parent", "status")


def account_tree(db: sqlite3.Connection, ask: AskLedger) -> LedgerPage:
    """Return the active chart as a tree, each account with its own balance and that of all below it."""
    chart = {account.code: account for account in stored_accounts(db, _version(db))}
    dollars: dict[str, int] = {}
    held: defaultdict[str, list[str]] = defaultdict(list)
    for code, commodity, amount, scale in db.execute(
        "SELECT p.account_code, p.commodity, sum(p.amount), c.scale FROM posting AS p "
        "JOIN commodity AS c ON c.symbol = p.commodity JOIN tx AS t ON t.seq = p.tx_seq WHERE t.occurred_at_ns < ? "
        "GROUP BY p.account_code, p.commodity ORDER BY 1, 2",
        (_end_ns(ask),),
    ):
        if commodity == accounts.CURRENCY:
            dollars[code] = amount
        elif amount:
            held[code].append(f"{units(amount, scale)} {commodity}")
    used = {code for (code,) in db.execute("SELECT DISTINCT account_code FROM posting")}
    below: dict[str, list[str]] = {}
    for code, account in chart.items():
        below.setdefault(account.parent, []).append(code)

    def with_children(code: str) -> int:
        return dollars.get(code, 0) + sum(with_children(child) for child in below.get(code, ()))

    rows: list[Row] = []

    def walk(parent: str, depth: int) -> None:
        for code in sorted(below.get(parent, ())):
            a = chart[code]
            rows.append(
                (
                    code, a.name, a.type, a.parent, depth, a.status, a.unit_rule, code in used, dollars.get(code, 0),
                    with_children(code), ", ".join(held[code]),
                )
            )  # fmt: skip
            walk(code, depth + 1)

    walk("", 0)
    columns = (
        "code", "account", "type", "parent", "depth", "status", "unit_rule", "is_used", "balance", "balance_with_below",
        "units",
    )  # fmt: skip
    return cut(ask, columns, rows, note=f"version {_version(db)}")


def trial_balance(db: sqlite3.Connection, ask: AskLedger) -> LedgerPage:
    """Return what each account held before the period, took in and gave in it, and held in the end."""
    names = _names(db)
    rows: list[Row] = []
    sums = [0] * 5
    for code, opening, debits, credited in _moves(db, ask):
        closing = opening + debits - credited
        figures = (opening, debits, credited, max(closing, 0), max(-closing, 0))
        sums = [total + figure for total, figure in zip(sums, figures, strict=True)]
        rows.append((code, names[code].name if code in names else "", *figures))
    columns = ("code", "account", "opening", "debits", "credits", "closing_debit", "closing_credit")
    return cut(ask, columns, rows, totals=(("", "Total", *sums),))


def income_statement(db: sqlite3.Connection, ask: AskLedger) -> LedgerPage:
    """Return income, expenses and the result of the period."""
    moved = {code: debits - credited for code, _, debits, credited in _moves(db, ask)}
    names = _names(db)
    income = _section("Income", names, moved, "INCOME", sign=-1)
    spent = _section("Expenses", names, moved, "EXPENSE", sign=1)
    earned_sum, spent_sum = _sum(income), _sum(spent)
    totals: tuple[Row, ...] = (
        ("Income", "", "Total income", earned_sum),
        ("Expenses", "", "Total expenses", spent_sum),
        ("Result", "", "Result of the period", earned_sum - spent_sum),
    )
    return cut(ask, _STATEMENT, [*income, *spent], totals=totals)


def balance_sheet(db: sqlite3.Connection, ask: AskLedger) -> LedgerPage:
    """Return what the account owned and owed at the end of the period, and whose it was; securities at cost."""
    moves = _moves(db, ask)
    names = _names(db)
    closing = {code: opening + debits - credited for code, opening, debits, credited in moves}
    earlier = _result(names, {code: opening for code, opening, _, _ in moves})
    result = _result(names, closing) - earlier
    assets = _section("Assets", names, closing, "ASSET", sign=1)
    debts = _section("Liabilities", names, closing, "LIABILITY", sign=-1)
    equity = _section("Equity", names, closing, "EQUITY", sign=-1)
    equity.append(("Equity", "", "Result before the period", earlier))
    equity.append(("Equity", "", "Result of the period", result))
    totals: tuple[Row, ...] = (
        ("Assets", "", "Total assets", _sum(assets)),
        ("Liabilities and equity", "", "Total liabilities and equity", _sum(debts) + _sum(equity)),
    )
    return cut(ask, _STATEMENT, [*assets, *debts, *equity], totals=totals)


def chart(db: sqlite3.Connection, ask: AskLedger) -> LedgerPage:
    """Return one version of the chart of accounts."""
    version = _version(db, ask.version)
    used = {code for (code,) in db.execute("SELECT DISTINCT account_code FROM posting")}
    rows: list[Row] = [
        (
            a.code,
            a.name,
            a.type,
            a.unit_rule,
            a.lot_rule,
            a.parent,
            a.status,
            a.code in used,
            a.code in accounts.REQUIRED,
        )
        for a in stored_accounts(db, version)
    ]
    columns = ("code", *_FIELDS, "is_used", "is_required")
    return cut(ask, columns, rows, note=f"version {version}")


def chart_versions(db: sqlite3.Connection, ask: AskLedger) -> LedgerPage:
    """Return the versions of the chart of accounts, the newest first."""
    rows: list[Row] = list(
        db.execute(
            "SELECT v.version, v.created_at_utc, v.author, v.source, v.note, v.content_hash, "
            "(SELECT count(*) FROM coa_account WHERE version = v.version), v.link FROM coa_version AS v "
            "ORDER BY v.version DESC"
        )
    )
    return cut(ask, ("version", "created_utc", "author", "source", "note", "content_hash", "accounts", "link"), rows)


def chart_diff(db: sqlite3.Connection, ask: AskLedger) -> LedgerPage:
    """Return what changed between two versions of the chart: by default between the newest and the one before."""
    after_version = _version(db, ask.version)
    before_version = _version(db, ask.version_before or max(after_version - 1, 1))
    before, after = (
        {account.code: account for account in stored_accounts(db, version)}
        for version in (before_version, after_version)
    )
    rows: list[Row] = []
    for code in sorted(before.keys() | after.keys()):
        was, now = before.get(code), after.get(code)
        if was is None or now is None:
            whole = now or was
            rows.append((code, "removed" if now is None else "added", "", "", whole.name if whole else ""))
            continue
        rows += [
            (code, "changed", field, getattr(was, field), getattr(now, field))
            for field in _FIELDS
            if getattr(was, field) != getattr(now, field)
        ]
    note = f"from version {before_version} to version {after_version}"
    return cut(ask, ("code", "change", "field", "before", "after"), rows, note=note)


def reconciliation(db: sqlite3.Connection, ask: AskLedger) -> LedgerPage:
    """Return what the broker said and what the books held then, the newest first; the note tells of suspense."""
    (total,) = db.execute("SELECT count(*) FROM balance_assertion").fetchone()
    rows: list[Row] = [
        (
            number, iso_utc(as_of_ns), scope, commodity, *_figures(scope, (expected, actual, expected - actual), scale),
            source, bool(is_ok),
        )
        for number, as_of_ns, scope, commodity, expected, actual, source, is_ok, scale in db.execute(
            "SELECT b.id, b.as_of_ns, b.scope, b.commodity, b.expected, b.actual, b.source, b.is_ok, "
            "coalesce(c.scale, 9) FROM balance_assertion AS b LEFT JOIN commodity AS c ON c.symbol = b.commodity "
            "ORDER BY b.id DESC LIMIT ? OFFSET ?",
            (ask.rows_max, (ask.page - 1) * ask.rows_max),
        )
    ]  # fmt: skip
    (suspense,) = db.execute(
        "SELECT coalesce(sum(amount), 0) FROM posting WHERE account_code = ?", (accounts.SUSPENSE,)
    ).fetchone()
    columns = ("id", "as_of_utc", "scope", "commodity", "expected", "actual", "difference", "source", "is_ok")
    return page_of(
        ask, columns, total, rows, totals=((None, "", "SUSPENSE", "USD", None, suspense, None, "", suspense == 0),)
    )


def audit(db: sqlite3.Connection, ask: AskLedger) -> LedgerPage:
    """Return who did what, the newest first; `text` is searched in actor, action, object and payload."""
    where = (
        "at_ns >= ? AND at_ns < ? AND (? = '' OR "
        "instr(lower(actor || ' ' || action || ' ' || object || ' ' || payload_json), ?) > 0)"
    )
    wanted = (period_of(ask).start_ns, _end_ns(ask), ask.text, ask.text.lower())
    (total,) = db.execute(f"SELECT count(*) FROM audit_trail WHERE {where}", wanted).fetchone()  # noqa: S608 - above
    rows: list[Row] = [
        (number, iso_utc(at_ns), *rest)
        for number, at_ns, *rest in db.execute(
            "SELECT id, at_ns, actor, service, action, object, payload_json, tx_seq FROM audit_trail "  # noqa: S608 - above
            f"WHERE {where} ORDER BY id DESC LIMIT ? OFFSET ?",
            (*wanted, ask.rows_max, (ask.page - 1) * ask.rows_max),
        )
    ]
    columns = ("id", "time_utc", "actor", "service", "action", "object", "payload", "entry")
    return page_of(ask, columns, total, rows)


def _moves(db: sqlite3.Connection, ask: AskLedger) -> list[tuple[str, int, int, int]]:
    """Code, balance before the period, debits and credits in it, of every account that has dollars by its end."""
    period = period_of(ask)
    return list(
        db.execute(
            "SELECT p.account_code, coalesce(sum(p.amount) FILTER (WHERE t.occurred_at_ns < :start), 0), "
            "coalesce(sum(p.amount) FILTER (WHERE t.occurred_at_ns >= :start AND p.amount > 0), 0), "
            "-coalesce(sum(p.amount) FILTER (WHERE t.occurred_at_ns >= :start AND p.amount < 0), 0) "
            "FROM posting AS p JOIN tx AS t ON t.seq = p.tx_seq "
            "WHERE p.commodity = :currency AND t.occurred_at_ns < :end GROUP BY p.account_code ORDER BY 1",
            {"start": period.start_ns, "end": _end_ns(ask), "currency": accounts.CURRENCY},
        )
    )


def _names(db: sqlite3.Connection) -> dict[str, Account]:
    return {account.code: account for account in stored_accounts(db, _version(db))}


def _section(title: str, names: Mapping[str, Account], sums: Mapping[str, int], kind: str, *, sign: int) -> list[Row]:
    return [
        (title, code, names[code].name, sign * amount)
        for code, amount in sorted(sums.items())
        if amount and code in names and names[code].type == kind
    ]


def _sum(rows: Iterable[Row]) -> int:
    return sum(row[3] for row in rows if isinstance(row[3], int))


def _result(names: Mapping[str, Account], sums: Mapping[str, int]) -> int:
    income = _sum(_section("", names, sums, "INCOME", sign=-1))
    return income - _sum(_section("", names, sums, "EXPENSE", sign=1))


def _figures(scope: str, amounts: tuple[int, int, int], scale: int) -> tuple[int | str, ...]:
    return amounts if scope == "CASH" else tuple(units(amount, scale) for amount in amounts)


def _end_ns(ask: AskLedger) -> int:
    return min(period_of(ask).end_ns, 2**63 - 1)


def _version(db: sqlite3.Connection, wanted: int = 0) -> int:
    """The number of a version that exists; 0 = the active one."""
    (active,) = db.execute("SELECT coa_version FROM coa_metadata").fetchone()
    if not 0 <= wanted <= active:
        raise QuestionError(f"There is no version {wanted} of the chart of accounts: the newest is {active}.")
    return int(wanted or active)
