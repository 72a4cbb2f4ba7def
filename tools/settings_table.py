"""The table of settings in docs/configuration.md (see generated_docs.py)."""

from pathlib import Path

from simple_batch.core.settings import PROJECT_ROOT, Settings
from simple_batch.core.settings.declaration import Declaration, declarations


def table() -> str:
    head = "| name | default | unit | meaning | allowed |\n|---|---|---|---|---|"
    return "\n".join([head, *map(_row, declarations(Settings).values())])


def _row(declared: Declaration) -> str:
    allowed = ", ".join(declared.choices)
    if declared.low is not None:
        allowed = f"{declared.low} to {declared.high}"
    cells = [f"`{declared.name}`", _default(declared), declared.unit, declared.meaning, allowed]
    return f"| {' | '.join(cells)} |".replace("|  ", "| ")


def _default(declared: Declaration) -> str:
    if declared.default == "":
        return "(empty)"
    path = Path(str(declared.default))
    inside = isinstance(declared.default, str) and path.is_relative_to(PROJECT_ROOT)
    return f"`{path.relative_to(PROJECT_ROOT) if inside else declared.default}`"
