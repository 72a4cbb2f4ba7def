"""The tools that people use instead, each in a separate process:

    python -m bench.competitors NAME BASE_URL COUNT CONCURRENCY [--limit KIND] [--ca FILE]

→ JSON {seconds, cpu_s, peak_mb}. NAME is aiohttp, aiohttp-retries, openai, litellm, async-batch-llm or cookbook. With a limit
the tool is given the right numbers, where it has a setting for them.
"""

import argparse
import asyncio
import json
import random
import resource
import ssl
import time

TOKENS_PER_CALL = 80


def body(n: int) -> dict:
    return {"model": "bench", "messages": [{"role": "user", "content": f"question {n}"}]}


async def with_aiohttp(options) -> None:
    """A bare loop that stores nothing."""
    import aiohttp

    numbers = iter(range(options.count))
    context = ssl.create_default_context(cafile=options.ca) if options.ca else True
    connector = aiohttp.TCPConnector(limit=options.concurrency, ssl=context)
    url = f"{options.base_url}/chat/completions"
    async with aiohttp.ClientSession(connector=connector) as session:

        async def work():
            for n in numbers:
                async with session.post(url, json=body(n)) as answer:
                    await answer.json()

        await asyncio.gather(*[work() for _ in range(options.concurrency)])


async def with_aiohttp_and_retries(options) -> None:
    """The same with up to ten tries: exponential backoff with jitter, no sooner than Retry-After."""
    import aiohttp

    numbers = iter(range(options.count))
    url = f"{options.base_url}/chat/completions"

    async def post(session, n) -> float | None:
        """None where it was answered, else the seconds that it is to wait for."""
        try:
            async with session.post(url, json=body(n)) as answer:
                await answer.read()
                good = answer.status == 200
                return None if good else float(answer.headers.get("Retry-After", 0.0))
        except aiohttp.ClientError:
            return 0.0

    async def one(session, n):
        for tries in range(10):
            asked = await post(session, n)
            if asked is None:
                return
            await asyncio.sleep(max(asked, random.uniform(0.0, 2.0**tries)))

    connector = aiohttp.TCPConnector(limit=options.concurrency)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def work():
            for n in numbers:
                await one(session, n)

        await asyncio.gather(*[work() for _ in range(options.concurrency)])


async def with_openai(options) -> None:
    """AsyncOpenAI under a semaphore, as its documentation has it."""
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=options.base_url, api_key="none", max_retries=10)
    gate = asyncio.Semaphore(options.concurrency)

    async def one(n):
        async with gate:
            await client.chat.completions.create(**body(n))

    await asyncio.gather(*[one(n) for n in range(options.count)])


async def with_litellm(options) -> None:
    """litellm.acompletion under a semaphore."""
    import litellm

    litellm.suppress_debug_info = True
    gate = asyncio.Semaphore(options.concurrency)

    async def one(n):
        async with gate:
            await litellm.acompletion(
                **{**body(n), "model": "openai/bench"}, api_base=options.base_url, api_key="none"
            )

    await asyncio.gather(*[one(n) for n in range(options.count)])


async def with_async_batch_llm(options) -> None:
    """process_prompts, given the provider's limits."""
    from async_batch_llm import ProcessorConfig, llm, process_prompts

    limits = {
        "rpm": {"max_requests_per_minute": 600, "quota_burst_seconds": 1.0},
        "changing": {"max_requests_per_minute": 600, "quota_burst_seconds": 1.0},
        "tpm": {
            "max_requests_per_minute": 60_000 / TOKENS_PER_CALL,
            "quota_burst_seconds": 1.0,
        },
        "concurrency": {},
        None: {},
    }[options.limit]
    width = 20 if options.limit == "concurrency" else options.concurrency
    strategy = llm("openai-compatible:bench", base_url=options.base_url, api_key="none")
    prompts = [f"question {n}" for n in range(options.count)]
    config = ProcessorConfig(concurrency=width, **limits)
    await process_prompts(strategy, prompts, config=config)


async def with_cookbook(options) -> None:
    """The algorithm of OpenAI's cookbook for parallel requests: two capacities that refill with
    time, a loop that starts what fits, fifteen seconds of rest after a refusal, five tries."""
    import aiohttp

    rpm = 600 if options.limit in ("rpm", "changing") else 60_000
    tpm = 60_000 if options.limit == "tpm" else 6_000_000
    if options.limit == "concurrency":
        rpm = 20 / 0.5 * 60  # it has no concurrency setting: this rate has 20 calls in flight
    queue = [(n, 5) for n in reversed(range(options.count))]
    requests, tokens, updated, refused_at = float(rpm), float(tpm), time.monotonic(), -60.0
    requests /= 60  # otherwise it would start with the calls of a minute at once
    tokens /= 60
    running = set()
    async with aiohttp.ClientSession() as session:

        async def call(n, tries):
            nonlocal refused_at
            url = f"{options.base_url}/chat/completions"
            async with session.post(url, json=body(n)) as answer:
                await answer.read()
                if answer.status == 429:
                    refused_at = time.monotonic()
                    if tries > 1:
                        queue.append((n, tries - 1))

        while queue or running:
            now = time.monotonic()
            requests = min(rpm / 60, requests + rpm * (now - updated) / 60)
            tokens = min(tpm / 60, tokens + tpm * (now - updated) / 60)
            updated = now
            if queue and requests >= 1 and tokens >= TOKENS_PER_CALL:
                requests, tokens = requests - 1, tokens - TOKENS_PER_CALL
                task = asyncio.create_task(call(*queue.pop()))
                running.add(task)
                task.add_done_callback(running.discard)
            await asyncio.sleep(0.001)
            if time.monotonic() - refused_at < 15:
                await asyncio.sleep(15 - (time.monotonic() - refused_at))


COMPETITORS = {
    "aiohttp": with_aiohttp,
    "aiohttp-retries": with_aiohttp_and_retries,
    "openai": with_openai,
    "litellm": with_litellm,
    "async-batch-llm": with_async_batch_llm,
    "cookbook": with_cookbook,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=COMPETITORS)
    parser.add_argument("base_url")
    parser.add_argument("count", type=int)
    parser.add_argument("concurrency", type=int)
    parser.add_argument("--limit")
    parser.add_argument("--ca")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    began, cpu = time.perf_counter(), time.process_time()
    asyncio.run(COMPETITORS[options.name](options))
    found = {
        "seconds": time.perf_counter() - began,
        "cpu_s": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
