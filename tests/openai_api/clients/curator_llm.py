"""Bespoke Curator in batch mode: the file goes up as bytes without a name."""

import os

from bespokelabs import curator
from common import MODEL, QUESTIONS, messages, tell, text_of

llm = curator.LLM(
    model_name=MODEL,
    backend="openai",
    batch=True,
    backend_params={
        "base_url": os.environ["OPENAI_BASE_URL"],
        "api_key": os.environ["OPENAI_API_KEY"],
        "batch_check_interval": 1,
        "max_retries": 1,
        "require_all_responses": False,
    },
)
good = QUESTIONS[:2]
found = llm([messages(each) for each in good])
dataset = getattr(found, "dataset", found)
tell(
    {question: text_of(text) for question, text in zip(good, dataset["response"], strict=True)}, {}
)
