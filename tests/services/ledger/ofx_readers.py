"""Readers of OFX that this project has not written: ofxtools (types), xmllint (structure), ofxdump (an importer)."""

import os
import re
import shutil
import subprocess
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from ofxtools.Parser import OFXTree

OFX_201_DTD = Path("/usr/share/libofx7/libofx/dtd/ofx201.dtd")
#: How ofxdump calls an amount of money.
_DUMPED = re.compile(r"^ {4}Total money amount: (-?[\d.]+)$", re.MULTILINE)


def read(data: bytes) -> Any:
    """Return a document as ofxtools reads it; it raises where a value is not of its type."""
    parser = OFXTree()
    parser.parse(BytesIO(data))
    return parser.convert()


def read_by_all(document: bytes, file: Path) -> None:
    """Let every reader that is installed read a document with both statements, and compare their figures."""
    file.write_bytes(document)
    bank = read(document).statements[0]
    told = sorted(each.trnamt for each in bank.transactions)
    assert sum(told) == bank.ledgerbal.balamt
    if shutil.which("xmllint") and OFX_201_DTD.is_file():
        checked = subprocess.run(
            ["xmllint", "--noout", "--dtdvalid", str(OFX_201_DTD), str(file)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (checked.returncode, checked.stderr) == (0, "")
    if shutil.which("ofxdump"):
        dumped = subprocess.run(
            ["ofxdump", str(file)],
            env=os.environ | {"TZ": "UTC", "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert dumped.returncode == 0
        assert "ERROR" not in dumped.stderr
        shown = [Decimal(amount) for amount in _DUMPED.findall(dumped.stdout)]
        investment = ET.fromstring(document).find(".//INVSTMTRS")
        assert investment is not None
        totals = [Decimal(each.text or "") for tag in ("TOTAL", "TRNAMT") for each in investment.iter(tag)]
        # A closed option and a split have no amount, and ofxdump shows two places.
        expected = sorted(amount.quantize(Decimal("0.01")) for amount in [*told, *totals])
        assert sorted(amount for amount in shown if amount) == [amount for amount in expected if amount]
        assert "10:59" not in dumped.stdout
