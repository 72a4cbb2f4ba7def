"""As run_job, for an endpoint that takes prompt cache keys as OpenAI does: python -m bench.run_keyed_job
BASE_URL INSTANCE JOB_ID. The gallery knows such endpoints by their base URLs; this one is made known."""

from . import run_job  # patches gevent, before anything else is imported

if __name__ == "__main__":
    import re
    import sys

    from simple_batch.engine import prompt_caching

    caching = prompt_caching.PromptCaching(takes_key=True, key_rpm=15)
    prompt_caching._known = lambda: [(re.compile(re.escape(sys.argv[1])), caching)]
    run_job.main(sys.argv[2], int(sys.argv[3]))
