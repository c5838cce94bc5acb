"""What an entry is in rows, sealed by links of the chain, and how a link's rows get into the file."""

import sqlite3
from typing import Any, Final

from msgspec.structs import astuple

from bus.failpoints import Failpoint
from bus.instruments import is_option, multiplier_of
from bus.messages import EntryPosted, PostingLine, TradeLine
from services.ledger import accounts
from services.ledger.hash_chain import COLUMNS, TABLES, Link, Row, sealed
from services.ledger.lots import LotChange, lot_changes
from services.ledger.table_ends import TableEnds

#: Before it the lines of an entry are in the file and its lots are not; after it all is but the header that seals it.
_POSTING = Failpoint("ledger.posting")
_INSERTS: Final = {
    table: f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - names
    for table, columns in COLUMNS.items()
}
_CHAIN: Final = "INSERT INTO chain (link, kind, recorded_at_ns, prev_hash, hash) VALUES (?, ?, ?, ?, ?)"
_Rows = list[Row]


def insert_link(db: sqlite3.Connection, link: Link) -> None:
    """Insert the rows of a link, its header after what belongs to it, and then the link itself.

    Raises:
        sqlite3.Error: a rule of the ledger refuses it.
    """
    insert_rows(db, link)
    insert_chain(db, link)
    if link.kind == "COA":
        version, created_at_utc = link.rows["coa_version"][0][:2]
        db.execute("UPDATE coa_metadata SET coa_version = ?, last_updated_utc = ?", (version, created_at_utc))


def insert_rows(db: sqlite3.Connection, link: Link) -> None:
    """Insert the rows of a link alone.

    Raises:
        sqlite3.Error: a rule of the ledger refuses one.
    """
    if link.kind != "TX":
        for table in TABLES[link.kind]:
            db.executemany(_INSERTS[table], link.rows[table])
        return
    _insert(db, "posting", link)
    with _POSTING:
        # A split closes every lot before it opens them anew.
        _insert(db, "lot_close", link)
        _insert(db, "lot", link)
    _insert(db, "trade_detail", link)
    _insert(db, "tx", link)


def _insert(db: sqlite3.Connection, table: str, link: Link) -> None:
    if rows := link.rows[table]:
        db.executemany(_INSERTS[table], rows)


def insert_chain(db: sqlite3.Connection, link: Link) -> None:
    """Insert the link itself, whose trigger compares the hash with the rows.

    Raises:
        sqlite3.Error: it is not the hash of the rows, or not the next link.
    """
    db.execute(_CHAIN, (link.link, link.kind, link.recorded_at_ns, link.prev_hash, link.hash))


def links_of(ends: TableEnds, entry: EntryPosted) -> tuple[Link, ...]:
    """Return the links that book an entry: one for each commodity that is new, then the entry's own.

    `ends` moves on as if they were written: whoever does not write them lets it forget.

    Raises:
        BrokenEntryError: the entry contradicts the open lots.
    """
    links: list[Link] = []
    tip = ends.tip
    commodities = sorted({line.commodity for line in entry.lines} - {accounts.CURRENCY})
    for commodity in commodities:
        if not ends.knows_commodity(commodity):
            kind = "OPTION" if is_option(commodity) else "EQUITY"
            row: Row = (commodity, kind, accounts.SHARE_SCALE, multiplier_of(commodity), tip[0] + 1)
            links.append(sealed("COMMODITY", entry.ts_init, tip, {"commodity": [row]}))
            tip = links[-1].link, links[-1].hash
    rows = _rows_of(ends, entry, tip[0] + 1)
    links.append(sealed("TX", entry.ts_init, tip, rows))
    tip = links[-1].link, links[-1].hash
    ends.wrote(tip, commodities, seq=entry.seq, lots=len(rows["lot"]), closes=len(rows["lot_close"]))
    return tuple(links)


def read_entry(db: sqlite3.Connection, seq: int) -> EntryPosted:
    """Return a booked entry; `ts_init` is when it was recorded."""
    event_type, source, description, symbol, gain, occurred, recorded, reverses = db.execute(
        "SELECT event_type, source_event_id, description, symbol, gain_micros, occurred_at_ns, recorded_at_ns, "
        "reverses_seq FROM tx WHERE seq = ?",
        (seq,),
    ).fetchone()
    lines = db.execute("SELECT account_code, commodity, amount FROM posting WHERE tx_seq = ? ORDER BY line_no", (seq,))
    detail = db.execute(
        f"SELECT {', '.join(COLUMNS['trade_detail'][1:])} FROM trade_detail WHERE tx_seq = ?",  # noqa: S608 - names
        (seq,),
    ).fetchone()
    return EntryPosted(
        ts_event=occurred,
        ts_init=recorded,
        seq=seq,
        event_type=event_type,
        source_event_id=source,
        description=description,
        symbol=symbol,
        gain_micros=gain,
        lines=tuple(PostingLine(account=code, commodity=unit, amount=amount) for code, unit, amount in lines),
        reverses_seq=reverses or 0,
        trade=None if detail is None else TradeLine(**dict(zip(TradeLine.__struct_fields__, detail, strict=True))),
    )


def _rows_of(ends: TableEnds, entry: EntryPosted, link: int) -> dict[str, _Rows]:
    lots, closes = ([], _reversal_closes(ends, entry)) if entry.reverses_seq else _lot_rows(ends, entry)
    return {
        "posting": [
            (entry.seq, number, line.account, line.commodity, line.amount)
            for number, line in enumerate(entry.lines, start=1)
        ],
        "lot": lots,
        "lot_close": closes,
        "trade_detail": [] if entry.trade is None else [(entry.seq, *astuple(entry.trade))],
        "tx": [
            (
                entry.seq, entry.source_event_id, entry.event_type, entry.symbol, entry.description,
                entry.gain_micros, entry.ts_event, entry.ts_init, ends.chart_version, entry.reverses_seq or None,
                link,
            )
        ],
    }  # fmt: skip


def _lot_rows(ends: TableEnds, entry: EntryPosted) -> tuple[_Rows, _Rows]:
    opened: _Rows = []
    closed: _Rows = []
    for change in lot_changes(entry, lambda commodity: ends.queue(commodity).lots):
        queue = ends.queue(change.commodity)
        closed += _close_rows(entry, change, queue.ids, ends.close_id + len(closed))
        rows = _open_rows(entry, change, last_id=ends.lot_id + len(opened), last_pos=queue.last_pos)
        opened += rows
        ends.changed(change, [row[0] for row in rows])
    return opened, closed


def _close_rows(entry: EntryPosted, change: LotChange, ids: list[int], last_id: int) -> _Rows:
    return [
        (
            last_id + number, ids[close.index], entry.seq, change.kind, close.qty_nanos, close.cost_micros,
            close.proceeds_micros, close.gain_micros, close.left_nanos, close.left_micros, close.term,
        )
        for number, close in enumerate(change.closes, start=1)
    ]  # fmt: skip


def _open_rows(entry: EntryPosted, change: LotChange, *, last_id: int, last_pos: int) -> list[tuple[Any, ...]]:
    return [
        (
            last_id + number, entry.seq, lot.account, change.commodity, last_pos + number, lot.acquired_ns,
            lot.qty_nanos, lot.cost_micros,
        )
        for number, lot in enumerate(change.opens, start=1)
    ]  # fmt: skip


def _reversal_closes(ends: TableEnds, entry: EntryPosted) -> _Rows:
    """Take out whole what the entry had opened; give back what it had closed, the newest first."""
    rows: _Rows = []
    close_id, db = ends.close_id, ends.db
    for line in entry.lines:
        ends.forget_queue(line.commodity)
    for lot_id, qty, cost in db.execute(
        "SELECT lot_id, qty, cost FROM lot WHERE open_tx = ? ORDER BY lot_id DESC", (entry.reverses_seq,)
    ):
        rows.append((close_id + len(rows) + 1, lot_id, entry.seq, "REVERSAL", qty, cost, cost, 0, 0, 0, "ST"))
    closes = db.execute(
        "SELECT c.lot_id, c.qty, c.cost, c.proceeds, c.gain, c.term, "
        "(SELECT qty_left FROM lot_close WHERE lot_id = c.lot_id ORDER BY close_id DESC LIMIT 1), "
        "(SELECT cost_left FROM lot_close WHERE lot_id = c.lot_id ORDER BY close_id DESC LIMIT 1) "
        "FROM lot_close AS c WHERE c.tx_seq = ? ORDER BY c.close_id DESC",
        (entry.reverses_seq,),
    )
    for lot_id, qty, cost, proceeds, gain, term, qty_left, cost_left in closes:
        rows.append(
            (
                close_id + len(rows) + 1, lot_id, entry.seq, "REVERSAL", -qty, -cost, -proceeds, -gain,
                qty_left + qty, cost_left + cost, term,
            )
        )  # fmt: skip
    return rows
