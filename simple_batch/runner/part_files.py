"""Files of parts on this machine: the input that is uploaded, and the results that were downloaded.

They are spooled under INSTANCE_PATH/batches/<part id>/, for their owner alone, and removed when the part is
over. A file that is missing is made again.
"""

import shutil
from pathlib import Path

_INPUT = "input.jsonl"


class PartFiles:
    """``root``: the folder of all parts."""

    def __init__(self, root: Path):
        self._root = root

    def folder(self, part_id: int) -> Path:
        """The folder of a part, which is made."""
        folder = self._root / str(part_id)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def input(self, part_id: int) -> Path:
        """Where the input of a part belongs."""
        return self.folder(part_id) / _INPUT

    def has_input(self, part_id: int, size: int) -> bool:
        """Whether the input is there, whole."""
        path = self._root / str(part_id) / _INPUT
        return path.is_file() and path.stat().st_size == size

    def exists(self, part_id: int) -> bool:
        """Whether anything of the part is here."""
        return (self._root / str(part_id)).is_dir()

    def append(self, part_id: int, lines: list[bytes]) -> None:
        """Write further lines to the input."""
        path = self.input(part_id)
        path.touch(mode=0o600)
        with path.open("ab") as file:
            file.write(b"\n".join([*lines, b""]))

    def remove(self, part_id: int) -> None:
        """Remove all files of a part."""
        shutil.rmtree(self._root / str(part_id), ignore_errors=True)
