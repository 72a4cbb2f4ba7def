"""Texts from outside (answers, errors, models) and from users (names, prompts, columns, files) stay
text on every page: no script runs, and the security policy has nothing to block. The page fixture
fails the test for either."""

import json
import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from ..process import flask
from .conftest import opened
from .helpers import expect_status

RUN = "console.error('hacked')"
SHORT = f'"><img src=x onerror={RUN}>'
HOSTILE = (
    f"</textarea></title></script><script>{RUN}</script>{SHORT}'><svg onload={RUN}>"
    "{{7*7}}${7*7}<!--\u202e\x00"
)
MARKDOWN = f"""
# {SHORT}
[link](javascript:{RUN}) <javascript:{RUN}> [b](JaVaScRiPt&#58;{RUN}) [c](data:text/html,<script>{RUN}</script>)
![i](x" onerror="{RUN}) <a href="javascript:{RUN}" onclick="{RUN}">x</a>
<iframe srcdoc="<script>{RUN}</script>"></iframe><style>*{{}}</style><form action=//x><button>x
| a | {SHORT} |
|---|---|
```x"><script>{RUN}</script>
</code></pre><script>{RUN}</script>
```
"""


def answers() -> list[bytes]:
    """Good and bad answers with hostile content in every place."""
    call = {"name": HOSTILE, "arguments": json.dumps({HOSTILE: HOSTILE})}
    message = {
        "reasoning_content": HOSTILE,
        "tool_calls": [{"id": HOSTILE, "type": "function", "function": call}],
    }
    url = f"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' onload=\"{RUN}\"/>"
    images = [
        {"type": "text", "text": HOSTILE},
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image_url", "image_url": {"url": f"javascript:{RUN}"}},
    ]
    good = {**e.GOOD, "model": HOSTILE}
    choices = [{"index": 0, "message": {"role": "assistant", "content": images}}]
    return [
        e.says(MARKDOWN + HOSTILE, message=message),
        e.http(200, {**good, "choices": choices}),
        e.error(400, HOSTILE, HOSTILE),
        e.http(500, f"<script>{RUN}</script>{HOSTILE}".encode(), kind="text/html"),
        e.http(200, {**good, "error": {"message": HOSTILE}}),
    ] * 6


@pytest.fixture
def hostile(instance, server, tmp_path):
    """A held job whose every name and text is hostile; returns its id."""

    def command(*args: str, **more: str) -> str:
        done = flask(instance, *args, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    with MisbehavingEndpoint(*answers(), e.ok()) as endpoint:
        config = ("add-config", SHORT, "--base-url", endpoint.base_url, "--model", HOSTILE[:-2])
        command(*config, "--key-stdin", "--input-price", "1", "--output-price", "1")
        lines = tmp_path / f"{SHORT}.jsonl".replace("/", "")
        with lines.open("w") as file:
            for n in range(12):
                content = [{"type": "text", "text": HOSTILE.replace("\0", "")}]
                if n == 3:
                    link = {"url": f"javascript:{RUN}"}
                    content.append({"type": "image_url", "image_url": link})
                messages = [{"role": "user", "content": content}]
                file.write(json.dumps({"custom_id": f"{n}{SHORT}", "messages": messages}) + "\n")
        command("create-token", SHORT)
        command("create-webhook", f"http://127.0.0.1:9/{SHORT}".replace(" ", "%20"), "--chosen")
        schema = tmp_path / "schema.json"
        properties = {SHORT: {"type": "string", "description": HOSTILE}}
        schema.write_text(
            json.dumps({"type": "object", "properties": properties, "title": HOSTILE})
        )
        job = ("create-job", str(lines), "--config", SHORT, "--name", f"job {SHORT}", "--no-start")
        command(*job, "--schema", str(schema), "--schema-mode", "check", "--max-retries", "1")
        yield command(*job, "--max-retries", "1", "--concurrency", "2")


def test_no_script_of_others_runs(page, hostile, tmp_path, browser):
    page.goto("/jobs")  # its rows change while it runs
    with opened(browser, page.url.removesuffix("/jobs")) as watching:
        watching.goto(f"/jobs/{hostile}")
        watching.locator(".job-head .btn-primary:visible").first.click()
        expect_status(watching, "completed")
        expect(page.locator("[data-status=completed]").first).to_be_visible()
        watching.goto(f"/jobs/{hostile}/errors")
        assert "<svg onload" in watching.locator("main").inner_text()
    table = tmp_path / "table.csv"
    table.write_text(f'"{SHORT.replace(chr(34), chr(34) * 2)}",b\n"{RUN}","=1"\n')
    page.goto("/jobs/new")
    page.locator("#file").set_input_files(table)
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/workbench")
    text = HOSTILE.replace("\0", "")  # which no form takes
    page.locator("#user").fill("{{ " + text + " }} {{b}}")
    expect(page.locator("#tries-errors")).not_to_be_empty()
    asked = [f"/jobs?q={SHORT}", f"/jobs/{hostile}/requests?q={SHORT}", f"/{SHORT}"]
    waiting = ["/jobs", page.url, "/templates", *asked]
    waiting += [f"/jobs/{hostile}/requests/{n}" for n in range(6)]
    visited = set()
    while waiting:
        link = waiting.pop(0)
        path = urlsplit(link).path
        kind = re.sub(r"(?<!requests/)\d+", "1", path) if link not in asked else link
        kind = re.sub(r"(?<=requests/)([6-9]|1\d)", "0", kind)
        if kind in visited or path.startswith(("/static", "/v1")):
            continue
        visited.add(kind)
        page.goto(link)
        assert "49" not in page.title()  # {{7*7}}
        assert page.locator("[href^='javascript:' i], [src^='javascript:' i]").count() == 0
        assert page.locator("main :is([onload], [onerror], [onclick], iframe)").count() == 0
        waiting += page.eval_on_selector_all(
            "a[href^='/']:not([download])", "all => all.map(a => a.getAttribute('href'))"
        )
    assert len(visited) > 20, visited
    # the report stands alone, without any policy
    report = tmp_path / "report.html"
    report.write_bytes(page.context.request.get(f"/jobs/{hostile}/report.html").body())
    with opened(browser, tmp_path.as_uri(), offline=True) as alone:
        alone.goto(report.as_uri())
        expect(alone.locator("canvas").first).to_be_visible()
        assert alone.locator("img, svg[onload], iframe").count() == 0
