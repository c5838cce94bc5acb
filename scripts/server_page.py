"""The blocks of docs/deploy.md: each by its heading and its place below it, and which of them were typed."""

import re
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "deploy.md"
_PARTS: Final = re.compile(r"^## ([^\n]+)$|^```(?:sh|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Blocks that no server here can be told to do, and why.
NOT_TYPED: Final = {
    ("1. Packages", 1): "another distribution: Ubuntu 22.04",
    ("1. Packages", 2): "another system: macOS",
    ("4. Start the chain", 3): "another system: macOS",
    ("Container", 0): "needs podman and a registry: by hand",
}


class Page:
    """The page, as somebody reads it who types what it says."""

    def __init__(self, text: str = "") -> None:
        self.blocks: dict[tuple[str, int], list[str]] = {}
        self._typed: set[tuple[str, int]] = set()
        heading, number = "", 0
        for found, block in _PARTS.findall(text or PAGE.read_text(encoding="utf-8")):
            if found:
                heading, number = found, 0
                continue
            self.blocks[heading, number] = [line for line in block.replace("\\\n", " ").splitlines() if line.strip()]
            number += 1

    def lines(self, heading: str, number: int) -> list[str]:
        """Return the lines of a block to type them."""
        self._typed.add((heading, number))
        return self.blocks[heading, number]

    def check_all_typed(self) -> None:
        """Check that no block was left out.

        Raises:
            SystemExit: one was; the message names it.
        """
        left = sorted(set(self.blocks) - self._typed - set(NOT_TYPED))
        if left:
            raise SystemExit(f"These blocks of {PAGE.name} were not typed: {left}")
