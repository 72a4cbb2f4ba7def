"""What the build adds to pyproject.toml.

The dependencies come from requirements.txt, so that the pinned list stands in one place: packages below a line
``# extra: NAME`` belong to that extra, all others to every installation. And the files that the program needs
are copied from the top of the project into the package, where core/home.py finds them.
"""

from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

COPIED = ("examples", "gunicorn.conf.py", "requirements.txt", "static", "templates")
_EXTRA = "# extra: "


class Copies(BuildHookInterface):
    def initialize(self, version: str, build_data: dict) -> None:
        """Called by hatchling before it makes a wheel. An editable one finds the files where they are."""
        if version != "editable":
            build_data["force_include"].update({name: f"simple_batch/{name}" for name in COPIED})


class Requirements(MetadataHookInterface):
    def update(self, metadata: dict) -> None:
        """Called by hatchling while it builds."""
        found = read(Path(self.root, "requirements.txt"))
        metadata["dependencies"] = found.pop("")
        metadata["optional-dependencies"] = found


def read(path: Path) -> dict[str, list[str]]:
    """The requirements by extra; those of every installation are at ``""``."""
    found: dict[str, list[str]] = {"": []}
    extra = ""
    for line in path.read_text("utf-8").splitlines():
        if line.startswith(_EXTRA):
            extra = line.removeprefix(_EXTRA).partition(" ")[0]
            found[extra] = []
        elif requirement := line.partition("#")[0].strip():
            found[extra].append(requirement)
    return found
