"""distilabel's OpenAILLM with offline batch generation. It polls in whole seconds."""

import os

from common import MODEL, QUESTIONS, messages, tell, text_of
from distilabel.models.llms import OpenAILLM

llm = OpenAILLM(
    model=MODEL,
    base_url=os.environ["OPENAI_BASE_URL"],
    api_key=os.environ["OPENAI_API_KEY"],
    use_offline_batch_generation=True,
    offline_batch_generation_block_until_done=1,
)
llm.load()
good = QUESTIONS[:2]  # it expects an answer to each
outputs = llm.generate_outputs(inputs=[messages(each) for each in good])
tell(
    {
        question: text_of(each["generations"][0])
        for question, each in zip(good, outputs, strict=True)
    },
    {},
)
