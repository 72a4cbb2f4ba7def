"""inspect_ai's model API in batch mode. Only what is answered: it takes a line of the error file with an
HTTP status, as OpenAI writes it, for an answer, and gives up the whole batch."""

import asyncio

from common import MODEL, QUESTIONS, tell, text_of
from inspect_ai.model import BatchConfig, GenerateConfig, get_model


async def main() -> None:
    good = QUESTIONS[:2]
    often = BatchConfig(size=len(good), send_delay=0.2, tick=0.2)
    model = get_model(f"openai/{MODEL}", config=GenerateConfig(batch=often), responses_api=False)
    found = await asyncio.gather(*(model.generate(question) for question in good))
    tell(
        {question: text_of(each.completion) for question, each in zip(good, found, strict=True)}, {}
    )


asyncio.run(main())
