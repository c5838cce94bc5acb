"""Do what docs/deploy.md says, as somebody who has nothing: `python scripts/try_deploy.py FOLDER [--clone ADDRESS]`.

The blocks marked `sh` are taken from the page in their order and run in a fresh clone in FOLDER, by one shell that
stops at the first command that fails. What is typed and what is answered goes to the output: that is the transcript.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "deploy.md"
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: A chain started as the page says leaves nothing of the caller's own environment behind.
_KEPT = (
    "PATH",
    "HOME",
    "LANG",
    "PIP_INDEX_URL",
    "PIP_CONFIG_FILE",
    "NPM_CONFIG_USERCONFIG",
    "SSL_CERT_FILE",
    "USER",
    "TRADEBOT_WEB_PORT",
)


def blocks(text: str) -> list[str]:
    """Return the blocks that are run, in their order."""
    return _BLOCK.findall(text)


def script(text: str) -> str:
    """Return them as one script that shows each command and stops at the first that fails."""
    return "\n".join(["set -euo pipefail", "set -v", *blocks(text)])


def main(arguments: list[str]) -> int:
    """Clone, run, and say how it went."""
    parser = argparse.ArgumentParser(description="Run the commands of docs/deploy.md in an empty folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clone", default=str(ROOT), help="what is cloned; default: this checkout's last commit")
    options = parser.parse_args(arguments)
    if options.folder.exists() and any(options.folder.iterdir()):
        sys.stderr.write(f"{options.folder} is not empty: name a folder of its own.\n")
        return 2
    options.folder.mkdir(parents=True, exist_ok=True)
    checkout = options.folder / "tradebot"
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    sys.stdout.write(f"$ git clone {options.clone} {checkout}\n")
    sys.stdout.flush()
    subprocess.run(["git", "clone", "--quiet", options.clone, str(checkout)], check=True, env=environment)  # noqa: S603,S607
    done = subprocess.run(  # noqa: S603 - the page's own commands
        ["bash", "-c", script(PAGE.read_text(encoding="utf-8"))],  # noqa: S607 - whichever bash there is
        cwd=checkout,
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        check=False,
    )
    words = f"Failed: {done.returncode}" if done.returncode else "Every command of the page worked."
    sys.stdout.write(f"\n{words}\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
