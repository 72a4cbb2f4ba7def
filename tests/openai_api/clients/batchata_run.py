"""batchata. Its interval of polling is fixed: 5 s."""

import sys
from pathlib import Path

from batchata import Batch
from batchata.providers.openai.openai_provider import OpenAIProvider
from common import MODEL, QUESTIONS, messages, tell, text_of

OpenAIProvider.get_polling_interval = lambda self: 0.2  # no setting for it

batch = Batch(results_dir=str(Path(sys.argv[1]) / "results")).set_default_params(model=MODEL)
asked = {}
for question in QUESTIONS:
    batch.add_job(messages=messages(question))
    asked[batch.jobs[-1].id] = question
run = batch.run()
results = run.results()
tell(
    {asked[one.job_id]: text_of(one.raw_response) for one in results["completed"]},
    {asked[one.job_id]: one.error for one in results["failed"]},
)
