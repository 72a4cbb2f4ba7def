"""Terms of the field lead to the right file: by file names, class names and first lines."""

import ast
import re
from pathlib import Path

import pytest

import simple_batch

PACKAGE = Path(simple_batch.__file__).parent
PLACES = {
    "heartbeat": "cluster/heartbeat.py",
    "load_balancer": "engine/load_balancer.py",
    "token_bucket": "engine/estimators.py",
    "ssrf": "core/address_policy.py",
    "spend_cap": "runner/spend_caps.py",
    "response_cache": "store/response_cache.py",
    "page_cache": "web/page_cache.py",
    "rate_limit": "engine/rate_limit_headers.py",
}
MOST_ENTRIES = 17


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def named(path: Path) -> set[str]:
    """The names of a module: its file name, its classes and the first words of its docstring."""
    tree = ast.parse(path.read_text("utf-8"))
    classes = {snake(node.name) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    first = (ast.get_docstring(tree) or "").partition(":")[0].partition("\n")[0]
    return {path.stem, *classes, snake(re.sub(r"\W+", "_", first))}


@pytest.mark.parametrize("term", PLACES)
def test_a_term_of_the_field_leads_to_one_file(term):
    files = [path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts]
    by_file = [path for path in files if term in path.stem]
    found = by_file or [path for path in files if any(term in name for name in named(path))]
    assert [path.relative_to(PACKAGE).as_posix() for path in found] == [PLACES[term]]


def test_the_top_of_the_package_has_few_entries():
    entries = [path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= MOST_ENTRIES, sorted(entries)
