"""The chain of hashes over everything that is in a ledger: which rows a link seals, and what its hash is. Pure.

A link's hash is the SHA-256 of a JSON array without spaces: the kind, its number, when it was recorded, the hash of the
link before it, and then for each table of its kind an array of rows, each an array of its columns. The schema's trigger
builds the same text with SQLite's own JSON functions, so two programs have to agree before a row is in.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final, Literal

import msgspec
from msgspec import Struct

Kind = Literal["COA", "COMMODITY", "TX", "ASSERTION", "WASH", "AUDIT"]
Value = int | str | None
Row = Sequence[Value]

#: The columns of every table that is in the chain, in the order of the hash.
COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "coa_version": ("version", "created_at_utc", "author", "source", "note", "content_hash", "link"),
    "coa_account": ("version", "code", "name", "type", "unit_rule", "lot_rule", "parent", "status"),
    "commodity": ("symbol", "kind", "scale", "multiplier", "link"),
    "posting": ("tx_seq", "line_no", "account_code", "commodity", "amount"),
    "lot": ("lot_id", "open_tx", "account_code", "commodity", "queue_pos", "acquired_at_ns", "qty", "cost"),
    "lot_close": (
        "close_id", "lot_id", "tx_seq", "kind", "qty", "cost", "proceeds", "gain", "qty_left", "cost_left", "term",
    ),
    "trade_detail": (
        "tx_seq", "side", "symbol", "qty_nanos", "price_micros", "gross", "commission", "fees", "order_id", "fill_id",
        "strategy", "leg", "venue",
    ),
    "tx": (
        "seq", "source_event_id", "event_type", "symbol", "description", "gain_micros", "occurred_at_ns",
        "recorded_at_ns", "coa_version", "reverses_seq", "link",
    ),
    "balance_assertion": ("id", "as_of_ns", "scope", "commodity", "expected", "actual", "source", "is_ok", "link"),
    "wash_adjustment": (
        "id", "loss_close_id", "replacement_lot_id", "qty", "disallowed", "basis_added", "holding_days_added",
        "rule_version", "link",
    ),
    "audit_trail": ("id", "at_ns", "actor", "service", "action", "object", "payload_json", "tx_seq", "link"),
}  # fmt: skip
#: The tables that a link of each kind seals, in the order of the hash.
TABLES: Final[dict[Kind, tuple[str, ...]]] = {
    "COA": ("coa_version", "coa_account"),
    "COMMODITY": ("commodity",),
    "TX": ("posting", "lot", "lot_close", "trade_detail", "tx"),
    "ASSERTION": ("balance_assertion",),
    "WASH": ("wash_adjustment",),
    "AUDIT": ("audit_trail",),
}
#: The table whose row names the link.
HEADERS: Final[dict[Kind, str]] = {kind: tables[0 if kind == "COA" else -1] for kind, tables in TABLES.items()}


class Link(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """One link with the rows that it seals, by table; `rows` has every table of the kind, also an empty one."""

    link: int
    kind: Kind
    recorded_at_ns: int
    prev_hash: str
    hash: str
    rows: dict[str, Sequence[Row]]


class Head(Struct, frozen=True, kw_only=True):
    """Where a ledger stands: its newest link and entry, the hash of that link, and when it was recorded."""

    link: int
    seq: int
    hash: str
    recorded_at_ns: int


def sha256_hex(text: str) -> str:
    """Return the SHA-256 of a text's UTF-8 bytes in 64 hex digits."""
    return sha256(text.encode()).hexdigest()


def genesis_hash(entity_code: str, jurisdiction_code: str, currency_code: str, created_at_utc: str) -> str:
    """Return what the first link takes for the hash before it: the ledger's own identity."""
    return sha256(
        msgspec.json.encode(["GENESIS", entity_code, jurisdiction_code, currency_code, created_at_utc])
    ).hexdigest()


def link_hash(kind: Kind, link: int, recorded_at_ns: int, prev_hash: str, *, rows: Mapping[str, Sequence[Row]]) -> str:
    """Return the hash of a link over its rows; a table without rows counts as an empty array."""
    value = [kind, link, recorded_at_ns, prev_hash, *(rows.get(table, ()) for table in TABLES[kind])]
    return sha256(msgspec.json.encode(value)).hexdigest()


def sealed(kind: Kind, recorded_at_ns: int, before: tuple[int, str], rows: Mapping[str, Sequence[Row]]) -> Link:
    """Return the next link over `rows`; `before` is the number and the hash of the link before it."""
    number, prev_hash = before[0] + 1, before[1]
    whole = {table: rows.get(table, ()) for table in TABLES[kind]}
    return Link(
        link=number,
        kind=kind,
        recorded_at_ns=recorded_at_ns,
        prev_hash=prev_hash,
        hash=link_hash(kind, number, recorded_at_ns, prev_hash, rows=whole),
        rows=whole,
    )
