"""Ctrl-C: the first ends what a command does gently, a second one ends the process at once.

The signal is handled by Python, not by the loop of gevent, so that it also interrupts what computes
without a pause. It raises KeyboardInterrupt in the main greenlet: raised in the greenlet that happens to
be at work, it could hit the one that has results in hand.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

CODE = 130
COMMIT_S = 1.0  # after the second Ctrl-C, to commit the answers that have come
THIRD = 3


class _Presses:
    """How often Ctrl-C was pressed, and what the first does in place of KeyboardInterrupt. ``loading``: no
    command has begun."""

    def __init__(self) -> None:
        self.handled = False
        self.loading = False
        self.count = 0
        self.first: Callable[[], object] | None = None

    def __call__(self, _number, _frame) -> None:
        self.count += 1
        if self.loading:  # half of the modules patched or imported: no state to end well from
            os.write(2, b"Interrupted.\n")
            os._exit(CODE)
        if self.count == 1 and self.first is not None:
            self.first()
        elif self.count == 1:
            _raise_in_main()
        elif self.count < THIRD and _patched():
            import gevent

            gevent.spawn_later(COMMIT_S, os._exit, CODE)
            _raise_in_main()
        else:
            os._exit(CODE)


_presses = _Presses()


@contextlib.contextmanager
def handled(loading: bool = False) -> Iterator[None]:
    """Within, Ctrl-C does what this module says; after a first one also behind it, until the process has
    ended. ``loading``: until this is entered again for the command, one ends the process at once."""
    _presses.loading = loading
    if _presses.handled or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, _presses)
    _presses.handled = True
    try:
        yield
    finally:
        if not _presses.count:
            signal.signal(signal.SIGINT, before)
            _presses.handled = False


@contextlib.contextmanager
def first_sets(event) -> Iterator[None]:
    """Within, the first Ctrl-C sets an event of gevent and raises nothing."""
    import gevent

    loop = gevent.get_hub().loop
    _presses.first = lambda: loop.run_callback(event.set)
    try:
        yield
    finally:
        _presses.first = None


def _patched() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and monkey.is_module_patched("socket")


def _raise_in_main() -> None:
    if _patched():
        import gevent

        hub = gevent.get_hub()
        main = hub.parent
        if main is not None and gevent.getcurrent() is not main:
            hub.loop.run_callback(main.throw, KeyboardInterrupt)
            return
    raise KeyboardInterrupt
