"""What people write themselves, each in a process of its own:
python -m bench.rivals aiohttp|openai BASE_URL COUNT CONCURRENCY → JSON {seconds, cpu_s, peak_mb}
"""

import asyncio
import json
import resource
import sys
import time


def body(n: int) -> dict:
    return {"model": "bench", "messages": [{"role": "user", "content": f"question {n}"}]}


async def with_aiohttp(base_url: str, count: int, concurrency: int) -> None:
    """A bare loop that stores nothing."""
    import aiohttp

    numbers = iter(range(count))
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def work():
            for n in numbers:
                async with session.post(f"{base_url}/chat/completions", json=body(n)) as answer:
                    await answer.json()

        await asyncio.gather(*[work() for _ in range(concurrency)])


async def with_openai(base_url: str, count: int, concurrency: int) -> None:
    """AsyncOpenAI under a semaphore, as its documentation and the cookbook have it."""
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=base_url, api_key="none")
    gate = asyncio.Semaphore(concurrency)

    async def one(n):
        async with gate:
            await client.chat.completions.create(**body(n))

    await asyncio.gather(*[one(n) for n in range(count)])


if __name__ == "__main__":
    name, url, total, width = sys.argv[1:]
    began, cpu = time.perf_counter(), time.process_time()
    asyncio.run({"aiohttp": with_aiohttp, "openai": with_openai}[name](url, int(total), int(width)))
    print(
        json.dumps(
            {
                "seconds": time.perf_counter() - began,
                "cpu_s": time.process_time() - cpu,
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )
