"""What the clients' scripts have in common: what they ask, and how they tell what they got.

Each script is started with OPENAI_BASE_URL and OPENAI_API_KEY, and a folder as its argument. The last
line of its output is a JSON object: ``answers`` and ``failed`` by custom_id or question, and more.
"""

import json

MODEL = "gpt-4o-mini-2024-07-18"
ENDED = ("completed", "failed", "expired", "cancelled")
QUESTIONS = ("apples", "pears", "something spicy")  # the endpoint refuses what is spicy
ANSWER = "about {}"  # what it answers, as the field ``text`` of a JSON object


def messages(question: str) -> list[dict]:
    return [{"role": "user", "content": question}]


def input_lines(name: str) -> bytes:
    """The input file of a batch, for clients that leave it to their users."""
    url = "/v1/chat/completions"
    lines = [
        {
            "custom_id": f"{name}-{question}",
            "method": "POST",
            "url": url,
            "body": {"model": MODEL, "messages": messages(question)},
        }
        for question in QUESTIONS
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def text_of(content: str) -> str:
    """The answer in a completion's content."""
    return json.loads(content)["text"]


def lines_of(data: bytes) -> dict:
    """The answers, or for want of one the HTTP status, in an output or error file."""
    rows = [json.loads(line) for line in data.decode().splitlines()]
    return {row["custom_id"].split("-")[-1]: _answer(row["response"]) for row in rows}


def _answer(response: dict):
    if response["status_code"] != 200:
        return response["status_code"]
    return text_of(response["body"]["choices"][0]["message"]["content"])


def tell(answers: dict, failed: dict, **more) -> None:
    """The last line of a script's output."""
    print(json.dumps({"answers": answers, "failed": failed, **more}), flush=True)
