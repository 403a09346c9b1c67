"""Where the command `tonewatch` begins: an interrupt ends it quietly, from its first line on."""

import os
import signal
import sys

# Before anything is loaded that an interrupt could hit. Ignored, as in the background, it stays ignored.
if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
    signal.signal(signal.SIGINT, lambda number, _frame: os._exit(128 + number))

from realtime.cli import main

if __name__ == "__main__":
    sys.exit(main())
