"""Counts the greenlets that are alive in the program, once a second, into the file that TORTURE_COUNTS
names. Python reads this at its start where the folder is on PYTHONPATH."""

import gc
import os
import threading
import time


def _count() -> None:
    pause = time.sleep  # before anything is patched: a true thread
    while True:
        pause(2)
        import greenlet

        alive = sum(
            1 for found in gc.get_objects() if isinstance(found, greenlet.greenlet) and found
        )
        with open(os.environ["TORTURE_COUNTS"], "w") as file:  # noqa: PTH123
            file.write(str(alive))


with open(os.environ["TORTURE_COUNTS"], "w") as file:  # noqa: PTH123
    file.write("0")
threading.Thread(target=_count, daemon=True).start()
