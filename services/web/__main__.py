"""Run the web interface: `python -m services.web`; `--self-check` and `verify-audit` check and exit."""

import sys

from services.web.priority import stand_behind_the_chain
from services.web.server import main

if __name__ == "__main__":
    stand_behind_the_chain()
    sys.exit(main(sys.argv[1:]))
