"""The link check of the documentation (tools/links.py)."""

import pytest

from tools import links

README = """# Title

[first](docs/first.md) [site](https://example.org/nothing) ![picture](docs/a%20b.png) [here](#title)
"""


@pytest.fixture
def documents(tmp_path):
    """Writes files by their paths; returns the folder that holds them."""

    def write(**files: str):
        for name, text in {"README.md": README, "docs/first.md": "", **files}.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        (tmp_path / "docs/a b.png").touch()
        return tmp_path

    return write


def test_the_links_of_this_repository_work():
    assert links.problems(links.ROOT) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[x](second.md)", "docs/first.md: second.md: no such file"),
        ("[x][1]\n\n[1]: ../nothing.md", "docs/first.md: ../nothing.md: no such file"),
        ("| a |\n|---|\n| [x](z.md) |", "docs/first.md: z.md: no such file"),
        ("![x](x.png)", "docs/first.md: x.png: no such file"),
        ('<img src="x.png">', "docs/first.md: x.png: no such file"),
        ("[x](../../outside.md)", "docs/first.md: ../../outside.md: no such file"),
        ("[x](#nowhere)", "docs/first.md: #nowhere: no such heading"),
        ("# Here\n[x](#Here)", "docs/first.md: #Here: no such heading"),
        ("[x](../README.md#nothing)", "docs/first.md: ../README.md#nothing: no such heading"),
    ],
)
def test_a_broken_link_and_a_broken_anchor_are_found(documents, text, problem):
    assert links.problems(documents(**{"docs/first.md": text})) == [problem]


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("## Two words, `code` & more", "two-words-code--more"),
        ("## 两个 词", "两个-词"),
        ("## Again\n## Again", "again-1"),
        ("Underlined\n---", "underlined"),
        ('<a id="place"></a>', "place"),
    ],
)
def test_anchors_are_those_of_github(documents, heading, anchor):
    assert links.problems(documents(**{"docs/first.md": f"{heading}\n\n[x](#{anchor})"})) == []


def test_a_page_that_no_link_leads_to_is_found(documents):
    root = documents(**{"docs/lost.md": "[itself](lost.md)"})
    assert links.problems(root) == ["docs/lost.md: no link leads here from README.md"]
    assert links.problems(documents(**{"docs/first.md": "[x](lost.md)"})) == []


def test_the_exit_code_says_whether_all_links_work(documents, capsys):
    root = documents()
    assert links.main(str(root)) == 0
    (root / "docs/first.md").unlink()
    assert links.main(str(root)) == 1
    assert "README.md: docs/first.md: no such file" in capsys.readouterr().out
