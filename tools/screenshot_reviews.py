"""What the screenshots of a table show: reviews, the prompt, and the endpoint that answers them."""

import csv
import itertools
import json
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

ALIAS, MODEL = "deepseek", "deepseek-chat"
PRICES = ("0.28", "0.42")  # USD per million tokens, input and output
ROWS = 480
# by the language of the page: system message, user message
PROMPTS = {
    "en": (
        "You classify product reviews. Answer in the language of the review.",
        "Product: {{ product }} ({{ stars }} stars)\nReview: {{ review }}",
    ),
    "zh": (
        "你给商品评论分类，用评论的语言回答。",
        "商品：{{ product }}（{{ stars }} 星）\n评论：{{ review }}",
    ),
}
FIELDS = ("sentiment", "topic", "confidence", "reason")
SCHEMA = """{"type": "object", "properties": {
    "sentiment": {"enum": ["positive", "negative", "mixed", "neutral"]},
    "topic": {"enum": ["quality", "delivery", "service", "price"]},
    "confidence": {"type": "number"},
    "reason": {"type": "string"}
  },
  "required": ["sentiment", "topic", "confidence", "reason"], "additionalProperties": false}"""


class Review(NamedTuple):
    product: str
    stars: int
    text: str
    sentiment: str
    topic: str
    confidence: float
    reason: str

    @property
    def is_chinese(self) -> bool:
        return not self.text.isascii()

    def answer(self) -> str:
        return json.dumps({name: getattr(self, name) for name in FIELDS}, ensure_ascii=False)


REVIEWS = (
    Review(
        "Kettle",
        5,
        "Great kettle, boils fast and looks perfect on the counter.",
        "positive",
        "quality",
        0.97,
        "The customer praises its speed and its looks.",
    ),
    Review(
        "Desk lamp",
        5,
        "好看又实用，晚上看书很舒服，很喜欢。",
        "positive",
        "quality",
        0.96,
        "顾客觉得好看又实用。",
    ),
    Review(
        "Headphones",
        3,
        "Sound is excellent, but the left cushion broke after a week.",
        "mixed",
        "quality",
        0.88,
        "Good sound, but a part broke.",
    ),
    Review(
        "Backpack",
        1,
        "Arrived two weeks late, and the shop did not answer my mails.",
        "negative",
        "delivery",
        0.91,
        "Late delivery, and no answer from the shop.",
    ),
    Review(
        "Kettle",
        1,
        "It leaks at the bottom. I want a refund.",
        "negative",
        "service",
        0.62,
        "The customer wants the money back.",
    ),
    Review(
        "Headphones",
        2,
        "物流太慢了，等了半个月才送到。",
        "negative",
        "delivery",
        0.95,
        "顾客对物流速度不满意。",
    ),
    Review(
        "Desk lamp",
        3,
        "It is a lamp. It does what a lamp does.",
        "neutral",
        "quality",
        0.74,
        "No clear praise and no complaint.",
    ),
    Review(
        "Backpack",
        5,
        "I love the pockets; my laptop fits perfectly.",
        "positive",
        "quality",
        0.96,
        "The customer likes the pockets and the fit.",
    ),
    Review(
        "Keyboard",
        1,
        "Support was rude and told me to read the manual.",
        "negative",
        "service",
        0.94,
        "The support was rude.",
    ),
    Review(
        "Keyboard",
        4,
        "Keys feel great, the price is fair for the quality.",
        "positive",
        "price",
        0.83,
        "Good keys at a fair price.",
    ),
    Review(
        "Backpack",
        4,
        "包很结实，价格也不贵，值得买。",
        "positive",
        "price",
        0.86,
        "顾客认为结实而且价格实惠。",
    ),
    Review(
        "Kettle",
        2,
        "Too expensive for a kettle that takes six minutes.",
        "negative",
        "price",
        0.9,
        "Too expensive and too slow for the customer.",
    ),
)
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August")
_WAYS = (
    ("online", "在网上"),
    ("in the shop", "在店里"),
    ("on sale", "打折时"),
    ("as a gift", "作为礼物"),
    ("for the office", "为办公室"),
)


def write_table(path: Path) -> None:
    """A CSV with each review once, then again with different ends, so that no two rows are equal."""
    ends = [("", ""), *itertools.starmap(_end, itertools.product(_WAYS, enumerate(_MONTHS, 1)))]
    numbers = itertools.count(1001)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "product", "stars", "review"))
        for end in ends[: ROWS // len(REVIEWS)]:
            for one in REVIEWS:
                text = one.text + end[one.is_chinese]
                writer.writerow((f"R-{next(numbers)}", one.product, one.stars, text))


def _end(way: tuple[str, str], month: tuple[int, str]) -> tuple[str, str]:
    """When and how the product was bought, in English and in Chinese."""
    return f" Bought {way[0]} in {month[1]}.", f"{month[0]}月{way[1]}买的。"


class ReviewEndpoint:
    """Chat completions on a local socket: the answer that belongs to the review in the message."""

    def __init__(self):
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "ReviewEndpoint":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024  # a connection that finds no place is tried again after a second


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._send({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        texts = [str(message["content"]) for message in body["messages"]]
        found = next((one for one in REVIEWS if one.text in texts[-1]), None)
        content = found.answer() if found else "OK"  # the test of a connection has no review
        time.sleep(random.uniform(0.3, 0.7))  # noqa: S311 # nosec B311
        self._send(_completion(content, _tokens("".join(texts)), _tokens(content)))

    def _send(self, value: dict) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """The terminal shows no line for each call."""


def _completion(content: str, prompt: int, completion: int) -> dict:
    message = {"role": "assistant", "content": content}
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {**usage, "total_tokens": prompt + completion},
    }


def _tokens(text: str) -> int:
    """About as many as DeepSeek's models count: 0.3 for a letter, 0.6 for a Chinese character."""
    chinese = sum(not sign.isascii() for sign in text)
    return round(0.6 * chinese + 0.3 * (len(text) - chinese))
