"""Run the web interface: `python -m services.web`, `--self-check` checks and exits."""

import sys

from services.web.server import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
