"""Texts of answers as HTML: what is a formula, what is JSON, and what is whole."""

import json

import pytest

from simple_batch.core.json_indent import indented
from simple_batch.web import answer_markdown, text_shape

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .test_pages import CONFIG, config, post

__all__ = ["config"]


@pytest.fixture
def ran(config, client, make_job, app, wait_for):
    """Runs a job of one request that gets this answer; returns its id."""
    services = app.extensions["simple_batch"]
    services.start()

    def run(answer: bytes) -> int:
        with MisbehavingEndpoint(answer) as endpoint:
            post(client, "/configs/1", **{**CONFIG, "base_url": endpoint.base_url})
            job_id = make_job(1, config="one", max_retries=0)
            wait_for(job_id, "completed")
            return job_id

    yield run
    services.stop(2)


@pytest.fixture
def html(app):
    def rendered(text: str) -> str:
        with app.test_request_context():
            return str(answer_markdown.rendered(text))

    return rendered


@pytest.mark.parametrize(
    ("text", "formulas"),
    [
        ("$x^2$ and the $n$th of \\(a_b\\), 函数$f(x)$的", ["x^2", "n", "a_b", "f(x)"]),
        ("$1$, $0.5x$ and \\[y*z*q\\] or $$ \\alpha $$", ["1", "0.5x", "y*z*q", "\\alpha"]),
        ("$$\na\n+ b\n\n= c\n$$", ["a\n+ b\n\n= c"]),
        ("text\n\\[\n- x\n\\]\nmore", ["- x"]),
        ("- a\n  $$\n  x\n  $$", ["x"]),
        ("```math\nx < y\n```", ["x &lt; y"]),
        ("$5 and $10, US$5 or US$6, $5 or 10$, $5–$10, $1k - 2k$", []),
        ("$HOME/$USER or \\$x, `$x$`, $ x $, $x", []),
        ("\\(open, \\[ and $$", []),
    ],
)
def test_formulas_and_prices(html, text, formulas):
    shown = html(text)
    found = [part.split("</code>")[0] for part in shown.split('<code class="math-')[1:]]
    assert [part.split(">", 1)[1] for part in found] == formulas


def test_images_are_shown_only_from_their_own_bytes(html):
    png = "data:image/png;base64," + "iVBORw0KGgo" * 10_000  # more than a text may be long
    shown = html(
        f"![plot]({png}) ![far](https://x.invalid/a.png) ![s](data:image/svg+xml;base64,aa)"
    )
    assert shown.count("<img") == 1
    assert f'src="{png}" alt="plot"' in shown
    assert 'href="https://x.invalid/a.png"' in shown
    assert "href=" not in html(f"[x]({png[:40]}) [y](javascript:alert) [z](data:text/html,x)")
    assert "src=" not in html("![a](image-in-text:0)")


def test_control_characters_are_seen(html):
    assert html("\x1b[2J\x07\x9b") == '<p dir="auto">␛[2J␇\ufffd</p>\n'


def test_the_lines_of_an_answer_stay_lines(html):
    """Addresses, poems, lists without marks: as a model wrote them."""
    shown = html("12 Main Street\nSpringfield\n\na second paragraph")
    assert shown.count("<br") == 1
    assert shown.count("<p") == 2


def test_json_is_told_apart():
    exact = '{"n": 12345678901234567890, "x": 1.10}'
    assert text_shape.of(f" \n{exact} ") == ("json", exact, len(exact) + 3)
    assert text_shape.of(f"```json\n{exact}\n```").text == exact
    others = ("12", '"text"', "[1] and", "{'a': 1}", "[" * 50_000 + "]" * 50_000)
    assert {text_shape.of(other).kind for other in others} == {"markdown"}
    deep = text_shape.DEEPEST
    assert text_shape.of("[" * deep + "]" * deep).kind == "json"
    assert text_shape.of("[" * (deep + 1) + "]" * (deep + 1)).kind == "markdown"
    brackets = "[" * deep + '"\\"{{"'
    assert text_shape.of(brackets + "]" * deep).kind == "json"  # brackets in a text do not count
    assert text_shape.of("[" + ",".join(["[]"] * 2 * deep) + "]").kind == "json"
    assert text_shape.of("x" * 200_000) == ("beginning", "x" * text_shape.LONGEST, 200_000)


@pytest.mark.parametrize(
    "value", [{}, [], {"a": [], "b": {}}, [1, [2, {"x": 'é\n\\"'}]], "text", None, {"a": {"b": 1}}]
)
def test_json_is_indented_as_always(value):
    wanted = json.dumps(value, ensure_ascii=False, indent=2)
    assert indented(json.dumps(value)) == wanted
    assert indented(wanted) == wanted


def test_numbers_stay_as_they_were_written():
    assert indented('[1.0,1.10,1e5,12345678901234567890,"\\ud800"]').split() == [
        "[",
        "1.0,",
        "1.10,",
        "1e5,",
        "12345678901234567890,",
        '"\\ud800"',
        "]",
    ]


def test_what_is_too_long_for_a_page_is_there_whole(client, ran):
    text = "word, " * 250_000
    job_id = ran(e.says(text))
    at = f"/jobs/{job_id}/requests/0"
    page = client.get(at)
    assert len(page.data) < 1_000_000
    assert f'href="{at}/answer.txt"' in page.text
    answer = client.get(f"{at}/answer.txt")
    assert answer.text == text
    assert answer.content_type == "text/plain; charset=utf-8"
    assert client.get(f"{at}/response.json").json["choices"][0]["message"]["content"] == text
    assert "messages" in client.get(f"{at}/request.json").json
    for missing in (f"/jobs/{job_id}/requests/9/answer.txt", f"{at}/other.txt"):
        assert client.get(missing).status_code == 404


def test_an_answer_without_text_says_so_in_the_results(ran, client):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    job_id = ran(e.says("", message={"role": "assistant", "content": "", "images": [picture]}))
    page = client.get(f"/jobs/{job_id}/results").text
    assert "No text. Open the row to see the answer." in page
