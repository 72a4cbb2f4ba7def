"""How an answer is shown, on the page of a request and in the drawer: formulas, tables, code, JSON, texts of
both directions, long ones, copies."""

import json

import pytest
from playwright.sync_api import expect

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from ..process import flask, served
from .conftest import opened
from .helpers import both_languages
from .test_access import violations, violations_in_both_themes

MANY = list(range(1, 100_001))
EXACT = '{"id": 12345678901234567890, "price": 1.0, "same": 1, "same": 1.10, "deep": {"a": [1, {"b": "line\\nline"}]}}'
RICH = """# Result

The root of $x^2 = 2$ is \\(\\sqrt{2}\\); it costs $5 and $10. \\[ \\boxed{\\int_0^1 x\\,dx = \\tfrac12} \\]

$$
a
+ b \\pmb{c}
$$

| name | value | a long column | another long column | one more |
|---|---:|---|---|---|
| pi | $\\pi$ | wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww | wwwwwwwwwwwwwwwwwwwwwwwwww | wwwwwwwwwwwwwwwwwwwwwwwwwwwww |

```python
def twice(x):
    return 2 * x  # "x"
```

هذا نص عربي مع English.

![remote](https://pictures.invalid/leak.png) and $\\notacommand{x}$
"""
LONG = "\n\n".join(f"Line {n} of a **long** text." for n in range(1, 201))
CALL = {"name": "look_up", "arguments": '{"city": "Paris", "days": 3}'}


def answers() -> list[bytes]:
    calls = [{"id": "1", "type": "function", "function": CALL}]
    message = {"role": "assistant", "reasoning_content": "first I think", "tool_calls": calls}
    return [
        e.says(RICH),
        e.says(f"```json\n{EXACT}\n```"),
        e.says("calling", message=message),
        e.says(LONG),
        e.says(json.dumps({"items": MANY})),
        e.says("\x1b[31mred\x1b[0m \x07" + "word " * 60_000),
    ]


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """A server with a job whose answers are of every kind."""
    folder = tmp_path_factory.mktemp("answers")
    lines = [
        json.dumps({"messages": [{"role": "user", "content": f"question {n}"}]})
        for n in range(len(answers()))
    ]
    (folder / "lines.jsonl").write_text("\n".join(lines))
    with MisbehavingEndpoint(*answers()) as endpoint:
        config = ("add-config", "one", "--base-url", endpoint.base_url, "--model", "m")
        assert flask(folder / "instance", *config, "--concurrency", "1").returncode == 0
        done = flask(folder / "instance", "run-job", str(folder / "lines.jsonl"), "--config", "one")
        assert done.returncode == 0, done.stderr
    running = served(folder / "instance")
    yield running
    running.stop()


@both_languages
def test_an_answer_is_shown_as_what_it_is(browser, answered, language, t):
    with opened(browser, answered.url, language) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.emulate_media(reduced_motion="reduce")
        page.goto("/jobs/1/requests/0")
        answer = page.locator("#answer")
        expect(page.locator("#facts-part dd").first).to_have_text("1")  # counted from 1
        expect(page.locator("#walk [rel=next]")).to_have_text(f"{t('Next')} ›")

        # formulas, none of a price
        expect(answer.locator(".katex")).to_have_count(5)
        expect(answer.locator("p", has_text="$5 and $10")).to_be_visible()
        expect(answer.locator(".katex-display")).to_have_count(2)
        expect(answer.locator("code.math-error")).to_have_text("\\notacommand{x}")

        # a table scrolls in its box, code has its language, each text its direction
        box = answer.locator(".table-box")
        assert box.evaluate("box => box.scrollWidth > box.clientWidth")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        expect(answer.locator(".code-head")).to_contain_text("python")
        expect(answer.locator(".code-block .hljs-keyword").first).to_have_text("def")
        arabic = answer.locator("p", has_text="عربي")
        assert arabic.evaluate("p => getComputedStyle(p).direction") == "rtl"
        expect(answer.locator("a[href='https://pictures.invalid/leak.png']")).to_be_visible()

        # copies say so, and are exact
        answer.locator(".code-block").get_by_role("button", name=t("Copy")).click()
        expect(page.locator("#copy-news")).to_have_text(f"✓ {t('Copied')}")
        assert page.evaluate("navigator.clipboard.readText()").startswith("def twice(x):\n    ret")
        page.get_by_role("button", name=t("Copy the answer")).click()
        expect(page.get_by_role("button", name=f"✓ {t('Copied')}").first).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == RICH
        assert violations_in_both_themes(page) == []

        # JSON is a tree for keys, its numbers as they were written, and the text one press away
        page.goto("/jobs/1/results?open=1")
        drawer = page.locator("#drawer")
        tree = drawer.locator("#answer [role=tree]")
        for text in ("12345678901234567890", "1.0", "1.10"):
            expect(tree.locator(".json-number", has_text=text).first).to_have_text(text)
        root = tree.locator("> li")
        root.focus()
        page.keyboard.press("End")
        expect(tree.locator("[role=treeitem]:focus")).to_contain_text('"b": "line\\nline"')
        page.keyboard.press("ArrowRight")
        expect(tree.locator(".json-text")).to_have_text("line\nline")
        page.keyboard.press("Home")
        page.keyboard.press("ArrowLeft")
        expect(root).to_have_attribute("aria-expanded", "false")
        expect(page.locator("#drawer-title")).to_have_text(t("Request %(n)s", n="2"))
        assert violations(page) == []
        drawer.locator("#answer").get_by_role("button", name=t("Text")).click()
        expect(drawer.locator("#answer pre")).to_have_text(EXACT)

        # calls of tools, and what the model thought before
        page.keyboard.press("j")
        expect(drawer.locator(".tool-call summary")).to_contain_text("look_up")
        expect(drawer.locator(".tool-call [role=tree]")).to_contain_text('"Paris"')
        expect(drawer.get_by_text("first I think", exact=True)).to_be_hidden()
        drawer.locator("summary", has_text=t("reasoning")).click()
        expect(drawer.get_by_text("first I think", exact=True)).to_be_visible()
        assert violations(page) == []

        # a long text is folded; the whole is a press away, and so is less of it
        page.keyboard.press("j")
        text = drawer.locator("#answer")
        more = drawer.get_by_role("button", name=t("Show all"))
        expect(more).to_be_visible()
        lines = text.evaluate("p => p.clientHeight / parseFloat(getComputedStyle(p).lineHeight)")
        assert 55 < lines < 62
        more.click()
        assert text.evaluate("p => p.scrollHeight === p.clientHeight")
        drawer.get_by_role("button", name=t("Show less")).click()
        expect(more).to_be_visible()
        assert [url for url in asked if not url.startswith(answered.url)] == []


def test_a_very_long_answer_is_there_in_parts(browser, answered):
    with opened(browser, answered.url) as page:
        page.goto("/jobs/1/requests/4")
        answer = page.locator("#answer")
        answer.get_by_role("button", name="Tree").click()  # fetches the whole
        items = answer.locator("[role=treeitem]")
        expect(items).to_have_count(2)
        items.last.click()
        expect(items).to_have_count(103)
        answer.get_by_text("Show 100 more of 100,000").click()
        expect(items).to_have_count(203)

        page.goto("/jobs/1/requests/5")
        expect(answer).to_contain_text("␛[31mred")
        assert len(answer.inner_text()) < 110_000
        whole = page.get_by_role("link", name="Open the whole text").first.get_attribute("href")
        assert page.request.get(whole).text().count("word") == 60_000


def test_an_answer_without_scripts(browser, answered):
    with opened(browser, answered.url, java_script_enabled=False) as page:
        page.goto("/jobs/1/requests/0")
        answer = page.locator("#answer")
        expect(answer.locator("code.math-inline").first).to_have_text("x^2 = 2")
        expect(answer.locator("td").first).to_have_text("pi")
        page.goto("/jobs/1/requests/1")
        expect(answer.locator("pre")).to_have_text(EXACT)
        page.goto("/jobs/1/requests/3")
        expect(answer.get_by_text("Line 200 of a long text.")).to_be_visible()
