"""A clock that can be set while the program runs: Python reads this at its start where the folder is
on PYTHONPATH. The file that TORTURE_CLOCK names holds the seconds to be added."""

import os
import time

_file = os.open(os.environ["TORTURE_CLOCK"], os.O_RDONLY)
_time, _time_ns = time.time, time.time_ns


def _offset() -> int:
    return int(os.pread(_file, 20, 0) or b"0")


time.time = lambda: _time() + _offset()
time.time_ns = lambda: _time_ns() + _offset() * 1_000_000_000
