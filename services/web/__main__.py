"""Run the web interface: `python -m services.web`; `--self-check` and `verify-audit` check and exit."""

import sys

from services.web.server import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
