"""The call of a request as its page shows it for a terminal."""

import json
import re
import shlex
from html import unescape

from simple_batch.services import configs, job_creation, jobs
from simple_batch.store.database import connected

KEY = "sk-planted-0123456789"


def shown(client, make_job, api_format: str, **fields) -> tuple[list[str], str]:
    """The words of the curl command, and the Python program."""
    with connected():
        configs.create(
            configs.ConfigFields(
                alias="one",
                base_url="https://api.example.com/v1",
                model="claude-sonnet-4-5",
                key=KEY,
                api_format=api_format,
                **fields,
            )
        )
    job_id = make_job(1, config="one", hold=True)
    page = unescape(client.get(f"/jobs/{job_id}/requests/0").text)
    assert KEY not in page
    curl = re.search(r'<pre\s+id="as-curl"[^>]*>(.*?)</pre>', page, re.DOTALL)[1]
    program = re.search(r'<pre\s+id="as-python"[^>]*>(.*?)</pre>', page, re.DOTALL)[1]
    return shlex.split(curl.replace("\\\n", "")), program


def test_a_call_to_anthropic_is_shown_in_its_own_form(client, db, make_job):
    words, program = shown(client, make_job, "anthropic", auth="x-api-key", max_tokens=50)
    assert words[:2] == ["curl", "https://api.example.com/v1/messages"]
    headers = {words[place + 1] for place, word in enumerate(words) if word == "-H"}
    assert {"x-api-key: $ANTHROPIC_API_KEY", "anthropic-version: 2023-06-01"} <= headers
    body = json.loads(words[-1])
    assert (body["model"], body["max_tokens"]) == ("claude-sonnet-4-5", 50)
    assert body["messages"][0]["role"] == "user"
    assert "https://api.example.com/v1/messages" in program
    assert "os.environ['ANTHROPIC_API_KEY']" in program and "OPENAI" not in program


def test_other_calls_stay_in_openais_form(client, db, make_job):
    words, program = shown(client, make_job, "openai")
    assert words[:2] == ["curl", "https://api.example.com/v1/chat/completions"]
    assert "Authorization: Bearer $OPENAI_API_KEY" in words
    assert "ANTHROPIC" not in program


def test_what_anthropics_api_does_not_have_is_said(client, db, tmp_path):
    line = tmp_path / "line.jsonl"
    line.write_text(json.dumps({"messages": [{"role": "user", "content": "x"}], "n": 2}), "utf-8")
    with connected():
        fields = {"alias": "one", "base_url": "https://api.example.com/v1", "model": "m"}
        configs.create(configs.ConfigFields(**fields, api_format="anthropic"))
        job = job_creation.create_now(line, line.name, jobs.JobOptions(config="one", hold=True))
    page = client.get(f"/jobs/{job.id}/requests/0").text
    assert "The API of this connection has no call like this one." in page
    assert 'id="as-curl"' not in page
