"""The language that users and readers of the code see: plain English, none of the phrases below.

Looked at are comments, docstrings and texts of the code, the pages, the documents and the texts that
are translated. Names in the code are not.
"""

import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from babel.messages.pofile import read_po

from simple_batch.cli import configs, gallery, jobs, run

ROOT = Path(__file__).parents[1]
CATALOGUE = ROOT / "simple_batch/core/translations/zh/LC_MESSAGES/messages.po"
SUFFIXES = {".py", ".md", ".html", ".js", ".sh", ".lua", ".toml"}
LEFT_OUT = ("static/vendor/", "tests/test_language.py", "simple_batch/core/data/prices.toml")

PHRASES = (
    "whoever",
    "nobody",
    "somebody",
    "so many",
    "is no more",
    "in vain",
    "lets? in",
    "anew",
    "told of",
    "lately",
    "thereby",
    "as it were",
    "of (?:its|their|his|one's) own",
    "(?:is|are) (?:told|to be)",
    "befalls?",
    "whatsoever",
    "hereby",
    "herewith",
    "therein",
    "thereof",
    "wherein",
    "whereof",
    "hitherto",
)
GAP = r"\s+(?:[#*>]+\s+)?"  # also where a line ends, in a comment too
BANNED = re.compile(rf"\b(?:{'|'.join(PHRASES).replace(' ', GAP)})\b", re.IGNORECASE)
# names of users, hosts and jobs that do not exist, not words
NAMES = re.compile(
    r"""["'/. =](nobody|somebody)(["'@.]|-knows)|job of nobody|"nobody"|/nobody\b""", re.IGNORECASE
)


def tracked() -> list[Path]:
    """The files of the project whose texts are its own."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    paths = (ROOT / name for name in names if not name.startswith(LEFT_OUT))
    return [path for path in paths if path.suffix in SUFFIXES and path.is_file()]


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of all that a reader of the file reads: of Python only comments and strings."""
    source = path.read_text("utf-8")
    if path.suffix != ".py":
        yield 1, source
        return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING) or token.type == FSTRING_PART:
            yield token.start[0], token.string


FSTRING_PART = getattr(tokenize, "FSTRING_MIDDLE", -1)  # of Python 3.12 on


def banned(text: str) -> Iterator[tuple[int, str]]:
    """(line from 0, phrase) of each banned phrase."""
    plain = NAMES.sub(lambda found: " " * len(found[0]), text)
    for found in BANNED.finditer(plain):
        yield text.count("\n", 0, found.start()), re.sub(r"[\s#]+", " ", found[0])


def test_no_banned_phrase_is_read_anywhere():
    files = tracked()
    assert len(files) > 400
    found = [
        f"{path.relative_to(ROOT)}:{line + offset}: {phrase}"
        for path in files
        for line, text in texts(path)
        for offset, phrase in banned(text)
    ]
    assert found == []


def test_no_banned_phrase_is_translated():
    with CATALOGUE.open("rb") as file:
        messages = read_po(file, locale="zh")
    texts = [text for one in messages for text in (one.id if one.pluralizable else [one.id])]
    assert len(texts) > 1000
    assert [text for text in texts if next(banned(text), None)] == []


# what users read another word for: connection, name, settings file
INSIDE = re.compile(
    rf"\bAPI{GAP}configs?\b|(?<![\w(/-])(?:configs?|alias(?:es)?|recipes?)(?![\w)/=-])",
    re.IGNORECASE,
)
INSIDE_CHINESE = re.compile("API 配置|别名|(?<!分)配方")


def test_users_read_of_connections_and_their_names_in_every_message():
    with CATALOGUE.open("rb") as file:
        messages = [one for one in read_po(file, locale="zh") if one.id]
    english = [text for one in messages for text in (one.id if one.pluralizable else [one.id])]
    chinese = [
        text for one in messages for text in (one.string if one.pluralizable else [one.string])
    ]
    assert [text for text in english if INSIDE.search(text)] == []
    assert [text for text in chinese if INSIDE_CHINESE.search(text)] == []


def test_users_read_of_connections_in_the_documents():
    pages = [*ROOT.glob("docs/*.md"), *ROOT.glob("README*.md"), ROOT / "CHANGELOG.md"]
    words = re.compile(rf"\bAPI{GAP}configs?\b|API 配置")
    assert len(pages) > 20
    assert [path.name for path in pages if words.search(path.read_text("utf-8"))] == []


def test_users_read_of_connections_in_the_help_of_commands():
    helps = [
        f"{command.name}: {text}"
        for module in (configs, gallery, jobs, run)
        for command in vars(module).values()
        if isinstance(command, click.Command)
        for text in (command.help, *(getattr(one, "help", "") for one in command.params))
        if text
    ]
    assert len(helps) > 100
    assert [text for text in helps if INSIDE.search(text.partition(": ")[2])] == []


@pytest.mark.parametrize("text", ["An API\n  config", "No configs yet.", "Alias", "a recipe:"])
def test_a_word_of_the_inside_is_found(text):
    assert INSIDE.search(text)


@pytest.mark.parametrize("text", ["%(config)s", "add-config, list-configs", "alias=2", "--config"])
def test_names_of_commands_options_and_values_are_no_words(text):
    assert not INSIDE.search(text)


def test_every_message_has_a_translation():
    with CATALOGUE.open("rb") as file:
        messages = [one for one in read_po(file, locale="zh") if one.id]
    assert [one.id for one in messages if not one.string or one.fuzzy] == []


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("Let nobody in: Whoever is let in", ["nobody", "Whoever", "let in"]),
        ("an address of its\n    # own", ["of its own"]),
        ("it is to\nbe done", ["is to be"]),
        ("flask demo --user nobody@example.com", []),
        ('host == "nobody"', []),
        ("anewline, platelets in", []),
    ],
)
def test_a_phrase_is_found_where_it_is_one(text, phrases):
    assert [phrase for _line, phrase in banned(text)] == phrases
