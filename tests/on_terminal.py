"""A program on a real terminal: what it shows there, and keys that send signals."""

import os
import pty
import subprocess
import sys
import threading

from gevent.os import make_nonblocking, nb_read

from .conftest import wait_until
from .process import ROOT, environment

CTRL_C = b"\x03"
# the terminal becomes that of the process, so that its keys send signals
ON_TERMINAL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class OnTerminal:
    """A process on a separate terminal; ``text`` is what it has written."""

    def __init__(self, instance, folder, *command: str, **more: str):
        self._screen, theirs = pty.openpty()
        make_nonblocking(self._screen)
        self._written: list[bytes] = []
        self.process = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, *command],
            cwd=folder,
            env=environment(
                instance, **{"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "300", **more}
            ),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._reading = threading.Thread(target=self._collect, daemon=True)
        self._reading.start()

    def _collect(self) -> None:
        try:
            while block := nb_read(self._screen, 65_536):
                self._written.append(block)
        except OSError:  # how Linux tells that the other side is closed
            pass

    @property
    def text(self) -> str:
        return b"".join(self._written).decode()

    def wait_for(self, part: str) -> None:
        wait_until(lambda: part in self.text or self.process.poll() is not None)
        assert part in self.text, self.text

    def type(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def press_ctrl_c(self) -> None:
        os.write(self._screen, CTRL_C)

    def end(self) -> int:
        """Wait for the exit code. No traceback is on the screen."""
        self.process.wait(200)
        self._reading.join(90)
        os.close(self._screen)
        assert "Traceback" not in self.text, self.text
        return self.process.returncode
