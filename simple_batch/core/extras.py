"""Packages that not every installation has: those of the extras ``cluster`` and ``tables`` (pyproject.toml).

They are loaded when they are first used. Where one is missing, the error says which command installs it.
"""

import importlib
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from .errors import MissingPackage
from .home import INSTALLED, PROGRAM
from .messages import translatable

# modules by the extra that installs them
_EXTRAS = {
    "cluster": ("celery", "kombu", "psycopg", "redis"),
    "tables": ("pyarrow", "xlsxwriter"),
}


def load(module: str) -> Any:
    """Import a module of an extra. Raises MissingPackage with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingPackage(
            translatable(
                "The package %(module)s cannot be loaded here (%(error)s). Install it: %(command)s",
                module=package,
                error=error,
                command=command(_extra_of(package)),
            )
        ) from None


def command(extra: str) -> str:
    """The command that installs an extra into this environment. It names the environment, whose package of this
    name satisfies it: another pip might fetch one of the same name from an index."""
    if not INSTALLED:
        return "pip install -r requirements.txt"
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    if find_spec("pip") is None:  # as in environments that uv makes
        return f'uv pip install --python {python} "{PROGRAM}[{extra}]"'
    return f'{python} -m pip install "{PROGRAM}[{extra}]"'


def _extra_of(package: str) -> str:
    return next(extra for extra, modules in _EXTRAS.items() if package in modules)


class Later(ModuleType):
    """Stands for a module of an extra, and imports it when a name in it is first asked for: so
    ``except psycopg.Error`` needs it only where an error comes by."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by the import system and debuggers
            raise AttributeError(name)
        return getattr(load(self.__name__), name)
