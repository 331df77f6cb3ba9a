"""The program `kpflow`, as the command line has it."""

import signal
import sys

from . import _kpflow


def main() -> None:
    """Run the program with this process's arguments."""
    # Python's own handler waits for Python, which does not run meanwhile.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(_kpflow.program(["kpflow", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
