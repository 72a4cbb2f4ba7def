"""The parts of docs/ that are made from the code: python -m tools.generated_docs [--write]

Each stands between two comments that name it. Without --write the parts are printed;
tests/test_house.py compares them with the pages.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from tools import architecture_figures, batch_apis_table, providers_table, settings_table

ROOT = Path(__file__).parent.parent
# name of the part: page, maker
PARTS: dict[str, tuple[str, Callable[[], str]]] = {
    "batch APIs": ("docs/half-price.md", batch_apis_table.table),
    "figures": ("docs/architecture.md", architecture_figures.table),
    "providers": ("docs/providers.md", providers_table.table),
    "settings": ("docs/configuration.md", settings_table.table),
}


def written(name: str) -> str:
    """The part as its page has it."""
    page, _make = PARTS[name]
    return _split(page, name)[1]


def made(name: str) -> str:
    """The part as the code has it."""
    return f"\n{PARTS[name][1]()}\n"


def _split(page: str, name: str) -> tuple[str, str, str]:
    text = (ROOT / page).read_text("utf-8")
    begin, end = (
        f"<!-- {name}: python -m tools.generated_docs --write -->",
        f"<!-- end of {name} -->",
    )
    before, _, rest = text.partition(begin)
    part, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"{page}: the comments around the part {name!r} are missing.")
    return before + begin, part, end + after


def main() -> None:
    for name, (page, make) in PARTS.items():
        if "--write" in sys.argv:
            before, _part, after = _split(page, name)
            (ROOT / page).write_text(before + made(name) + after, "utf-8")
        else:
            print(f"{page}, {name}:\n{make()}\n")


if __name__ == "__main__":
    main()
