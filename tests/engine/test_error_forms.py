"""Errors in the forms of cloud gateways, resellers and local servers, and in invented wordings: what is
said of one request, of the job's own parameters, of the account, and of a wait."""

import json
import random
import time

import pytest
from requests.structures import CaseInsensitiveDict

from simple_batch.core.domain import Cause, Verdict
from simple_batch.engine import error_text
from simple_batch.engine.classify import classify
from simple_batch.engine.rate_limit_headers import LONGEST_S
from simple_batch.engine.transport import Reply

FINAL, RETRY, STOP, WAIT = Verdict.FINAL, Verdict.RETRY, Verdict.STOP, Verdict.WAIT
NOW = time.time()


def said(message, **fields):
    return {"error": {"message": message, **fields}}


def judged(status, body, **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return classify(Reply(status, CaseInsensitiveDict(named), raw))


def check(status, body, cause, verdict, **headers):
    found = judged(status, body, **headers)
    assert (found.cause, found.verdict) == (cause, verdict), found
    return found


def moment(seconds, form="%Y-%m-%dT%H:%M:%SZ"):
    return time.strftime(form, time.gmtime(NOW + seconds))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (422, said("input new_sensitive (1026)", type="unprocessable_entity_error")),
        (451, said("The content you provided is blocked.", type="censorship_blocked")),
        (400, said("Request or response contains risk content")),
        (400, {"message": "The content was blocked by your guardrail."}),
        (400, said("Violated guardrail policy")),
        (400, said("litellm.ContentPolicyViolationError: AzureException - The response was filtered")),
        (400, said("User message violates our usage policies")),
        (400, said("The user prompt was flagged as unsafe")),
        (400, said("Prompt rejected: hate, self-harm")),
        (400, said("Request blocked by Prompt Shield")),
        (403, said("Our moderators would not like this question.")),
        (403, said("We don't answer this kind of query.")),
        (403, {"error": "你的输入触发了安全策略"}),
        (400, {"msg": "您的提问触犯了社区规范，无法作答"}),
        (400, said("内容安全检测未通过")),
        (400, said("不適切なコンテンツが含まれています")),
        (400, said("no", code="unsafe_prompt")),
    ],
)  # fmt: skip
def test_a_refusal_of_the_content(status, body):
    check(status, body, Cause.CONTENT_FILTER, FINAL)


@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [
        (400, {"message": "Illegal request body"}, Cause.BAD_REQUEST),
        (400, said("The message contains illegal characters: \\u0000"), Cause.BAD_REQUEST),
        (400, said("The prompt contains prohibited unicode characters"), Cause.BAD_REQUEST),
        (400, said("messages with role 'system' are disallowed for this model"), Cause.BAD_REQUEST),
        (400, said("Unsafe value for parameter 'input': remote_code"), Cause.BAD_REQUEST),
        (400, said("image_url: illegal base64 data at input byte 4"), Cause.BAD_REQUEST),
        (400, said("Property 'text.format' is prohibited when tools are set"), Cause.BAD_REQUEST),
        (400, said("The content filter configuration 'x' does not exist"), Cause.BAD_REQUEST),
        (400, said("Download timed out during the data inspection process.",
                   code="InvalidParameter.DataInspection"), Cause.BAD_REQUEST),
        (400, said("The prompt was rejected because it is not valid UTF-8"), Cause.BAD_REQUEST),
        (400, said("Image rejected: unsupported format webp"), Cause.BAD_REQUEST),
        (403, said("Your message was not sent because your token lacks scope"), Cause.AUTH),
        (403, said("This content requires a paid membership"), Cause.AUTH),
        (403, said("Requests from your IP address are prohibited"), Cause.AUTH),
        (403, said("Requests from your region violate our terms of service"), Cause.AUTH),
        (403, said("The text-embedding-3 deployment is not in your allow list"), Cause.AUTH),
        (403, b"<h1>403 Forbidden</h1>\nRequest forbidden by administrative rules.", Cause.AUTH),
        (400, said("This organization has been disabled."), Cause.AUTH),
    ],
)  # fmt: skip
def test_what_is_forbidden_in_the_form_or_to_the_account_is_no_refusal_of_content(
    status, body, cause
):
    check(status, body, cause, FINAL if cause is Cause.BAD_REQUEST else STOP)


@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [
        (400, said("Your request exceeded model token limit: 8192 (requested: 9012)"), "context_length"),
        (422, {"error": "`inputs` must have less than 1024 tokens. Given: 1500"}, "context_length"),
        (400, said("the request exceeds the available context size, try increasing it",
                   type="exceed_context_size_error", n_ctx=4096), "context_length"),
        (400, said("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"),
         "context_length"),
        (400, said("Input is 52000 tokens, but the model can take 32768"), "context_length"),
        (400, said("However, you requested 9500 tokens (7500 in the messages, 2000 in the completion). "
                   "The maximum context length is 8192"), "context_length"),
        (400, said("total message size 4294968 exceeds limit 2097152"), "too_large"),
        (400, said("Request payload size exceeds the limit: 20971520 bytes."), "too_large"),
        (400, said("The request body is too large"), "too_large"),
        (403, {"message": "Request body of 12 MB is over the 10 MB that this gateway accepts"},
         "too_large"),
        (422, said("Image of 9,000,000 bytes exceeds 5,242,880 bytes"), "too_large"),
        (500, said("input is too large to process. increase the physical batch size"), "too_large"),
        (400, said("string too long. Expected a maximum length of 1000, but got a length of 1100",
                   param="messages[0].content"), "too_large"),
        (422, {"detail": [{"loc": ["body", "messages", 0, "content"],
                           "msg": "String should have at most 20000 characters"}]}, "too_large"),
    ],
)  # fmt: skip
def test_a_request_that_is_too_long_concerns_itself_only(status, body, cause):
    check(status, body, Cause(cause), FINAL)


@pytest.mark.parametrize(
    "body",
    [
        said("max_tokens is too large: 100000. This model supports at most 16384 completion tokens, "
             "whereas you provided 100000.", param="max_tokens"),
        said("maximum context length is 8192 tokens. However, you requested 100500 tokens (500 in the "
             "messages, 100000 in the completion)."),
        said("'max_tokens' or 'max_completion_tokens' is too large: 9000. This model's maximum context "
             "length is 8192 tokens and your request has 120 input tokens (9000 > 8192 - 120)."),
        said("Invalid 'tools[0].function.name': string too long. Expected a maximum length of 64, but "
             "got a length of 80", param="tools[0].function.name"),
        said("stop: string too long: 600 > 500"),
        said("At most 5 images may be provided in one request, got 9"),
        said("The number of input texts (300) exceeds the limit of 256"),
        said("dimensions 3072 is larger than the maximum 1536 of text inputs"),
        {"detail": [{"loc": ["body", "user"], "msg": "String should have at most 64 characters"}]},
    ],
)  # fmt: skip
def test_a_size_that_all_requests_of_a_job_share_counts_as_a_common_fault(body):
    check(400, body, Cause.BAD_REQUEST, FINAL)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"message": "The provided model identifier is invalid."}),
        (400, said("foo/bar is not a valid model ID", code=400)),
        (400, said("/chat/completions: Invalid model name passed in model=foo.", code="400")),
        (400, said("The model `x` has been decommissioned and is no longer supported.")),
        (400, said("Unable to access model X.", code="model_not_available")),
        (400, said("The requested model 'foo' could not be found in this workspace")),
        (422, {"detail": [{"loc": ["body", "model"], "msg": "Input should be 'a' or 'b'"}]}),
    ],
)
def test_an_unknown_model_stops(status, body):
    check(status, body, Cause.NOT_FOUND, STOP)


@pytest.mark.parametrize(
    "body",
    [
        {
            "code": "Client specified an invalid argument",
            "error": "Incorrect API key provided: xa***.",
        },
        said("x-api-key header is required"),
        said("no", code="wrong_api_key"),
        said("Organization has been restricted.", code="organization_restricted"),
    ],
)
def test_a_bad_key_with_status_400_stops(body):
    check(400, body, Cause.AUTH, STOP)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, {"error": "Your newly created team doesn't have any credits or licenses yet."}),
        (
            403,
            said(
                "The free tier of the model has been exhausted.",
                code="AllocationQuota.FreeTierOnly",
            ),
        ),
        (429, said("Your account has exhausted its free trial quota.", code="QuotaExceeded")),
        (429, said("您的GLM Coding Plan套餐已到期，暂无法使用", code="1309")),
        (429, said("Your account reached the set limit, and the model service has been paused.")),
        (412, said("Account x is suspended, possibly due to reaching the monthly spending limit")),
        (403, said("Key limit exceeded (total limit).", code=403)),
        (403, said("该令牌额度已用尽")),
        (403, said("预扣费额度失败, 用户剩余额度: $0.01")),
        (403, {"reason": "NOT_ENOUGH_BALANCE", "message": "no"}),
        (403, said("Your trial has ended. Add a payment method to continue.")),
        (403, said("Your subscription has expired")),
        (429, said("Spending cap of $50 reached for this month")),
        (429, {"error": "you've reached your weekly usage limit, please upgrade to continue"}),
        (429, said("Plan does not include this model: quota is 0")),
        (400, said("API quota exceeded for key ..x9; contact sales")),
    ],
)
def test_no_money_or_credit(status, body):
    check(status, body, Cause.QUOTA, STOP)


@pytest.mark.parametrize(
    ("status", "body", "cause", "verdict"),
    [
        (400, said("Unbalanced brackets; out of balance at 7"), Cause.BAD_REQUEST, FINAL),
        (400, said("parameter 'balance' must be a number"), Cause.BAD_REQUEST, FINAL),
        (500, said("Internal error. No credits were charged."), Cause.SERVER_ERROR, RETRY),
        (429, said("Rate limit reached. Add a payment method to raise it."), Cause.RATE_LIMIT, WAIT),
        (429, said("litellm.RateLimitError: Resource has been exhausted (e.g. check quota).", code="429"),
         Cause.RATE_LIMIT, WAIT),
        (503, said("The model service has been paused for maintenance"), Cause.OVERLOADED, RETRY),
        (429, said("Your plan is over its rate limit"), Cause.RATE_LIMIT, WAIT),
        (400, said("Invalid key: temperature limit exceeded"), Cause.BAD_REQUEST, FINAL),
        (501, said("This server does not support embeddings."), Cause.BAD_REQUEST, FINAL),
    ],
)  # fmt: skip
def test_words_about_money_elsewhere(status, body, cause, verdict):
    check(status, body, cause, verdict)


@pytest.mark.parametrize(
    ("status", "message", "cause"),
    [
        (400, "Invalid 'messages[0]'. Received: 'How do I report harassment?'", Cause.BAD_REQUEST),
        (400, 'Unexpected token in request: "insufficient balance"', Cause.BAD_REQUEST),
        (400, "field 'overdue' is not permitted", Cause.BAD_REQUEST),
        (400, "Model 'violence-detector' does not support chat", Cause.BAD_REQUEST),
        (429, "Rate limit exceeded for prompt 'what is a daily quota'", Cause.RATE_LIMIT),
        (500, "Failed on input: “try again in 5 hours”", Cause.SERVER_ERROR),
        (400, 'openai_error: "insufficient balance"', Cause.QUOTA),
        (429, "Quota exceeded for metric 'requests per day'", "per day"),
    ],
)
def test_what_a_message_quotes_is_not_said_by_the_provider(status, message, cause):
    found = judged(status, said(message))
    assert ("per day" if found.per_day else found.cause) == cause
    assert found.per_day or found.retry_after_s is None


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (400, {"__type": "com.amazon.coral.service#ThrottlingException", "Message": "no"}, {}),
        (400, {"Message": "no"}, {"x_amzn_errortype": "ThrottlingException"}),
        (400, {"Code": "Throttling.User", "Message": "denied due to user flow control."}, {}),
        (403, {"message": "You have exceeded a secondary rate limit."}, {}),
        (500, {"fault": {"faultstring": "Spike arrest violation.",
                         "detail": {"errorcode": "policies.ratelimit.QuotaViolation"}}}, {}),
        (200, {"statusCode": 429, "body": '{"message": "slow"}'}, {}),
        (200, {"base_resp": {"status_code": 2056, "status_msg": "5-hour usage limit reached"}}, {}),
    ],
)  # fmt: skip
def test_a_rate_limit_with_another_status(status, body, headers):
    check(status, body, Cause.RATE_LIMIT, WAIT, **headers)


@pytest.mark.parametrize(
    ("status", "body", "per_day"),
    [
        (429, said("Try again in 9s. Need more tokens? Upgrade today at https://x/billing"), False),
        (429, {"message": "Details:RPD limit reached."}, True),
        (403, said("Key limit exceeded (daily limit)."), True),
        (429, said("you have used up your daily free allocation of 10,000 neurons"), True),
    ],
)
def test_whether_a_limit_is_one_per_day(status, body, per_day):
    found = check(status, body, Cause.RATE_LIMIT, STOP if per_day else WAIT)
    assert found.per_day is per_day


CHINA = moment(8 * 3600 + 1800, "%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("fields", "wait_s"),
    [
        ({"retryAfter": "PT1M30S"}, 90),
        ({"retryAfter": "00:00:45"}, 45),
        ({"retry_after_seconds": 9.5}, 9.5),
        ({"available_in": 57}, 57),
        ({"seconds_until_reset": 17}, 17),
        ({"time_to_reset": "17s"}, 17),
        ({"backoff_seconds": 6}, 6),
        ({"try_again_in": "12s"}, 12),
        ({"next_request_at": moment(3300)}, 3300),
        ({"resets_at": round(NOW) + 4400}, 4400),
        ({"quotaResetDelay": "1.5s"}, 1.5),
        ({"retryDelay": {"seconds": "8", "nanos": 500_000_000}}, 8.5),
        ({"retry": {"after": 9}}, 9),
        ({"retry_count": 5, "max_retries": 3, "available": 500, "wait_list": 4}, None),
        ({"message": "Quota will be replenished in 03:12:05."}, 11_525),
        ({"message": "You may make another request in 12 s"}, 12),
        ({"message": "The zorbloks are asleep, back in 12s"}, 12),
        ({"message": "Rate limited for 14 more seconds"}, 14),
        ({"message": "Limit reached, 3 min left"}, 180),
        ({"message": "The request timed out after 600 seconds, please try again later"}, None),
        ({"message": "Limit reached after 5 minutes, retry in 20s"}, 20),
        ({"message": f"You will regain access on {moment(7200, '%Y-%m-%d at %H:%M UTC')}"}, 7200),
        ({"message": f"Limit resets at {moment(3600, '%H:%M')} UTC"}, 3600),
        ({"message": f"已达到使用上限。您的限额将在 {CHINA} 重置。"}, 1800),
        ({"message": "請求過於頻繁，請在 20 秒後重試"}, 20),
        ({"message": "20秒後に再試行してください"}, 20),
        ({"message": "20초 후에 다시 시도하세요"}, 20),
        ({"message": "Réessayez dans 20 secondes"}, 20),
        ({"message": "Bitte in 20 Sekunden erneut versuchen"}, 20),
        ({"message": "5 requests in 1 minute allowed, window resets at the full minute"}, None),
    ],
)
def test_the_wait_in_a_body(fields, wait_s):
    found = check(429, said(**{"message": "slow", **fields}), Cause.RATE_LIMIT, WAIT)
    assert found.retry_after_s == pytest.approx(
        wait_s, abs=65 + time.time() - NOW if wait_s and wait_s > 1000 else 3
    )


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry_After": "PT1M30S"}, 90),
        ({"X_Retry_After": "5"}, 5),
        ({"Retry_After": '"3"'}, 3),
        ({"Retry_After": "3 seconds"}, 3),
        ({"retry_AFTER": "1m30s"}, 90),
        ({"RETRY_AFTER": "1M 30S"}, 90),
        ({"Retry_After": "350ms"}, 0.35),
        ({"Retry_After": "350 Milliseconds"}, 0.35),
        ({"Retry_After": "2 minutes and 5 secs"}, 125),
        ({"Retry_After": "1 hour, 1 min"}, 3660),
        ({"Retry_After": "in about 4 s"}, 4),
        ({"Retry_After": "in 4 s"}, 4),
        ({"Retry_After": "~4"}, 4),
        ({"Retry_After": "+4"}, 4),
        ({"Retry_After": ".5"}, 0.5),
        ({"Retry_After": "3, 9"}, 9),
        ({"Retry_After": "9; q=zorbloks"}, 9),
        ({"Retry_After": "4 zorbloks"}, None),
        ({"Retry_After": "-5"}, 0),
        ({"Retry_After": "Sun, 29 Nov 2020 01:35:49 GMT"}, 0),
        ({"Retry_After": "99999999999999999999"}, LONGEST_S),
        ({"Retry_After": "nan"}, None),
        ({"Retry_After": "inf"}, None),
        ({"X_RATELIMIT_RESET": "1m 30s"}, 90),
        ({"Retry_After_Seconds": "5"}, 5),
        ({"x_ms_retry_after_ms": "2500"}, 2.5),
        ({"RateLimit": "limit=100, remaining=0, reset=30"}, 30),
        ({"RateLimit": '"burst";r=0;t=7, "day";r=99;t=3600'}, 7),
        ({"RateLimit": '"burst";r=3;t=7'}, None),
        ({"anthropic_ratelimit_tokens_remaining": "0", "anthropic_ratelimit_tokens_reset": moment(4400)},
         4400),
        ({"anthropic_ratelimit_tokens_remaining": "9", "anthropic_ratelimit_tokens_reset": moment(4400)},
         None),
    ],
)  # fmt: skip
def test_the_wait_in_a_header(headers, wait_s):
    found = check(429, said("slow"), Cause.RATE_LIMIT, WAIT, **headers)
    assert found.retry_after_s == pytest.approx(
        wait_s, abs=65 + time.time() - NOW if wait_s == 4400 else 0.01
    )


def test_a_model_that_is_being_loaded_says_how_long():
    found = check(503, {"error": "loading", "estimated_time": 20.0}, Cause.OVERLOADED, RETRY)
    assert found.retry_after_s == 20


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"message": "half \\ud83d of one", "code": "a\\ud83d"}', "half � of one (a�)"),
        ({"message": "[{'msg': 'pair \\ud83d\\ude00', 'ctx': E('x')}]"}, "pair 😀"),
        ({"message": "odd", "status": "²", "status_code": "²"}, "odd (²)"),
        ({"message": "odd", "code": "0429999"}, "odd (0429999)"),
    ],
)
def test_odd_characters_break_nothing(body, message):
    found = check(400, body, Cause.BAD_REQUEST, FINAL)
    assert found.message == message


def test_words_in_fields_with_capitals_are_shown():
    assert judged(400, {"Code": "X.Y", "Message": "no such gizmo"}).message == "no such gizmo (X.Y)"


NAMES = [*sorted(error_text._NAMED), "choices", "output", "content", "base_resp", "retryDelay"]
VALUES = [None, 0, -1, 429, "429", 1e30, 10**40, True, "", "²", "½ \ud83d", "PT", "00:99:99", "{'a': f(x)}",
          "[{'msg': 'x', 'e': E('y')}]", '"\\"a\\""', "try again at 2026-02-30T99:00:00Z", "<html>"]  # fmt: skip


def made(chance, depth=0):
    """A JSON value of the names and values that errors have, at random."""
    kind = chance.random()
    if depth > 3 or kind < 0.5:
        return chance.choice(VALUES)
    if kind < 0.8:
        return {chance.choice(NAMES): made(chance, depth + 1) for _ in range(3)}
    return [made(chance, depth + 1) for _ in range(2)]


def test_no_body_breaks_the_reader():
    chance = random.Random(21)
    for _ in range(1500):
        body = {chance.choice(NAMES): made(chance) for _ in range(3)}
        waits = {"retry_after": str(chance.choice(VALUES)), "ratelimit": str(chance.choice(VALUES))}
        found = judged(chance.choice([200, 400, 403, 429, 500]), body, **waits)
        found.message.encode()  # it can be stored
        assert found.retry_after_s is None or 0 <= found.retry_after_s < 4e8
