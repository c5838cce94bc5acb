"""The build: a hash of the sources that run the chain, so that processes of two versions never trade together."""

import functools
import hashlib
from pathlib import Path

_FOLDERS = ("bus", "config", "services", "supervisor")
_KINDS = (".py", ".sql", ".json")


@functools.cache
def build_id() -> str:
    """Return 12 hex digits that change with any source of the chain; read once for each process."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for folder in _FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in _KINDS and path.is_file():
                digest.update(path.relative_to(root).as_posix().encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]
