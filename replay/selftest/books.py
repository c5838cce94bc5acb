"""The routines about the books: OFX that reads back as what it was written from, and copies that restore."""

import secrets
import sqlite3
from contextlib import closing
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from bus.clock import iso_utc, utc_ns
from bus.messages import MICROS
from config.archive import Manifest, pack, unpack, verify
from config.paths import HomePaths
from replay.selftest.ground import TEST_IDENTITY, Ground, RoutineFailedError, expect
from services.ledger.accounts import CASH_ACCOUNTS, UNITS_IN_CUSTODY

_TRADES: Final = ("INVBUY", "INVSELL")
_POINTS: Final = "5"


def ofx_reread(ground: Ground) -> str:
    """Export the books as OFX, read the file back with another reader, and compare it with the ledger's rows.

    The file is kept beside the logs: whoever doubts the reader reads it with one of his own.
    """
    first, second = (ground.paths.run / f"export-{number}.ofx" for number in (1, 2))
    for target in (first, second):
        ground.command("-m", "services.ledger", "export-ofx", "--out", str(target))
    if first.read_bytes() != second.read_bytes():
        raise RoutineFailedError("two exports of the same books are not the same file")
    ground.keep(first, "books.ofx")
    faults, words = ofx_faults(first.read_bytes(), ground.ledger)
    ground.say(words)
    expect(faults)
    return words


def ofx_faults(document: bytes, ledger: Path) -> tuple[list[str], str]:
    """Return where an OFX document and a ledger differ, and in words what was read.

    The document is read by Python's XML parser and the ledger by its bare rows: no code of the export takes part.
    """
    header, _, body = document.partition(b"<OFX>")
    if b"OFXHEADER" not in header or not body:
        return ["the file has no OFX header"], "nothing was read"
    # The XML parser of the standard library opens no outside file and no address; the document is our own.
    root = ET.fromstring(b"<OFX>" + body)  # noqa: S314 - see above
    lines = root.findall(".//BANKTRANLIST/STMTTRN")
    trades = [found for name in _TRADES for found in root.iter(name)]
    ids = [str(one.text) for one in (*root.findall(".//STMTTRN/FITID"), *root.findall(".//INVTRAN/FITID"))]
    moved = sum((_number(line.find("TRNAMT")) for line in lines), Decimal())
    told = _number(root.find(".//LEDGERBAL/BALAMT"))
    cash, fills, held = _of_ledger(ledger)
    faults = [
        *([] if told == cash else [f"the balance is {told} in the file and {cash} in the ledger"]),
        *([] if moved == cash else [f"the lines add up to {moved} and the ledger to {cash}"]),
        *([] if len(trades) == fills else [f"{len(trades)} trades are in the file and {fills} in the ledger"]),
        *([] if len(ids) == len(set(ids)) else ["an id of a line stands in the file twice"]),
        *([] if len(list(root.iter("INVPOS"))) == held else ["the positions are not those of the ledger"]),
    ]
    return faults, f"{len(lines)} movements of cash and {len(trades)} trades read back; balance {cash:,.2f} in both."


def _number(element: ET.Element | None) -> Decimal:
    return Decimal(str(element.text)) if element is not None else Decimal("NaN")


def _of_ledger(ledger: Path) -> tuple[Decimal, int, int]:
    """Return cash in dollars, the number of fills, and how many commodities are held."""
    marks = ",".join("?" for _ in CASH_ACCOUNTS)
    with closing(_opened(ledger)) as db:
        (cash,) = db.execute(
            f"SELECT coalesce(sum(amount), 0) FROM posting WHERE account_code IN ({marks})",  # noqa: S608 - marks only
            CASH_ACCOUNTS,
        ).fetchone()
        (fills,) = db.execute("SELECT count(*) FROM tx WHERE source_event_id LIKE '%:FILL'").fetchone()
        held = db.execute(
            "SELECT commodity FROM posting WHERE account_code = ? GROUP BY 1 HAVING sum(amount) <> 0",
            (UNITS_IN_CUSTODY,),
        ).fetchall()
    return Decimal(cash) / MICROS, fills, len(held)


def backup_restore(ground: Ground) -> str:
    """Restore the ledger from its copies, and the whole home from an archive; each must be what it was made of."""
    ground.command("-m", "services.ledger", "backup")
    restored = ground.paths.run / "restored.db"
    ground.command("-m", "services.ledger", "restore", "--to", str(restored))
    ground.command("-m", "services.ledger", "verify", "--ledger", str(restored), "--head", f"{restored}.head")
    expect(head_faults(ground.ledger, restored))
    ground.command("-m", "services.ledger", "drill", "--points", _POINTS)
    again = archived_and_unpacked(ground.paths)
    copy = again.entities / TEST_IDENTITY.entity_folder / TEST_IDENTITY.ledger_file
    ground.command("-m", "services.ledger", "verify", home=again)
    expect(head_faults(ground.ledger, copy))
    return (
        f"The ledger restored to its newest entry and to {_POINTS} earlier ones, and the whole home from an encrypted "
        "archive: each has the hash of what it was made of."
    )


def archived_and_unpacked(paths: HomePaths) -> HomePaths:
    """Make an archive of a home with a passphrase that nobody keeps, put it into a new home, and return that.

    Raises:
        config.archive.ArchiveError: it cannot be made, does not read back, or does not unpack.
    """
    passphrase = secrets.token_urlsafe(24)
    about = Manifest(
        bot_identity=TEST_IDENTITY.bot_identity,
        session="",
        made_at_utc=iso_utc(utc_ns()),
        version=version("tradebot"),
        files={},
    )
    target = paths.root / "backups" / "test.zip.age"
    pack(paths, about, passphrase, target)
    verify(target, passphrase)
    again = HomePaths(paths.root / "run" / "again")
    unpack(target, passphrase, again.root)
    return again


def head_faults(ledger: Path, copy: Path) -> list[str]:
    """Return how what was restored differs from the living ledger.

    It must have every entry of it, and end with a link that the living one has too: the hash of a link covers every row
    before it. The living one may have newer links without entries, such as the notes of the copies themselves.
    """
    with closing(_opened(copy)) as theirs, closing(_opened(ledger)) as ours:
        (newest,), (restored,) = (
            db.execute("SELECT coalesce(max(seq), 0) FROM tx").fetchone() for db in (ours, theirs)
        )
        link, digest = theirs.execute("SELECT link, hash FROM chain ORDER BY link DESC LIMIT 1").fetchone()
        known = ours.execute("SELECT hash FROM chain WHERE link = ?", (link,)).fetchone()
    faults = [] if restored == newest else [f"the ledger has {newest} entries and what was restored {restored}"]
    return faults if known == (digest,) else [*faults, f"link {link} of what was restored is not that of the ledger"]


def _opened(ledger: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{ledger.resolve().as_uri()}?mode=ro", uri=True)
