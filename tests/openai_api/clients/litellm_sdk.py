"""LiteLLM's SDK: a file given as bytes, then create, poll, read."""

import sys
import time

import litellm
from common import ENDED, input_lines, lines_of, tell

VIA = {"custom_llm_provider": "openai"}

file = litellm.create_file(file=input_lines("litellm"), purpose="batch", **VIA)
batch = litellm.create_batch(
    completion_window="24h", endpoint="/v1/chat/completions", input_file_id=file.id, **VIA
)
while batch.status not in ENDED:
    time.sleep(0.2)
    batch = litellm.retrieve_batch(batch_id=batch.id, **VIA)
answers, failed = (
    lines_of(litellm.file_content(file_id=each, **VIA).content)
    for each in (batch.output_file_id, batch.error_file_id)
)
tell(answers, failed, filename=file.filename)
sys.exit(batch.status != "completed")
