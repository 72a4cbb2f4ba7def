"""``settings.toml``: what stands in it, or in words what is wrong and where."""

import difflib
import tomllib
from collections.abc import Iterable
from pathlib import Path

from ..errors import SettingsError

MAX_BYTES = 1024 * 1024
_BOM = b"\xef\xbb\xbf"


def read(path: Path, known: set[str]) -> dict[str, object]:
    """The settings in the file, by their names in capitals; none where there is no file. Raises
    SettingsError for what is no TOML in UTF-8, with the line, and for names that are not ``known``."""
    try:
        raw = tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: {error}. Correct the file or remove it.") from error
    found: dict[str, object] = {}
    for name, value in raw.items():
        if name.upper() not in known:
            close = meant(name.upper(), known)
            hint = f"Is {close} meant? " if close else ""
            raise SettingsError(
                f"{path}: unknown setting {name[:60]!r}. {hint}See docs/configuration.md."
            )
        if name.upper() in found:
            raise SettingsError(f"{path}: {name.upper()} stands there twice. Remove one of them.")
        found[name.upper()] = value
    return found


def meant(name: str, known: Iterable[str]) -> str | None:
    """The setting whose name is most like this one, if any is."""
    return next(iter(difflib.get_close_matches(name, sorted(known), 1, 0.75)), None)


def _text(path: Path) -> str:
    if path.is_symlink() and not path.exists():
        raise SettingsError(
            f"{path} is a link to {path.readlink()}, which is not there: bring that back, or remove "
            "the link."
        )
    if path.exists() and not path.is_file():  # a pipe would keep us waiting
        raise _unreadable(path, "it is no file")
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1).removeprefix(_BOM)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    if len(raw) > MAX_BYTES:
        raise _unreadable(path, f"it has more than {MAX_BYTES:,} bytes")
    try:
        return raw.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SettingsError(
            f"{path}: line {line} is not UTF-8. Save the file in UTF-8 (not as UTF-16, GBK or Latin-1)."
        ) from error


def _unreadable(path: Path, why: str) -> SettingsError:
    return SettingsError(
        f"{path} cannot be read: {why}. It has to be a file of settings that this user can read."
    )
