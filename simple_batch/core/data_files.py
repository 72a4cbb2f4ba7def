"""The tables that ship with the program: files under simple_batch/data/."""

from pathlib import Path

_DATA = Path(__file__).resolve().parent.parent / "data"


def data_file(name: str) -> Path:
    """The path of a shipped table."""
    return _DATA / name
