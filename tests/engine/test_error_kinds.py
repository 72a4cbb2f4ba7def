"""What errors of providers mean, over a real socket: known ones, and some of no provider, whose
wordings stand in no list."""

import json
import time

import pytest

from simple_batch.core import remedies
from simple_batch.core.domain import Cause, Verdict
from simple_batch.engine import error_waits

from .. import endpoint as e
from .test_transport import finding

FINAL, RETRY, STOP, WAIT = Verdict.FINAL, Verdict.RETRY, Verdict.STOP, Verdict.WAIT
GEMINI = "You exceeded your current quota, please check your plan and billing details. "
OPENAI_TPM = (
    "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, "
    "Requested 41000. The input or output tokens must be reduced in order to run successfully."
)


def google(message, status="RESOURCE_EXHAUSTED", *details, code=429):
    return {"error": {"code": code, "message": message, "status": status, "details": details}}


def violation(quota_id, value="20"):
    kind = "type.googleapis.com/google.rpc.QuotaFailure"
    return {"@type": kind, "violations": [{"quotaId": quota_id, "quotaValue": value}]}


def said(message, **fields):
    return {"error": {"message": message, **fields}}


def check(status, body, cause, verdict, *headers, url="/v1/chat/completions"):
    found = finding(e.http(status, body, *headers), url=url)
    assert (found.cause, found.verdict) == (cause, verdict), found
    return found


PER_MINUTE = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "46s"}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, said(OPENAI_TPM, type="tokens", code="rate_limit_exceeded")),
        (413, said("Request too large for model `llama` … (TPM): Limit 6000, Requested 7530")),
        (429, said("This call needs 41,000 tokens, but your plan allows 30,000 each minute.")),
        (429, said("This one needs 41,000 tokens but your minute holds only 30,000")),
        (429, said("Too big for the bucket", requested_tokens=41_000, bucket_size=30_000)),
        (429, said("Your prompt weighs 41000 tokens; no more than 30000 fit into one minute")),
        (429, said("Too big.", details={"max_tokens_per_minute": 30000, "requested_tokens": 41000})),
        (429, said("Your prompt of 41k tokens is over the ceiling of 30k TPM")),
        (429, {"code": 429, "msg": "本次请求需要 41000 tokens，超过每分钟上限 30000"}),
        (429, said("TPM cap 8000 < request 9500")),
        (429, said("Single request exceeds TPM limit: 45000 > 30000")),
        (429, said("52310 tokens is more than your account may use in one minute (max 20000).")),
        (429, said("Token bucket size 10000 is smaller than the cost 15000 of this request")),
        (429, said("no", limit={"value": 30000, "unit": "tokens"}, requested={"value": 50000})),
        (429, said("Request too large. Send less text at once.")),
        (413, b"<html><h1>413 Request Entity Too Large</h1></html>"),
        (413, b""),
        (400, said("41000 tokens requested, but at most 30000 are permitted per minute")),
        (400, said("Requested 310000 tokens, max 300000", code="max_tokens_per_request")),
        (200, said(OPENAI_TPM, code=429)),
    ],
)  # fmt: skip
def test_one_request_alone_exceeds_a_limit(status, body):
    check(status, body, Cause.TOO_LARGE, FINAL)


@pytest.mark.parametrize(
    "message",
    [
        "on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. Please try again in 2s.",
        "on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s.",
        "You have sent 61 requests, the limit is 60 per minute",
        "Too many requests: 105 calls where 100 are allowed",
        "Rate limit exceeded: 30500 tokens used of 30000 TPM",
        "This request would exceed your organization's rate limit of 30,000 input tokens per minute. "
        "Please reduce the prompt length or the maximum tokens requested, or try again later.",
        "Concurrency limit 10 exceeded, 11 requests in flight",
        "Refused, as presented: limit 30000 tokens. Request 20260101123 was not counted.",
    ],
)
def test_a_limit_that_is_reached_by_many_requests_is_none_of_one(message):
    check(429, said(message), Cause.RATE_LIMIT, WAIT)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, {"code": "The caller does not have permission to execute the specified operation",
               "error": "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"}),
        (400, {"error": {"code": "1301", "message": "系统检测到输入或生成内容可能包含不安全或敏感内容"}}),
        (400, said("Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
                   code="invalid_prompt")),
        (400, said("no", code="content_policy_violation")),
        (400, said("The response was filtered", innererror={"code": "ResponsibleAIPolicyViolation"})),
        (400, said("Output data may contain inappropriate content.", code="data_inspection_failed")),
        (400, said("Content Exists Risk", type="invalid_request_error")),
        (400, said("The request was rejected because it was considered high risk", type="content_filter")),
        (403, said("We cannot process this: it breaks our acceptable use rules.")),
        (200, {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "candidates": []}),
        (400, said("输入内容含有违禁词")),
        (451, said("This query goes against the rules of our house.")),
        (500, said("Refused: disallowed content.")),
        (422, {"detail": "The prompt breaches the community standards."}),
        (429, said("blocked", code="content_filter")),
        (200, {"base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}, "choices": None}),
        (200, {"error": {"code": "1301", "message": "敏感内容"}}),
    ],
)  # fmt: skip
def test_a_refusal_of_the_content_concerns_one_request(status, body):
    check(status, body, Cause.CONTENT_FILTER, FINAL)


@pytest.mark.parametrize(
    "message",
    [
        "Your API key is not allowed to use this model",
        "Your account was suspended for a violation of our usage policies",
        "Country, region, or territory not supported",
        "Forbidden",
        "IP 1.2.3.4 is not on the list of this project",
    ],
)
def test_a_403_about_the_key_or_the_account_is_no_refusal_of_content(message):
    check(403, said(message), Cause.AUTH, STOP)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, said("Failed to generate JSON. Please adjust your prompt.", code="json_validate_failed",
                   failed_generation="{'a'")),
        (400, said("Parsing failed.", code="output_parse_failed")),
        (400, said("Tool call did not work out", failed_generation="<function=x>")),
        (422, said("The model's output does not conform to the requested schema.")),
        (400, said("Model produced malformed JSON")),
        (400, said("We asked for JSON but the model's reply was not JSON")),
        (500, said("generated text could not be parsed as JSON")),
    ],
)  # fmt: skip
def test_a_generation_that_fails_the_provider_s_check_is_tried_again(status, body):
    assert check(status, body, Cause.BAD_RESPONSE, RETRY).failed_generation


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, said("You exceeded your current quota", code="insufficient_quota")),
        (402, b""),
        (402, said("pay up")),
        (400, said("Access denied, make sure your account is in good standing.", code="Arrearage")),
        (403, {"code": 30001, "message": "Sorry, your account balance is insufficient"}),
        (429, {"error": {"code": "1113", "message": "您的账户已欠费，请充值后重试。"}}),
        (400, said("Your credit balance is too low to access the API.", type="invalid_request_error")),
        (429, {"detail": "You ran out of credits."}),
        (403, said("账户余额不足")),
        (429, said("Your monthly quota is used up")),
        (200, {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
        (200, {"error": {"code": 402, "message": "Insufficient credits. Add more."}}),
        (429, said("The funds of this wallet are exhausted", type="wallet_error")),
    ],
)  # fmt: skip
def test_no_money_stops(status, body):
    check(status, body, Cause.QUOTA, STOP)


@pytest.mark.parametrize(
    "body",
    [
        google(GEMINI + "* Quota exceeded for metric: x/free_tier_requests, limit: 0",
               "RESOURCE_EXHAUSTED", PER_MINUTE),
        google("Quota exceeded", "RESOURCE_EXHAUSTED", violation("TokensPerDay-FreeTier", "0")),
        said("Rate limit reached: Limit 0, Used 0, Requested 800."),
        said("Nothing for you here", limit=0),
        said("For this model your limit is zero."),
    ],
)  # fmt: skip
def test_a_limit_of_0_stops(body):
    assert check(429, body, Cause.QUOTA, STOP).remedy == remedies.NO_QUOTA


@pytest.mark.parametrize(
    ("status", "body", "wait_s"),
    [
        (429, google(GEMINI + "Please retry in 20.04s.", "RESOURCE_EXHAUSTED", PER_MINUTE), 46),
        (429, [google(GEMINI, "RESOURCE_EXHAUSTED", PER_MINUTE)], 46),
        (429, google(GEMINI + "Please retry in 20.04s.", "RESOURCE_EXHAUSTED"), 20.04),
        (429, google(GEMINI, "RESOURCE_EXHAUSTED"), None),
        (429, said("The model is very busy today."), None),
        (429, said("Too fast. To raise your limits see https://x.y/account/billing"), None),
        (429, said("Service tier capacity exceeded for this model.", code="3505"), None),
        (429, said("Rate limit reached. Please try again in 1m30s."), 90),
        (429, said("Slow down and try again in 500ms"), 0.5),
        (429, said("Please retry after 12 seconds."), 12),
        (429, said("Free users have 3 requests per minute; purchase credits to get more."), None),
        (429, said("You can try again in about a minute."), 60),
        (429, said("Please retry in 1,500 ms"), 1.5),
        (429, said("slow; retry_after=17"), 17),
        (429, {"detail": "Request was throttled. Expected available in 57 seconds."}, 57),
        (429, said("No deployments available, Try again in 60 seconds. Passed model=x"), 60),
        (429, said("Come back in 2 minutes and 5 seconds."), 125),
        (429, {"msg": "请求过于频繁，请 20 秒后重试"}, 20),
        (429, said("slow", retry_after_ms=1500), 1.5),
        (429, {"error": {"message": "slow", "metadata": {"headers": {"X-RateLimit-Reset": "7"}}}}, 7),
        (429, {"error": {"message": "slow", "retry_delay": {"seconds": 8}}}, 8),
        (429, said(json.dumps(google("x", "RESOURCE_EXHAUSTED", PER_MINUTE))), 46),
        (403, google("slow", "PERMISSION_DENIED", {"reason": "rateLimitExceeded"}, code=403), None),
        (500, said("upstream: too many", code=429), None),
        (200, {"error": {"code": 429, "message": "upstream"}}, None),
        (200, {"error": {"code": "429", "message": "Retry in 3s"}}, 3),
        (200, {"error": {"http_code": 429.0, "message": "odd"}}, None),
        (200, {"error": 429}, None),
        (200, {"error": "Rate limit exceeded"}, None),
        (200, {"choices": [{"error": {"code": 429, "message": "try again in 4s"}, "message": {}}]}, 4),
        (200, [{"error": {"code": 429, "message": "again in 5 seconds"}}], 5),
        (200, {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}, "choices": []}, None),
        (200, {"code": 429, "message": "busy, wait 6 seconds", "data": None}, 6),
    ],
)  # fmt: skip
def test_a_rate_limit_and_the_wait_in_its_body(status, body, wait_s):
    found = check(status, body, Cause.RATE_LIMIT, WAIT)
    assert found.retry_after_s == wait_s
    assert found.http_status == status


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        (["Retry-After: 3", "X-RateLimit-Reset: 9"], 3),
        (["llm_provider-retry-after: 4"], 4),
        (["llm_provider-retry-after-ms: 250"], 0.25),
        (["Retry-After: soon", "X-RateLimit-Reset: 5"], 5),
        (["X-RateLimit-Reset: {:.0f}"], 60),
        (["X-RateLimit-Remaining: 0", "X-RateLimit-Reset: {:.0f}000"], 60),
        (["X-RateLimit-Remaining: 12", "X-RateLimit-Reset: 50"], None),
        (["llm_provider-x-ratelimit-reset: 6s"], 6),
        (["RateLimit-Remaining: 0", "RateLimit-Reset: 8"], 8),
    ],
)
def test_the_wait_in_headers(headers, wait_s):
    lines = [header.format(time.time() + 60) for header in headers]
    found = check(429, said("slow"), Cause.RATE_LIMIT, WAIT, *lines)
    assert found.retry_after_s == pytest.approx(wait_s, abs=2 if wait_s == 60 else 0.01)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (said("Limit 9, Used 9", type="tokens", code="rate_limit_exceeded"), "tokens"),
        (said("on requests per min (RPM): Limit 3. Fewer tokens do not help."), "requests"),
        (said("You have exceeded the token rate limit of your tier"), "tokens"),
        (google("no", "RESOURCE_EXHAUSTED", violation("GenerateRequestsPerMinute")), "requests"),
        (said("slow down"), None),
    ],
)
def test_what_a_rate_limit_is_about(body, what):
    assert check(429, body, Cause.RATE_LIMIT, WAIT).limited == what


def test_the_reset_of_a_limit_is_no_wait_of_a_failure():
    found = check(500, said("oops"), Cause.SERVER_ERROR, RETRY, "X-RateLimit-Reset: 3600")
    assert found.retry_after_s is None


def test_limits_in_headers_are_read_in_each_form():
    for before, after in (("", "-requests"), ("llm_provider-", "-requests"), ("", "")):
        lines = [f"{before}x-ratelimit-{name}{after}: {value}"
                 for name, value in (("limit", 60), ("remaining", 0), ("reset", "12s"))]  # fmt: skip
        limits = finding(e.http(200, e.GOOD, *lines)).limits
        found = limits.limit_requests, limits.remaining_requests, limits.reset_requests_s
        assert found == (60, 0, 12)
    assert finding(e.ok()).limits is None


@pytest.mark.parametrize(
    ("body", "headers", "wait_s"),
    [
        (said("Rate limit reached on tokens per day (TPD): Limit 100, Used 99, Requested 5. "
              "Please try again in 36m0s."), [], 36 * 60),
        (google(GEMINI, "RESOURCE_EXHAUSTED", violation("GenerateRequestsPerDayPerProject"),
                {"retryDelay": "35640s"}), [], 35_640),
        (said("Rate limit of 50 per 86400s exceeded for UserByModelByDay. Please wait 5600 seconds"),
         [], 5600),
        (said("Daily quota exceeded."), ["Retry-After: 7200"], 7200),
        (said("slow"), ["x-ratelimit-remaining-requests-day: 0", "x-ratelimit-reset-requests-day: 99"],
         99),
        (said("Rate limit exceeded: free-models-per-day", code=429), ["X-RateLimit-Reset: 4000"], 4000),
    ],
)  # fmt: skip
def test_a_quota_per_day_is_waited_for_as_long_as_the_provider_says(body, headers, wait_s):
    found = check(429, body, Cause.RATE_LIMIT, STOP, *headers)
    assert (found.per_day, found.retry_after_s, found.remedy) == (True, wait_s, None)


@pytest.mark.parametrize(
    ("body", "place", "offsets"),
    [
        (google(GEMINI + "Please retry in 36.4s.", "RESOURCE_EXHAUSTED",
                violation("GenerateRequestsPerDayPerProjectPerModel-FreeTier"),
                {"retryDelay": "36s"}), "Pacific", (7, 8)),
        (said("You have used all calls of today: 200 a day."), "UTC", (0,)),
        (said("You reached the limit for today."), "UTC", (0,)),
        (said("limit", window="day", size=100), "UTC", (0,)),
        ({"error_code": 17, "error_msg": "Open api daily request limit reached"}, "UTC", (0,)),
        (said("今日额度已达上限，每日 100 次"), "China", (16,)),
    ],
)  # fmt: skip
def test_without_a_time_a_quota_per_day_is_waited_for_until_midnight(body, place, offsets):
    found = check(429, body, Cause.RATE_LIMIT, STOP)
    assert found.per_day
    assert found.remedy == remedies.DAY_QUOTA[place]
    reset = time.time() + found.retry_after_s
    assert 0 < found.retry_after_s <= 25 * 3600
    assert any(abs(reset % 86_400 - hours * 3600) < 60 or abs(reset % 86_400 - 86_400) < 60
               for hours in offsets)  # fmt: skip


def test_midnight_is_known_where_the_system_has_no_time_zones(monkeypatch):
    def missing(name):
        raise error_waits.ZoneInfoNotFoundError(name)

    monkeypatch.setattr(error_waits, "ZoneInfo", missing)
    body = google("no", "RESOURCE_EXHAUSTED", violation("GenerateRequestsPerDay-FreeTier"))
    found = check(429, body, Cause.RATE_LIMIT, STOP)
    assert (time.time() + found.retry_after_s) % 86_400 == pytest.approx(8 * 3600, abs=60)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (498, said("Flex tier capacity exceeded", code="capacity_exceeded")),
        (498, b"{}"),
        (429, said("Resource unavailable", type="resource_unavailable")),
        (429, said("The resource is temporarily unavailable. You have not been charged.")),
        (429, {"detail": "No spare capacity for this tier right now."}),
        (200, {"error": {"code": "1305", "message": "访问量过大"}}),
        (200, {"choices": [{"error": {"message": "Overloaded", "type": "overloaded_error"}}]}),
    ],
)
def test_a_lack_of_capacity_is_retried(status, body):
    check(status, body, Cause.OVERLOADED, RETRY)


@pytest.mark.parametrize(
    ("status", "body", "cause", "verdict"),
    [
        (400, google("API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT",
                     {"reason": "API_KEY_INVALID"}, code=400), Cause.AUTH, STOP),
        (403, said("no access to model m", code="model_not_found"), Cause.NOT_FOUND, STOP),
        (400, said("The model `x` does not exist"), Cause.NOT_FOUND, STOP),
        (404, said("The model `omni-moderation-x` does not exist"), Cause.NOT_FOUND, STOP),
        (400, said("This model does not support system messages"), Cause.BAD_REQUEST, FINAL),
        (400, said("no", code="context_length_exceeded"), Cause.CONTEXT_LENGTH, FINAL),
        (400, said("This model's maximum context length is 8192 tokens. However, you requested 9000"),
         Cause.CONTEXT_LENGTH, FINAL),
        (413, said("input too long: context window is 512 tokens"), Cause.CONTEXT_LENGTH, FINAL),
        (200, {"error": {"type": "invalid_request_error", "message": "bad temperature"}},
         Cause.BAD_REQUEST, FINAL),
        (200, {"choices": [{"error": {"code": 502, "message": "Upstream"}}]}, Cause.SERVER_ERROR, RETRY),
        (200, {"base_resp": {"status_code": 2049, "status_msg": "invalid api key"}}, Cause.AUTH, STOP),
        (200, {"base_resp": {"status_code": 9999, "status_msg": "odd"}}, Cause.BAD_RESPONSE, RETRY),
        (503, google("busy", "UNAVAILABLE", code=503), Cause.OVERLOADED, RETRY),
        (500, said("the engine is overloaded"), Cause.OVERLOADED, RETRY),
    ],
)  # fmt: skip
def test_what_keeps_its_meaning(status, body, cause, verdict):
    check(status, body, cause, verdict)


@pytest.mark.parametrize(
    "more",
    [
        {"base_resp": {"status_code": 0, "status_msg": ""}},
        {"base_resp": "odd"},
        {"error": None},
        {"error": False},
        {"error": {"code": None, "message": None}},
        {"error": {"code": 0, "message": "OK"}},
        {"error": {"code": "success", "message": "", "details": []}},
        {"choices": [{"error": None, "message": {"content": 'of "error" and "code": 429'}}]},
        {"choices": ["odd"], "code": 0, "message": "ok"},
    ],
)
def test_an_answer_with_the_names_of_an_error_is_one(more):
    assert finding(e.http(200, {**e.GOOD, **more})).cause is None


def nested(text):
    return json.dumps({"error": {"message": text}})


WORDS = "the gizmo is bent"


@pytest.mark.parametrize(
    "body",
    [
        {"detail": WORDS},
        {"detail": [{"loc": ["body", "n"], "msg": WORDS, "type": "odd", "input": {"a": ["b"]}}]},
        {"detail": {"reason": WORDS}},
        {"errors": [WORDS]},
        {"errors": [{"message": WORDS, "code": 7}]},
        {"title": "Invalid", "errors": {"n": [WORDS]}},
        {"error_msg": WORDS, "error_code": 336},
        {"msg": WORDS},
        {"message": {"message": {"message": WORDS}}},
        {"error": {"message": nested(nested(WORDS))}},
        {"error": {"message": f"proxy.BadRequest: Upstream - {nested(WORDS)}"}},
        {"error": {"message": f"Error code: 400 - {{'error': {{'message': '{WORDS}'}}}}"}},
        {"message": f"[{{'type': 'odd', 'loc': ('body', 'n'), 'msg': '{WORDS}', 'input': [1]}}]"},
        [{"error": {"code": 400, "message": WORDS}}],
        [[WORDS]],
        {"error": {"message": "Provider returned error", "metadata": {"raw": nested(WORDS)}}},
        {"gadget": {"verdict": WORDS}},
        {"error": WORDS, "message": "Bad Request"},
        {"fault": {"faultstring": WORDS, "detail": {"errorcode": "a.B"}}},
        {"Errors": [{"Code": "A", "Message": WORDS}]},
        {"status": "error", "data": {"message": WORDS}},
        {"exception": WORDS},
        {"result": "error", "desc": WORDS},
        {"error": {"message": f"<html><body><h1>{WORDS}</h1></body></html>"}},
        {"message": json.dumps(json.dumps({"message": WORDS}))},
        {
            "message": "[{'loc': ('body',), 'msg': '"
            + WORDS
            + "', 'ctx': {'error': ValueError('x')}}]"
        },
        {"message": "[{'msg': '" + WORDS + "', 'input': <Image at 0x7f>}]"},
        {"message": "Upstream: {'error': {'message': '" + WORDS + "', 'type': 'cut"},
        WORDS,
    ],
)
@pytest.mark.parametrize("status", [422, 500, 200])
def test_the_provider_s_words_reach_the_user(status, body):
    if status == 200 and not isinstance(body, dict | list):
        return
    found = finding(e.http(status, body if isinstance(body, dict | list) else body.encode()))
    if status == 200 and "gadget" in body:
        assert found.cause is Cause.BAD_RESPONSE
        return
    assert WORDS in found.message
    assert not any(mark in found.message for mark in ("{'", "['", '{"', '["', "': "))


def test_a_body_without_words_is_shown_as_it_is():
    assert finding(e.http(422, {"a": [1, None]})).message == '{"a":[1,null]}'
    assert finding(e.http(422, b"")).message == "HTTP 422"
    page = b"<html><style>p{}</style><script>var x = 1;</script><h1>Bad &mdash; gateway</h1></html>"
    assert "var x" not in finding(e.http(502, page, kind="text/html")).message


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 150_000,
        b'{"message":"' + b"[" * 100_000 + b'"}',
        json.dumps({"message": "[" * 9_000 + "'" + "]" * 9_000}).encode(),
        json.dumps({"message": "1 " * 90_000}).encode(),
        json.dumps({"detail": [{"loc": ["a"], "msg": "x"}] * 5_000}).encode(),
        ('{"a":' * 400 + "1" + "}" * 400).encode(),
        json.dumps({"error": {"message": "content " * 20_000}}).encode(),
    ],
)
def test_no_error_body_takes_long_to_read(body):
    began = time.process_time()
    assert finding(e.http(429, body)).cause is Cause.RATE_LIMIT
    assert time.process_time() - began < 3.0
