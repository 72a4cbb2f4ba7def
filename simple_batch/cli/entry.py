"""Where the program simple-batch starts: until its modules are loaded, Ctrl-C ends it without a traceback."""

import signal


def main() -> None:
    """The console entry."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .program import main as of_program  # after the line above, because this takes a moment

    of_program()
