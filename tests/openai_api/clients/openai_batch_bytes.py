"""openai-batch, as its command does it: a file's bytes go up without a name."""

import os
import sys
from pathlib import Path

from common import input_lines, lines_of, tell
from openai_batch import Batch
from openai_batch.providers import Provider

server = Provider(
    name="here", base_url=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"]
)
given, out, errors = (
    Path(sys.argv[1]) / name for name in ("in.jsonl", "out.jsonl", "errors.jsonl")
)
given.write_bytes(input_lines("openai-batch"))
with Batch(str(given), str(out), str(errors), provider=server) as batch:
    result, *_files = batch.submit_wait_download(interval=0.2)
tell(*(lines_of(path.read_bytes()) for path in (out, errors)), status=result.status)
