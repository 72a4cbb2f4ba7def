"""instructor, its batch in memory: a BytesIO without a name goes up."""

import time

from common import ENDED, MODEL, QUESTIONS, messages, tell
from instructor.batch import BatchProcessor
from pydantic import BaseModel


class Said(BaseModel):
    text: str


processor = BatchProcessor(f"openai/{MODEL}", Said)
buffer = processor.create_batch_from_messages([messages(each) for each in QUESTIONS])
batch_id = processor.submit_batch(buffer)
while (status := processor.get_batch_status(batch_id)["status"]) not in ENDED:
    time.sleep(0.2)
results = processor.retrieve_results(batch_id)
answers = {QUESTIONS[int(one.custom_id.split("-")[-1])]: one.result.text for one in results}
tell(answers, {}, status=status)
