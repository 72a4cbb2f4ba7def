"""Messages that are stored in English and shown in the page's language."""

import ast
import re

import jsonschema_rs
import pytest
from babel.messages.pofile import read_po

from simple_batch.core import languages, stored_messages
from simple_batch.core.earlier_wordings import KEPT, PRESENT, Reworded
from simple_batch.core.languages import translated
from simple_batch.core.messages import Message, restored
from simple_batch.core.schema.validator import single
from simple_batch.core.stored_messages import (
    CUT_OFF,
    FAULT,
    FAULTS,
    MESSAGES,
    NO_JSON,
    NO_MATCH,
    PARTS,
    UNKNOWN_PROPERTY,
    VALIDATOR_WORDS,
    recognised,
)
from simple_batch.store.error_groups import normalised

from .test_messages import PACKAGE

chinese = languages.catalogue("zh")
HAN = re.compile("[\u4e00-\u9fff]")

# The calls that make what is stored, and which argument is the message.
STORED = {
    "TransportFailure": 1,
    "disqualified": 2,
    "_bad": 1,
    "BodyTooLarge": 0,
    "ConnectionError": 0,
    "ContentDecodingError": 0,
    "InvalidHeader": 0,
    "ReadTimeout": 0,
    "NoJson": 0,
    "Attempt": 5,
    "PauseReason": 1,
    "_note": 0,
}
MAKERS = ("engine/", "runner/", "cluster/", "core/schema/json_text.py", "core/schema/check.py")


def filled(message) -> Message:
    """A message with a value in each place."""
    return message(**{name: f"x{number}" for number, name in enumerate(message.names)})


@pytest.mark.parametrize("message", [*MESSAGES, *PARTS], ids=lambda message: message.template)
def test_each_message_has_a_chinese_translation_with_all_its_values(message):
    text = translated(filled(message), chinese)
    assert text != filled(message) or message in (stored_messages.FAULTS,)
    assert HAN.search(chinese(message.template)) or message is FAULTS
    assert all(f"x{number}" in text for number in range(len(message.names)))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.template)
def test_each_message_is_recognised_as_it_is_stored(message):
    """Also in the group of its failures, where what varies is left out."""
    for text in (str(filled(message)), normalised(filled(message))):
        found = recognised(text)
        assert isinstance(found, Message), text
        assert (found.template, str(found)) == (message.template, text)


def test_what_a_schema_says_is_recognised_to_its_last_part():
    faults = FAULTS(
        some=FAULT(why='the value is not of type "string"', place="$.a"),
        more=FAULT(why=UNKNOWN_PROPERTY(name="b"), place="$"),
    )
    for why, shown in (
        (faults, '值的类型不是 "string"（位置 $.a）；“b”不是 Schema 中的属性（位置 $）'),
        (
            CUT_OFF(why=NO_JSON(error="trailing")),
            "不是 JSON：trailing；回答在达到 max_tokens 时被截断",
        ),
    ):
        text = str(NO_MATCH(why=why))
        assert translated(recognised(text, 200), chinese) == f"回答不符合 Schema：{shown}"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, 1),
        ({"type": ["string", "null"]}, 1),
        ({"enum": ["a", "b"]}, "c"),
        ({"const": 1}, 2),
        ({"multipleOf": 2}, 3),
        ({"maximum": 2}, 3),
        ({"exclusiveMaximum": 2}, 2),
        ({"minimum": 5}, 3),
        ({"exclusiveMinimum": 3}, 3),
        ({"maxLength": 1}, "abc"),
        ({"maxLength": 2}, "abc"),
        ({"minLength": 1}, ""),
        ({"minLength": 5}, "abc"),
        ({"pattern": "^a"}, "b"),
        ({"format": "date"}, "b"),
        ({"maxItems": 1}, [1, 2]),
        ({"maxItems": 2}, [1, 2, 3]),
        ({"minItems": 1}, []),
        ({"minItems": 2}, []),
        ({"uniqueItems": True}, [1, 1]),
        ({"maxProperties": 1}, {"a": 1, "b": 2}),
        ({"maxProperties": 2}, {"a": 1, "b": 2, "c": 3}),
        ({"minProperties": 1}, {}),
        ({"minProperties": 2}, {}),
        ({"required": ["a"]}, {}),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}),
    ],
)
def test_the_validator_says_what_we_expect_of_it(schema, value):
    """A new version of it may use other words: they need a translation then."""
    (error,) = single(schema).iter_errors(value)
    assert any(words.read(error.message) for words in VALIDATOR_WORDS), error.message
    assert jsonschema_rs.is_valid(schema, value) is ("format" in schema)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("the answer is empty", 400),  # the provider says so
        ("Connection refused", 554),  # a mail server does
        ("I'm sorry, Dave. (at $)", None),
        ("no whole answer", None),
        ("", None),
    ],
)
def test_the_words_of_others_stay_as_they_came(text, status):
    assert translated(recognised(text, status), chinese) == text


def plain_messages(source: str) -> list[int]:
    """The lines in which a stored message is made of a bare text."""
    found = []
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        name = getattr(call.func, "id", getattr(call.func, "attr", ""))
        place = STORED.get(name, len(call.args))
        given = [*call.args[place : place + 1]]
        if name == "RequestResult":
            given = [one.value for one in call.keywords if one.arg == "message"]
        found += [call.lineno for one in given if isinstance(one, ast.Constant | ast.JoinedStr)]
    return found


def test_nothing_that_is_stored_is_made_of_a_bare_text():
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith(MAKERS):
            found[name] = plain_messages(path.read_text("utf-8"))
    assert len(found) > 50
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "source",
    [
        "raise TransportFailure(cause, 'x')",
        "RequestResult(index=1, message=f'{x}')",
        "self._note(f'x{y}')",
    ],
)
def test_a_bare_text_is_found(source):
    assert plain_messages(source) == [1]


PLACEHOLDER = re.compile(r"%\((\w+)\)")


def shown_as(present: str | Reworded) -> str:
    return present if isinstance(present, str) else present.template


@pytest.mark.parametrize("earlier", [*PRESENT, *KEPT])
def test_a_message_that_an_earlier_version_stored_is_shown_in_the_present_wording(earlier):
    """In Chinese it has every value that the present wording has."""
    values = {name: f"x-{name}" for name in PLACEHOLDER.findall(earlier)}
    inner = restored(["%(some)s\n%(text)s", {"some": "x", "text": [earlier, values]}])
    present = PRESENT.get(earlier, earlier)
    names = dict.fromkeys(PLACEHOLDER.findall(shown_as(present)))
    if isinstance(present, Reworded):
        assert names.keys() == present.values.keys() | present.texts.keys()
        kept = [f"x-{present.values[name]}" for name in names if name in present.values]
    else:
        assert str(inner) == "x\n" + present % values
        kept = [f"x-{name}" for name in names]
    shown = translated(inner, chinese)
    assert shown != str(inner)
    assert all(value in shown for value in kept)
    assert "%(" not in shown


@pytest.mark.parametrize("earlier", [text for text in PRESENT if "%(" not in text])
def test_a_stored_text_of_an_earlier_version_is_shown_in_the_present_wording(earlier):
    present = PRESENT[earlier]
    if any(message.template == present for message in MESSAGES):
        assert HAN.search(translated(recognised(earlier), chinese))


def test_values_that_an_earlier_version_named_otherwise():
    table = "a JSON array of {}"
    assert restored(["not valid JSON: %(error)s.", {"error": "x"}]) == "not valid JSON: x"
    earlier = next(text for text in PRESENT if text.startswith("This is a table (%(format)s"))
    shown = restored([earlier, {"format": "csv", "shown": table}])
    assert shown.startswith(f"This is a table (csv; columns: {table}): a template is needed")
    assert translated(shown, chinese).startswith("这是表格（csv；列：")
    # a value may be a message
    assert restored(["not valid JSON: %(error)s.", {"error": ["x", {}]}]) == "not valid JSON: x"


def test_earlier_wordings_are_no_longer_in_use():
    known = {
        message.id
        for message in read_po(
            (PACKAGE / "core/translations/zh/LC_MESSAGES/messages.po").open("rb")
        )
    }
    assert {earlier for earlier in PRESENT if earlier in known} == set()
    assert known >= KEPT
    assert {shown_as(one) for one in PRESENT.values()} - known == set()
