"""Where the program's own files are, and where it keeps its data.

In a checkout the templates, static files and examples are folders at the top of the project. A wheel has
them inside the package (hatch_build.py copies them there).
"""

import os
from collections.abc import Mapping
from pathlib import Path

PROGRAM = "simple-batch"
HOME = "SIMPLE_BATCH_HOME"
INSTANCE_PATH = "SIMPLE_BATCH_INSTANCE_PATH"
_PACKAGE = Path(__file__).resolve().parents[1]
INSTALLED = (_PACKAGE / "templates").is_dir()
RESOURCES = (
    _PACKAGE if INSTALLED else _PACKAGE.parent
)  # the folder of templates/, static/, examples/


def resource(*names: str) -> Path:
    """The path of a file or folder that ships with the program, as in ``resource("examples", "chat.json")``."""
    return RESOURCES.joinpath(*names)


def chosen(path: str | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of the database, keys and uploads: ``path`` (--home), else the variable
    SIMPLE_BATCH_HOME, else SIMPLE_BATCH_INSTANCE_PATH, else ``default()``."""
    given = path or environ.get(HOME) or environ.get(INSTANCE_PATH)
    return Path(given).expanduser().absolute() if given else default()


def default() -> Path:
    """The folder where none is chosen: ``instance/`` of a checkout, else the user's data folder."""
    return user_data() if INSTALLED else RESOURCES / "instance"


def user_data() -> Path:
    """The user's data folder, as the system has it: ~/.local/share/simple-batch on Linux,
    ~/Library/Application Support/simple-batch on macOS, %LOCALAPPDATA%\\simple-batch on Windows."""
    from platformdirs import user_data_path  # a checkout does not need it

    return user_data_path(PROGRAM, appauthor=False).absolute()


def outputs(instance: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """The folder in which the folders of logs and of the demo's exports are made: the checkout, or the
    home where the program is installed or a home is chosen."""
    return instance if INSTALLED or environ.get(HOME) else RESOURCES
