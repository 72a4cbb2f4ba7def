"""Every error that a page may show can be translated."""

import ast
import re
from pathlib import Path

import msgspec
import pytest

import simple_batch
from simple_batch.core import errors
from simple_batch.core.domain import Fault
from simple_batch.core.errors import InvalidInput
from simple_batch.core.messages import Message, listed, translatable

PACKAGE = Path(simple_batch.__file__).parent

# which argument of a call is a sentence
ERRORS = {
    name: 0
    for name, found in vars(errors).items()
    if isinstance(found, type)
    and issubclass(found, errors.SimpleBatchError)
    and found not in (errors.SettingsError, errors.DatabaseError)  # at the start, before any page
}
SENTENCES = {**ERRORS, "Bad": 1, "Fault": 2, "fault": 1, "wrong": 0, "SecurityError": 0}
# commands and the Batch API speak English
NO_PAGES = (
    "cli/",
    "api/",
    "services/backups.py",
    "services/database_copy.py",
    "services/job_names.py",
    "services/row_subset.py",
    "store/backup.py",
    "store/transfer/endpoints.py",
)


def plain_sentences(source: str) -> list[int]:
    """The lines in which an error is created from an untranslatable text."""
    found = []
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        name = getattr(call.func, "id", getattr(call.func, "attr", ""))
        place = SENTENCES.get(name, len(call.args))
        if place < len(call.args) and _is_plain(call.args[place]):
            found.append(call.lineno)
    return found


def _is_plain(node: ast.expr) -> bool:
    """Whether an expression is a literal, an f-string, or made of them."""
    if isinstance(node, ast.Call):
        made = getattr(node.func, "attr", getattr(node.func, "id", ""))
        return made in ("str", "format", "join", "strip")
    if isinstance(node, ast.IfExp):
        return _is_plain(node.body) or _is_plain(node.orelse)
    return isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp)


def test_no_error_that_a_page_shows_is_made_of_a_bare_text():
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(NO_PAGES):
            found[name] = plain_sentences(path.read_text("utf-8"))
    assert len(found) > 80
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "source",
    [
        "raise InvalidInput('x', 'field')",
        "raise errors.Conflict(f'x {y}')",
        "raise NotFound('x' + y)",
        "raise InvalidInput(str(error))",
        "raise UploadRejected(', '.join(names))",
        "yield Fault(1, 'code', f'x {y}')",
        "raise Bad('code', 'x' if y else said('z'))",
    ],
)
def test_a_bare_text_is_found(source):
    assert plain_sentences(source) == [1]


def test_a_text_is_its_english_and_remembers_how_it_was_made():
    text = translatable("%(name)s of %(count)s", name=translatable("Alias"), count=f"{1000:,}")
    assert text == "Alias of 1,000"
    assert str(InvalidInput(text)) == "Alias of 1,000"
    assert InvalidInput(text).text is text
    assert (text.template, str(text.values["name"])) == ("%(name)s of %(count)s", "Alias")
    assert translatable("100% of {}") == "100% of {}"
    assert listed(iter([translatable("a"), "b", "c"])) == "a, b, c"


def test_a_stored_fault_still_knows_how_it_was_made():
    text = translatable(
        "%(what)s: %(why)s %(n)s", what="é", why=translatable("the %(k)r", k="[1]"), n=7
    )
    stored = msgspec.json.encode(Fault(3, "code", text))
    found = msgspec.json.decode(stored, type=Fault)
    assert (found.message, found.text) == ("é: the '[1]' 7", text)
    assert isinstance(found.text.values["why"], Message)
    old = msgspec.json.decode(b'{"line": 3, "code": "c", "message": "as it was"}', type=Fault)
    assert (old.text, old.wording) == ("as it was", None)


COUNTED = re.compile(r"%\((?:count|n|num|bad|jobs|seconds)\)s (?:of the )?(?:[a-z]+ )?[a-z]+s\b")


def test_a_text_with_a_count_has_a_form_for_one():
    """Each “%(count)s items” stands beside a text for 1, in its file."""
    missing = {}
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        texts = [
            call.args[0].value
            for call in ast.walk(tree)
            if isinstance(call, ast.Call)
            and getattr(call.func, "id", "") == "translatable"
            and call.args
            and isinstance(call.args[0], ast.Constant)
        ]
        single = " ".join(text for text in texts if re.search(r"\b1 |only ", text))
        for text in texts:
            found = COUNTED.search(text)
            if found and not _said_of_one(found[0], single) and text not in NEVER_ONE:
                missing[text] = path.name
    assert missing == {}


NEVER_ONE = {  # what has these counts has more than one of them
    "completed, %(n)s answers not OK",
    "%(n)s days",
    "%(n)s hours",
    "%(n)s minutes",
    "%(count)s columns, more than %(most)s.",
    "The file holds %(count)s parts: that is no workbook.",
    "The ZIP archive holds %(count)s files, MAX_IMAGES allows %(most)s: split it.",
    # what limits the speed: the script of the page fills the number in
    "Limited by %(n)s calls at a time, learned from refusals.",
    "Limited by %(n)s requests/min, learned from refusals.",
    "Limited by %(n)s tokens/min, learned from refusals.",
    "Limited by the connection's %(n)s requests/min.",
    "Limited by the connection's %(n)s tokens/min.",
    "Limited by this process: up to %(n)s calls at a time.",
}


def _said_of_one(phrase: str, single: str) -> bool:
    noun = phrase.split()[-1]
    return any(form in single for form in (noun.removesuffix("s"), noun.removesuffix("es")))


TRANSLATES = ("gettext", "ngettext", "lazy_gettext", "_", "translatable", "said")


def in_f_strings(source: str) -> list[str]:
    """The translated texts within f-strings: Babel does not find them before Python 3.12."""
    return [
        ast.unparse(call)
        for text in ast.walk(ast.parse(source))
        if isinstance(text, ast.JoinedStr)
        for call in ast.walk(text)
        if isinstance(call, ast.Call)
        and getattr(call.func, "id", getattr(call.func, "attr", "")) in TRANSLATES
        and any(isinstance(value, ast.Constant) for value in call.args)
    ]


def test_no_translated_text_stands_in_an_f_string():
    assert in_f_strings("f'{_(\"code\")}: {n}'") == ["_('code')"]
    found = {path.name: in_f_strings(path.read_text()) for path in PACKAGE.rglob("*.py")}
    assert {name: texts for name, texts in found.items() if texts} == {}
