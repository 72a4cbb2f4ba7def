"""Texts name the commands of the program that runs: flask commands in a checkout, else simple-batch."""

import ast
import gettext
import re
from pathlib import Path

import pytest

from simple_batch.cli.verb_table import VERBS
from simple_batch.core import command_names, home, languages
from simple_batch.core.command_names import NAMED, in_words_of_program
from simple_batch.core.errors import DatabaseError
from simple_batch.core.messages import translatable

PACKAGE = Path(home.__file__).parents[1]
TEMPLATES = PACKAGE.parent / "templates"
# What says a text through the helper: errors, messages that pages translate, words of commands.
SAID_BY = re.compile(
    r"translatable|stored_message|\w*Error|Conflict|InvalidInput|in_words_of_program|say|complain|"
    r"option|setting|_end_with"
)


@pytest.fixture
def as_program(monkeypatch):
    monkeypatch.setattr(command_names, "as_program", True)


def test_the_names_are_those_of_the_verbs():
    assert {verb.flask: verb.name for verb in VERBS} == command_names.VERBS


def test_a_checkout_keeps_flask(monkeypatch):
    monkeypatch.setattr(command_names, "as_program", False)
    assert in_words_of_program("run flask demo, or python run.py") == (
        "run flask demo, or python run.py"
    )


def test_an_installed_program_names_its_verbs(as_program):
    assert in_words_of_program("flask demo; flask list-jobs --json; python run.py") == (
        "simple-batch demo; simple-batch ls --json; simple-batch serve"
    )
    assert in_words_of_program("请运行flask restore-db FILE。") == (
        "请运行simple-batch backup restore FILE。"
    )
    assert in_words_of_program("a flask demonstration; flask democracy") == (
        "a flask demonstration; flask democracy"
    )
    assert "simple-batch backup restore" in str(
        DatabaseError("Put it back (flask restore-db FILE)")
    )
    named = translatable("Run flask clean, %(name)s.", name="flask demo")
    # what a user has written stays
    assert languages.translated(named, str) == "Run simple-batch db clean, flask demo."


def test_translations_name_the_same_commands():
    """A text that is not looked at in English is not adapted in Chinese either."""
    path = PACKAGE / "core" / "translations" / "zh" / "LC_MESSAGES" / "messages.mo"
    with path.open("rb") as file:
        catalogue = gettext.GNUTranslations(file)._catalog
    for text, translation in catalogue.items():
        original = text[0] if isinstance(text, tuple) else text
        if original:  # the first entry is the header
            assert NAMED.findall(original) == NAMED.findall(translation), original


def test_templates_name_commands_through_the_filter():
    named = 0
    for path in TEMPLATES.rglob("*.html"):
        for place in NAMED.finditer(path.read_text("utf-8")):
            end = path.read_text("utf-8")[place.end() :].partition("}}")[0]
            assert re.search(r'"\)?\s*\|commands', end), f"{path}: {place[0]}"
            named += 1
    assert named


def _said(tree: ast.AST) -> set[int]:
    """Ids of the texts that are given to what says them, also by the name of a constant, and of
    docstrings."""
    found: set[int] = set()
    names: set[str] = set()
    for node in ast.walk(tree):
        inside: list[ast.AST] = []
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            name = node.func.id if isinstance(node.func, ast.Name) else name
            if SAID_BY.fullmatch(name):
                inside = [*node.args, *(one.value for one in node.keywords)]
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            inside = [node.value]
        for one in (below for top in inside for below in ast.walk(top)):
            found.add(id(one))
            if isinstance(one, ast.Name):
                names.add(one.id)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and {getattr(it, "id", "") for it in node.targets} & names:
            found |= {id(one) for one in ast.walk(node.value)}
    return found


def test_the_package_names_commands_through_the_helper():
    named, unsaid = 0, []
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        said = _said(tree)
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and NAMED.search(text):
                named += 1
                if id(node) not in said:
                    unsaid.append(f"{path}:{node.lineno}: {text}")
    assert not unsaid
    assert named > 20


def test_pages_and_the_batch_api_of_an_installed_program(as_program, client, app):
    page = client.get("/storage").text
    assert "flask clean" not in page
    for lang in ("en", "zh"):
        page = client.get(f"/jobs?lang={lang}").text
        assert NAMED.search(page) is None
    answer = client.get("/v1/files", headers={"Origin": "http://elsewhere.example"})
    assert answer.status_code in (401, 403)
    assert "simple-batch token add NAME" in answer.text
    assert NAMED.search(answer.text) is None
