"""How a service's process ends, as a number. supervisord repeats an end that is not among `NOT_REPEATED`."""

from typing import Final

EXIT_STOPPED: Final = 0
#: A word on the command line that is not known; for the web UI also whatever keeps it from serving.
EXIT_USAGE: Final = 2
#: More than three restarts within a minute; sysexits.h calls it EX_SOFTWARE.
EXIT_CRASH_LOOP: Final = 70
#: Another copy of the service, or another chain, runs on the home; EX_TEMPFAIL.
EXIT_LOCKED: Final = 75
#: The home, the settings or the bus's endpoints cannot be used; EX_CONFIG.
EXIT_CONFIGURATION: Final = 78
#: The chain turns to other settings between two sessions: the service is to start anew, and that is no crash.
EXIT_NEW_SETTINGS: Final = 79
#: What a person must look at first, and an end on request: starting it again by itself would not help.
NOT_REPEATED: Final = (EXIT_STOPPED, EXIT_USAGE, EXIT_CRASH_LOOP, EXIT_LOCKED, EXIT_CONFIGURATION)
