"""LiteLLM's proxy before this server, with OpenAI's client before the proxy. The
proxy itself forwards no file that is not named .jsonl."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from common import ENDED, input_lines, lines_of, tell
from openai import APIConnectionError, InternalServerError, OpenAI

VIA = {"extra_body": {"custom_llm_provider": "openai"}}
QUERY = {"extra_query": {"custom_llm_provider": "openai"}}


def started(folder: Path, port: int) -> subprocess.Popen:
    upstream = {
        "custom_llm_provider": "openai",
        "api_base": os.environ["OPENAI_BASE_URL"],
        "api_key": os.environ["OPENAI_API_KEY"],
    }
    settings = {
        "files_settings": [upstream],
        "model_list": [],
        "general_settings": {"master_key": "sk-proxy"},
    }
    config = folder / "proxy.yaml"
    config.write_text(json.dumps(settings))  # JSON is YAML
    command = Path(sys.executable).with_name("litellm")
    where = ("--config", config, "--host", "127.0.0.1", "--port", str(port))
    return subprocess.Popen([command, *where], stdout=sys.stderr, cwd=folder)


def reached(proxy: subprocess.Popen, port: int) -> OpenAI:
    client = OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="sk-proxy", max_retries=0)
    while proxy.poll() is None:
        try:
            client.models.list()
            return client
        except (APIConnectionError, InternalServerError):
            time.sleep(0.3)
    sys.exit("the proxy has ended")


def flow(client: OpenAI) -> None:
    file = client.files.create(file=("in.jsonl", input_lines("proxy")), purpose="batch", **VIA)
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", **VIA
    )
    while batch.status not in ENDED:
        time.sleep(0.2)
        batch = client.batches.retrieve(batch.id, **QUERY)
    answers, failed = (
        lines_of(client.files.content(each, **QUERY).content)
        for each in (batch.output_file_id, batch.error_file_id)
    )
    tell(answers, failed, filename=file.filename)


with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    free = probe.getsockname()[1]
process = started(Path(sys.argv[1]), free)
try:
    flow(reached(process, free))
finally:
    process.terminate()
    process.wait(20)
