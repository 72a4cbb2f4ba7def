"""Codes and wordings of providers, as data: the last resort where status and structure say nothing.

Codes are looked for in ``code``, ``type``, ``status`` and ``reason`` of an error body, wordings in its
sentences. Sources: the error references of OpenAI, Azure, Google (google.rpc.Code), Anthropic, Groq,
OpenRouter, xAI, DeepSeek, Moonshot, DashScope, Zhipu, MiniMax, SiliconFlow, Baidu, Volcengine.
"""

import re
from enum import Enum, auto


class Sign(Enum):
    """What a code stands for."""

    CONTENT = auto()
    GENERATION = auto()  # what the model generated fails the provider's own check
    QUOTA = auto()
    RATE = auto()
    PER_DAY = auto()
    TOO_LARGE = auto()
    CONTEXT = auto()
    OVERLOADED = auto()
    NO_MODEL = auto()
    KEY = auto()
    BAD_REQUEST = auto()
    TIMEOUT = auto()
    SERVER = auto()


def _pattern(*parts: str) -> re.Pattern[str]:
    return re.compile("|".join(parts), re.IGNORECASE)


# The first that matches counts.
CODES: tuple[tuple[Sign, re.Pattern[str]], ...] = (
    (
        Sign.CONTENT,
        _pattern(
            r"content.?(?:filter|policy|moderation|violation|blocked|safety|sensitive)",
            r"data.?inspection|responsible.?ai|sensitive.?(?:content|word|info)|new_sensitive",
            r"prohibited.?content|moderation.?(?:block|fail|reject)|\bsafety|_safety",
            r"usage.?(?:policy|guideline)|policy.?violation|unsafe.?content|^invalid_prompt$",
        ),
    ),
    (
        Sign.GENERATION,
        _pattern(
            r"json.?validat|tool.?use.?failed|failed.?generation|output.?pars",
            r"(?:invalid|malformed).?(?:output|generation|json.?output|function.?call)",
            r"(?:output|generation|completion).?(?:validation|parse|schema|json)?.?(?:failed|failure|invalid)",
        ),
    ),
    (
        Sign.QUOTA,
        _pattern(
            r"insufficient.{0,12}(?:quota|balance|credit|fund)|arrear|overdue|billing|payment.?required",
            r"(?:credit|balance|fund)s?.{0,12}(?:exhaust|deplet|exceed|insufficient|too.?low)",
            r"(?:out.?of|no).?(?:credit|fund|balance|money)|exceeded.?current.?quota",
            r"(?:spend|spending|budget|hard).{0,8}limit|budget.?exceeded",
        ),
    ),
    (Sign.PER_DAY, _pattern(r"(?:per.?day|daily|by.?day)")),
    (Sign.CONTEXT, _pattern(r"context.?(?:length|window)|(?:prompt|input).?too.?long")),
    (
        Sign.TOO_LARGE,
        _pattern(r"(?:request|payload|entity|prompt).?too.?large|max.?tokens.?per.?request"),
    ),
    (
        Sign.OVERLOADED,
        _pattern(r"overload|capacity|resource.?unavailable|^(?:service.?)?unavailable|too.?busy"),
    ),
    (
        Sign.RATE,
        _pattern(
            r"rate.?limit|too.?many.?requests|resource.?exhausted|throttl|limit.?exceeded|quota.?exceeded",
            r"^(?:tokens|requests)$",  # OpenAI's ``type`` of a 429
        ),
    ),
    (
        Sign.NO_MODEL,
        _pattern(
            r"(?:model|deployment|engine).?(?:not.?(?:found|exist\w*|open)|unknown|invalid)",
            r"(?:no.?such|unknown|invalid).?(?:model|deployment)|^not.?found(?:.?error)?$",
        ),
    ),
    (
        Sign.KEY,
        _pattern(
            r"api.?key.?(?:invalid|expired|not.?valid)|(?:invalid|incorrect|expired|missing).?(?:api.?key|token)",
            r"authentication|unauthenticated|unauthori[sz]ed|permission",
        ),
    ),
    (
        Sign.BAD_REQUEST,
        _pattern(
            r"invalid.?(?:request|argument|param|value|field)|bad.?request|unsupported|failed.?precondition"
        ),
    ),
    (Sign.TIMEOUT, _pattern(r"time.?out|deadline.?exceeded")),
    (Sign.SERVER, _pattern(r"internal|server.?error|^api_error$")),
)

# Numbers by the field that holds them: MiniMax (base_resp), Zhipu and SiliconFlow, Baidu.
NUMBERED: dict[tuple[str, int], Sign] = {
    ("status_code", 1001): Sign.TIMEOUT,
    ("status_code", 1002): Sign.RATE,
    ("status_code", 1004): Sign.KEY,
    ("status_code", 1008): Sign.QUOTA,
    ("status_code", 1013): Sign.SERVER,
    ("status_code", 1024): Sign.SERVER,
    ("status_code", 1026): Sign.CONTENT,
    ("status_code", 1027): Sign.CONTENT,
    ("status_code", 1033): Sign.SERVER,
    ("status_code", 1039): Sign.RATE,
    ("status_code", 1041): Sign.RATE,
    ("status_code", 2013): Sign.BAD_REQUEST,
    ("status_code", 2049): Sign.KEY,
    ("code", 1113): Sign.QUOTA,
    ("code", 1211): Sign.NO_MODEL,
    ("code", 1261): Sign.CONTEXT,
    ("code", 1301): Sign.CONTENT,
    ("code", 1302): Sign.RATE,
    ("code", 1303): Sign.RATE,
    ("code", 1304): Sign.PER_DAY,
    ("code", 1305): Sign.OVERLOADED,
    ("code", 30001): Sign.QUOTA,
    ("error_code", 4): Sign.RATE,
    ("error_code", 17): Sign.PER_DAY,
    ("error_code", 18): Sign.RATE,
    ("error_code", 336501): Sign.RATE,
    ("error_code", 336502): Sign.RATE,
}

# HTTP statuses that stand for a code, for an error that comes with 200.
STATUSES = {
    Sign.RATE: 429,
    Sign.PER_DAY: 429,
    Sign.TOO_LARGE: 413,
    Sign.OVERLOADED: 503,
    Sign.NO_MODEL: 404,
    Sign.KEY: 401,
    Sign.CONTEXT: 400,
    Sign.BAD_REQUEST: 400,
    Sign.TIMEOUT: 408,
    Sign.SERVER: 500,
}

_POLICY = r"(?:polic(?:y|ies)|guidelines?|terms|rules|standards)"
_SUBJECT = (
    r"(?:content|prompts?|inputs?|messages?|text|images?|quer(?:y|ies)|requests?|outputs?|answers?"
    r"|responses?|completions?)"
)
_BREAKS = r"(?:violat\w*|against|breach\w*|break\w*|contrary to)"
_BAD = (
    r"(?:flagged|unsafe|inappropriate|harmful|prohibited|disallowed|objectionable|offensive|illegal"
    r"|nsfw|(?<!case[ -])sensitive)"
)
CONTENT_WORDS = _pattern(
    rf"\b{_SUBJECT}\b.{{0,60}}\b{_BREAKS}\b.{{0,60}}\b{_POLICY}",
    rf"\b{_BREAKS}\b.{{0,40}}\b(?:usage|use|content|community|safety|moderation)\b.{{0,20}}\b{_POLICY}",
    rf"\b{_SUBJECT}\b.{{0,60}}\b{_BAD}\b",
    rf"\b{_BAD}\b.{{0,40}}\b{_SUBJECT}\b",
    rf"\b{_BAD}\b (?:information|words?|topics?|material)\b",
    rf"\b{_SUBJECT}\b.{{0,60}}\b(?:exists?|high|considered|potential\w*)\b.{{0,20}}\brisk",
    rf"content.?(?:filter|management|moderation|safety)|content {_POLICY}|data.?inspection",
    r"(?:safety|moderation) (?:system|filter|check|guidelines?|reasons?|polic)",
    r"\b(?:blocked|rejected|refused|filtered|stopped)\b.{0,40}\b(?:for|by|due to) (?:our |the )?safety\b",
    rf"\busage {_POLICY}",
    r"(?:内容|输入|输出|文本|提示词|图片).{0,20}(?:违规|敏感|不安全|不合规|违反|不当|风险|违禁|违法)",
    r"(?:违规|敏感|不安全|不合规|不当|违禁|违法).{0,8}(?:内容|信息|词)|内容安全|安全审核",
)
# A refusal of the account, not of what was asked.
ACCOUNT_WORDS = _pattern(
    r"\b(?:account|organi[sz]ation|api key|user|project|subscription)\b.{0,60}"
    r"\b(?:violat\w*|break\w*|breach\w*|suspend\w*|banned|disabled|deactivated|terminated|flagged|blocked|restricted)"
)
_GENERATED = (
    r"(?:(?:model|assistant|llm)(?:'s|s)? (?:output|answer|response|reply|text|json|content)"
    r"|generated \w+|(?<!structured )(?:output|answer|response|reply) (?:of|from|that) the model"
    r"|\bgenerations?|(?<!max )\bcompletion(?! tokens))"
)
GENERATION_WORDS = _pattern(
    r"fail\w* to (?:generate|produce) (?:a )?(?:valid |well-formed )?(?:json|structured output|tool)",
    r"\b(?:model|generated|llm)\b.{0,30}\b(?:malformed|broken|unparsable|incomplete)\b.{0,20}(?:json|output)",
    r"no (?:valid|well-formed) json",
    rf"{_GENERATED}\b.{{0,60}}(?:\bnot\b|\bno\b|n't|\bcannot|\bfail|\binvalid|\bviolat)"
    r".{0,40}(?:valid|pars|conform|match|fit|satisf|compl|json|schema|format)",
)
# Names of the parameter that asks for a schema, or of what applies it.
FORMAT_NAMES = _pattern(
    r"response.?(?:format|schema)|json.?(?:schema|object|mode)|text\.format|generation.?config",
    r"structured.?(?:output|generation|response|decoding)|guided|constrained.?(?:decod|generat|sampl)",
    r"output.?(?:format|schema)",
)
# The same for a rejection with a status of 400 to 499, where they can mean nothing else.
SCHEMA_WORDS = _pattern(
    r"\bschemas?\b|grammar|\boutlines\b",
    r"additionalProperties|patternProperties|propertyNames|prefixItems|unevaluated\w+|\$ref|\$defs"
    r"|anyOf|oneOf|allOf|(?:min|max)(?:Length|Items|Properties)|uniqueItems|multipleOf|exclusiveM\w+",
)
OTHER_SCHEMAS = _pattern(r"\b(?:tools?|functions?)\b")
_MONEY = r"(?:credits?|funds?|balance|money)"
QUOTA_WORDS = _pattern(
    rf"insufficient.{{0,20}}(?:{_MONEY}|quota)",
    rf"\b{_MONEY}\b.{{0,30}}(?:insufficient|too low|exhausted|depleted|used up|run out|ran out"
    r"|not enough|not sufficient|is empty|negative)",
    rf"(?:out of|have no|no more|not have enough|not have sufficient|used up your) (?:any |your |remaining )?{_MONEY}\b",
    r"payment required|\barrears?\b|\boverdue\b|\bunpaid\b",
    r"(?:spend\w*|budget|monthly|hard) (?:cap|limit) (?:is |was |has been )?(?:reached|exceeded)",
    r"(?:reached|exceeded|hit) (?:your |the |its )?(?:\w+ ){0,2}(?:spend\w*|budget|billing|hard|monthly) (?:\w+ )?(?:cap|limit)",
    r"余额(?:不足|已用完|为零)|欠费|账户.{0,10}(?:不足|停用)|额度(?:不足|已用完|已耗尽)",
)
# Advice that a rate limit gives too: it tells nothing where a rate is named.
PAY_WORDS = _pattern(
    rf"\b(?:add|buy|purchase|need) (?:more |any |your )?{_MONEY}\b|top.?up|recharge|prepaid|充值"
)
RATE_WORDS = _pattern(
    r"rate.?limit|too many|too fast|per (?:second|minute|hour)|\b[RT]P[MS]\b|frequen|limited to|限流|频率|频繁"
)
WEAK_QUOTA_WORDS = _pattern(  # a rate limit too, where a wait or a code says it
    r"exceeded your current quota|quota.{0,30}(?:exhausted|used up)|(?:exhausted|used up).{0,30}quota"
)
CONTEXT_WORDS = _pattern(
    r"context.?(?:length|window)|maximum context|(?:input|prompt)\b.{0,30}too long|max_seq_len",
    r"reduce the length|range of input length|longer than the (?:model|maximum) |too many tokens in",
    r"上下文长度|输入.{0,6}过长",
)
OVERLOADED_WORDS = _pattern(r"overloaded|capacity|too busy|resource unavailable|负载|繁忙")
NO_CAPACITY_WORDS = _pattern(  # of a 429 that is no rate limit (OpenAI's and Groq's flex tiers)
    r"resources?[ _](?:is |are )?(?:currently |temporarily )?(?:un|not )available|"
    r"(?:no|not enough|insufficient|lack of|without) (?:\w+ ){0,2}capacity|capacity (?:exceeded|unavailable)"
)
NO_MODEL_WORDS = _pattern(
    r"\bmodel\b.{0,80}(?:not found|not exist|unknown|not available)|(?:unknown|no such) model",
    r"模型.{0,20}(?:不存在|未找到)",
)
KEY_WORDS = _pattern(
    r"\b(?:api|access|auth\w*) ?(?:key|token)\b.{0,40}(?:valid|expired|incorrect|revoked)"
)
PER_DAY_WORDS = _pattern(
    r"\b(?:per|a|each|every)[ -]?day\b|/ ?(?:d|day)\b|\bdaily\b|\b[TR]PD\b|\b(?:per|every) (?:86,?400 ?s|24[ -]?h)",
    r"每日|每天|当日|今日|单日",
)
PER_DAY_ID = _pattern(r"per_?day|by_?day|\bdaily|_day\b")
PER_MINUTE_WORDS = _pattern(r"\b(?:per|a|each|every)[ -]?min|/ ?min|\b[TR]PM\b|每分钟")
NO_QUOTA_WORDS = re.compile(
    r"(?<!remaining )\blimit['\"]?(?: is| of)?\s?[:=]?\s?0(?![\w.,]*\d)(?! (?:remaining|left))",
    re.I,
)
NO_QUOTA_FIELDS = frozenset(
    {"limit", "quotaValue", "quota_value", "quota_limit_value", "max_quota"}
)
ABOUT_TOKENS = _pattern(r"\btokens?\b|\btp[md]\b|_tokens?_|tokens?per|token_count")
ABOUT_REQUESTS = _pattern(r"\brequests? per\b|\brp[smd]\b|requestsper|_requests\b")
