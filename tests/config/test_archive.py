"""Archives of a home: whole or not at all, opened by the passphrase alone, put back only where nothing is."""

import base64
import hashlib
import io
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from cryptography.fernet import Fernet, InvalidToken

from config import archive
from config.archive import ArchiveError, Manifest, pack, passphrase_fault, to_prune, unpack, verify
from config.paths import HomePaths

PASSPHRASE = "canary orange bicycle 42"
ABOUT = Manifest(bot_identity="BOT", session="2026-03-03", made_at_utc="2026-03-03T21:00:00Z", version="1", files={})


REAL = pytest.mark.usefixtures("age")


@pytest.fixture
def age() -> bool:
    """Let a test have age itself."""
    return True


@pytest.fixture(autouse=True)
def _quick_seal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seal with Fernet, which is as sure to notice a change: age's scrypt costs a second each time."""
    if "age" in request.fixturenames:
        return

    def fernet(passphrase: str) -> Fernet:
        return Fernet(base64.urlsafe_b64encode(hashlib.sha256(passphrase.encode()).digest()))

    def unseal(content: bytes, passphrase: str) -> bytes:
        try:
            return fernet(passphrase).decrypt(content)
        except InvalidToken as error:
            raise archive.SealError from error

    monkeypatch.setattr(archive, "seal", lambda content, passphrase: fernet(passphrase).encrypt(content))
    monkeypatch.setattr(archive, "unseal", unseal)


@pytest.fixture
def home(tmp_path: Path) -> HomePaths:
    """Give a home with a ledger that is open in WAL mode, logs, secrets, and what must not be archived."""
    paths = HomePaths(tmp_path / "home")
    paths.make()
    for name in ("control/arm.json", "control/halts/1.json", "storage/keys/g000001.key", "output/BOT/logs/open.log",
                 "backups/old.zip.age", "run/x.lock", "entities/A_B/backups/1.db", "state/ballast.bin"):  # fmt: skip
        path = paths.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}")
        path.chmod(0o600)
    return paths


def open_ledger(home: HomePaths) -> sqlite3.Connection:
    db = sqlite3.connect(home.root / "entities" / "A_B" / "ledger.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE IF NOT EXISTS tx (seq INTEGER)")
    return db


@REAL
def test_archive_holds_the_home_without_permission_sockets_and_older_archives(home: HomePaths, tmp_path: Path) -> None:
    manifest = pack(home, ABOUT, PASSPHRASE, tmp_path / "a.zip.age")

    assert set(manifest.files) == {"control/halts/1.json", "storage/keys/g000001.key", "output/BOT/logs/open.log"}
    assert verify(tmp_path / "a.zip.age", PASSPHRASE) == manifest
    assert b"content of" not in (tmp_path / "a.zip.age").read_bytes()
    assert (tmp_path / "a.zip.age").stat().st_mode & 0o777 == 0o600


def test_database_that_is_being_written_is_copied_with_what_is_committed(home: HomePaths, tmp_path: Path) -> None:
    with closing(open_ledger(home)) as db:
        db.execute("INSERT INTO tx VALUES (1)")
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO tx VALUES (2)")
        pack(home, ABOUT, PASSPHRASE, tmp_path / "a.zip.age")
        db.execute("ROLLBACK")

    unpack(tmp_path / "a.zip.age", PASSPHRASE, tmp_path / "back")

    with closing(sqlite3.connect(tmp_path / "back" / "entities" / "A_B" / "ledger.db")) as back:
        assert back.execute("SELECT seq FROM tx").fetchall() == [(1,)]


def test_restored_home_is_the_same_and_private(home: HomePaths, tmp_path: Path) -> None:
    manifest = pack(home, ABOUT, PASSPHRASE, tmp_path / "a.zip.age")

    assert unpack(tmp_path / "a.zip.age", PASSPHRASE, tmp_path / "back") == manifest

    for name in manifest.files:
        assert (tmp_path / "back" / name).read_bytes() == (home.root / name).read_bytes()
        assert (tmp_path / "back" / name).stat().st_mode & 0o777 == 0o600


def test_wrong_passphrase_opens_nothing_and_is_not_told(home: HomePaths, tmp_path: Path) -> None:
    pack(home, ABOUT, PASSPHRASE, tmp_path / "a.zip.age")

    with pytest.raises(ArchiveError, match="another passphrase") as refused:
        unpack(tmp_path / "a.zip.age", "canary of another bicycle", tmp_path / "back")

    assert "canary" not in str(refused.value)
    assert not (tmp_path / "back").exists()


@REAL
@pytest.mark.parametrize("place", [0, -1])
def test_one_changed_byte_is_found(home: HomePaths, tmp_path: Path, place: int) -> None:
    target = tmp_path / "a.zip.age"
    pack(home, ABOUT, PASSPHRASE, target)
    content = bytearray(target.read_bytes())
    content[place] ^= 1
    target.write_bytes(content)

    with pytest.raises(ArchiveError, match="does not open"):
        verify(target, PASSPHRASE)


def rewritten(target: Path, changes: dict[str, bytes | None], *, keep_sums: bool) -> None:
    """Write an archive again, with other files in it, as somebody who knows the passphrase could."""
    with zipfile.ZipFile(io.BytesIO(archive.unseal(target.read_bytes(), PASSPHRASE))) as old:
        files: dict[str, bytes] = {name: old.read(name) for name in old.namelist()}
    manifest = msgspec.json.decode(files.pop(archive.MANIFEST), type=Manifest)
    for name, content in changes.items():
        files.pop(name, None)
        if content is not None:
            files[name] = content
    if not keep_sums:
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        manifest = msgspec.structs.replace(manifest, files=sums)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as new:
        for name, content in {**files, archive.MANIFEST: msgspec.json.encode(manifest)}.items():
            new.writestr(name, content)
    target.write_bytes(archive.seal(packed.getvalue(), PASSPHRASE))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"control/halts/1.json": b"other"}, "1.json in .* is damaged"),
        ({"control/halts/1.json": None}, "manifest differ in control/halts/1.json"),
        ({"control/halts/2.json": b"new"}, "manifest differ in control/halts/2.json"),
    ],
)
def test_file_that_the_manifest_does_not_know_like_this_is_found(
    home: HomePaths, tmp_path: Path, changes: dict[str, bytes | None], words: str
) -> None:
    target = tmp_path / "a.zip.age"
    pack(home, ABOUT, PASSPHRASE, target)
    rewritten(target, changes, keep_sums=True)

    with pytest.raises(ArchiveError, match=words):
        unpack(target, PASSPHRASE, tmp_path / "back")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip.age", "home"]


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside"])
def test_file_that_would_leave_the_home_is_refused(home: HomePaths, tmp_path: Path, name: str) -> None:
    target = tmp_path / "a.zip.age"
    pack(home, ABOUT, PASSPHRASE, target)
    rewritten(target, {name: b"x"}, keep_sums=False)

    with pytest.raises(ArchiveError, match="outside of the home"):
        unpack(target, PASSPHRASE, tmp_path / "back")


def test_damaged_database_is_found_though_its_sum_is_right(home: HomePaths, tmp_path: Path) -> None:
    with closing(open_ledger(home)) as db:
        db.executemany("INSERT INTO tx VALUES (?)", [(n,) for n in range(5_000)])
    target = tmp_path / "a.zip.age"
    pack(home, ABOUT, PASSPHRASE, target)
    name = "entities/A_B/ledger.db"
    with zipfile.ZipFile(io.BytesIO(archive.unseal(target.read_bytes(), PASSPHRASE))) as file:
        content = bytearray(file.read(name))
    content[4096 * 2 : 4096 * 3] = b"\xff" * 4096
    rewritten(target, {name: bytes(content)}, keep_sums=False)

    with pytest.raises(ArchiveError, match=r"database entities/A_B/ledger.db .* is damaged"):
        verify(target, PASSPHRASE)


def test_home_that_is_there_is_never_written_over(home: HomePaths, tmp_path: Path) -> None:
    target = tmp_path / "a.zip.age"
    pack(home, ABOUT, PASSPHRASE, target)

    with pytest.raises(ArchiveError, match="is not empty: nothing was touched"):
        unpack(target, PASSPHRASE, home.root)
    with pytest.raises(ArchiveError, match="is there already"):
        pack(home, ABOUT, PASSPHRASE, target)


def test_archive_that_cannot_be_written_leaves_nothing(
    home: HomePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device", "a.zip.age")

    monkeypatch.setattr(archive.os, "fsync", full)
    with pytest.raises(ArchiveError, match="No space left on device"):
        pack(home, ABOUT, PASSPHRASE, tmp_path / "a.zip.age")

    assert not (tmp_path / "a.zip.age").exists()


@REAL
def test_archive_has_the_head_that_the_command_age_knows(home: HomePaths, tmp_path: Path) -> None:
    pack(home, ABOUT, PASSPHRASE, tmp_path / "a.zip.age")

    assert (tmp_path / "a.zip.age").read_bytes().startswith(b"age-encryption.org/v1\n-> scrypt ")


@pytest.mark.parametrize("passphrase", ["", "short", "aaaaaaaaaaaaaaaaaaaa"])
def test_weak_passphrase_is_refused_in_words(passphrase: str) -> None:
    assert "at least 16 characters" in str(passphrase_fault(passphrase))
    assert passphrase_fault(PASSPHRASE) is None


def test_pruning_keeps_the_newest_days_and_the_first_of_each_month() -> None:
    names = [f"{month}-{day:02d}" for month in ("2026-01", "2026-02", "2026-03") for day in (5, 6, 20)]

    gone = to_prune([*names, "2026-03-20 again"], keep_days=2, keep_months=2, day_of=lambda name: name[:10])

    assert gone == ["2026-01-05", "2026-01-06", "2026-01-20", "2026-02-06", "2026-02-20"]
    assert to_prune([], keep_days=2, keep_months=2, day_of=str) == []
