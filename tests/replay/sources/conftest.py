"""Recorded folders that tests make themselves."""

from pathlib import Path
from zipfile import ZipFile

import pytest


@pytest.fixture
def lean_folder(tmp_path: Path) -> Path:
    """Return a LEAN folder in which AAA has two days and BBB only the first."""
    for symbol, days in {"aaa": ("20131007", "20131008"), "bbb": ("20131007",)}.items():
        folder = tmp_path / "equity" / "usa" / "minute" / symbol
        folder.mkdir(parents=True)
        for day in days:
            for kind, line in {
                "trade": "34200000,1000000,1010000,990000,1005000,500\n",
                "quote": "34200000,999900,1009900,989900,1004900,300,1000100,1010100,990100,1005100,400\n",
            }.items():
                with ZipFile(folder / f"{day}_{kind}.zip", "w") as archive:
                    archive.writestr(f"{day}_{symbol}_minute_{kind}.csv", line)
    return tmp_path
