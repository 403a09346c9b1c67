"""Where the command `tonewatch-train` begins."""

import signal
import sys

from training import cli


def main() -> int:
    """Run the command as its own process: as a pipe's reader leaves, end without a traceback."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
