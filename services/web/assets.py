"""The fixed files of the pages: our own, and by allow-list the few that come from the front-end packages."""

import functools
import gzip
import hashlib
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).resolve().parent
STATIC_FOLDER: Final = _HERE / "static"
PACKAGES_FOLDER: Final = _HERE.parent.parent / "node_modules"
#: Served name -> file inside the front-end packages; nothing else of them is served.
VENDOR: Final = {
    "bootstrap.css": "bootstrap/dist/css/bootstrap.min.css",
    "lightweight-charts.js": "lightweight-charts/dist/lightweight-charts.standalone.production.js",
}


def asset_faults(folder: Path = PACKAGES_FOLDER) -> tuple[str, ...]:
    """Return one sentence for each front-end file that is not installed."""
    missing = [name for name in VENDOR.values() if not (folder / name).is_file()]
    return tuple(f"{folder / name} is missing: run 'make setup' to install the front-end files" for name in missing)


def versions(folder: Path = PACKAGES_FOLDER) -> dict[str, str]:
    """Return a version for each served path such as 'vendor/bootstrap.css'; it changes with the content."""
    files = {f"vendor/{name}": folder / path for name, path in VENDOR.items()}
    files |= {f"static/{path.name}": path for path in STATIC_FOLDER.iterdir() if path.is_file()}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest()[:12] for name, path in files.items() if path.is_file()}


@functools.cache
def compressed(path: Path, _version: str) -> bytes:
    """Return a fixed file's content in gzip; made once for each version. Pages themselves are never compressed.

    A page carries form tokens beside words from outside, whose compressed length could be measured.
    """
    return gzip.compress(path.read_bytes(), compresslevel=9, mtime=0)
