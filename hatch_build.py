"""The dependencies of the package, from requirements.txt: the pinned list stands in one place.

Packages below a line ``# extra: NAME`` belong to that extra, all others to every installation.
"""

from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

_EXTRA = "# extra: "


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
        elif line.strip() and not line.startswith("#"):
            found[extra].append(line.strip())
    return found
