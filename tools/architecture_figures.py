"""The figures in docs/architecture.md (see generated_docs.py), and what they may be."""

import ast
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "simple_batch"
MAX_ENTRIES = 16
MAX_LAYERS = 10
MAX_FUNCTION_LINES = 60
MAX_TEMPLATE_LINE = 160
# Files of one name: what a page, a command or a query shows is called after the service, the table or
# the room that it shows. A name may leave this list, and none may be added.
SHARED_NAMES = frozenset(
    {
        "access",
        "audit",
        "batches",
        "compare",
        "configs",
        "errors",
        "images",
        "jobs",
        "models",
        "option_fields",
        "spend_leases",
        "templates",
        "users",
        "webhooks",
        "worker",
    }
)


def entries() -> list[str]:
    """What stands at the top of the package."""
    return sorted(path.name for path in PACKAGE.iterdir() if path.name != "__pycache__")


def layers() -> list[str]:
    """The lines of the import contract."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    return next(contract["layers"] for contract in contracts if contract["type"] == "layers")


def shared_names() -> dict[str, list[str]]:
    """The names of several files, each with the folders that have one."""
    folders = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.stem != "__init__":
            folder = path.parent.relative_to(PACKAGE).as_posix()
            folders[path.stem].append("the top" if folder == "." else folder)
    return {name: found for name, found in sorted(folders.items()) if len(found) > 1}


def function_lines() -> dict[str, int]:
    """The length in lines of every function, by its place."""
    return dict(_function_lines())


def _function_lines() -> Iterator[tuple[str, int]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                place = f"{path.relative_to(PACKAGE).as_posix()}, {node.name} ({node.lineno})"
                yield place, (node.end_lineno or node.lineno) - node.lineno + 1


def longest_template_line() -> int:
    """In characters."""
    pages = (ROOT / "templates").rglob("*.html")
    return max(len(line) for page in pages for line in page.read_text("utf-8").splitlines())


def table() -> str:
    lines = function_lines().values()
    names = (f"{name} ({', '.join(folders)})" for name, folders in shared_names().items())
    rows = [
        ("entries at the top of the package", len(entries()), MAX_ENTRIES),
        ("lines of the import contract", len(layers()), MAX_LAYERS),
        ("lines of the longest function", max(lines), MAX_FUNCTION_LINES),
        ("lines of the median function", f"{median(lines):g}", ""),
        (
            "characters of the longest line of a template",
            longest_template_line(),
            MAX_TEMPLATE_LINE,
        ),
        ("names that several files have", len(shared_names()), len(SHARED_NAMES)),
    ]
    head = ["| figure | now | limit |", "|---|---|---|"]
    body = [f"| {figure} | {now} | {limit} |".replace("|  ", "| ") for figure, now, limit in rows]
    return "\n".join([*head, *body, "", f"Files of one name: {'; '.join(names)}."])
