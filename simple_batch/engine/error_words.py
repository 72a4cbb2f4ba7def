"""Codes and wordings of providers, as data: the last resort where status and structure say nothing.

Codes are looked for in ``code``, ``type``, ``status`` and ``reason`` of an error body, wordings in its
sentences. Sources: the error references of OpenAI, Azure, Google (google.rpc.Code), Anthropic, Groq,
OpenRouter, xAI, DeepSeek, Moonshot, DashScope, Zhipu, MiniMax, SiliconFlow, Baidu, Volcengine.
"""

import functools
import re
from enum import Enum, auto

from ..core.lazy_pattern import lazy_pattern


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


class Wording:
    """A pattern that remembers what it has been searched in: in an outage all calls fail alike."""

    def __init__(self, pattern: str):
        self.pattern = lazy_pattern(pattern, re.IGNORECASE)
        self._found = functools.lru_cache(_REMEMBERED)(self._search)

    def search(self, text: str) -> re.Match[str] | None:
        return self._found(text)

    def _search(self, text: str) -> re.Match[str] | None:
        return self.pattern.search(text)


_REMEMBERED = 16  # texts


def _pattern(*parts: str) -> Wording:
    return Wording("|".join(parts))


# The first that matches counts.
CODES: tuple[tuple[Sign, Wording], ...] = (
    (
        Sign.CONTENT,
        _pattern(
            r"content.?(?:filter|policy|moderat|violation|blocked|safety|sensitive)|censor|guardrail.?(?:block|violat|interven)",
            r"data.?inspection.?(?:fail|reject|block)|responsible.?ai|sensitive.?(?:content|word|info)|new_sensitive",
            r"prohibited.?content|moderation.?(?:block|fail|reject)|\bsafety|_safety",
            r"usage.?(?:policy|guideline)|policy.?violation|unsafe.?(?:content|prompt|input|output)|^invalid_prompt$",
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
            r"(?:insufficient|not.?enough).{0,12}(?:quota|balance|credit|fund)|arrear|overdue|billing|payment.?required",
            r"(?:credit|balance|fund)s?.{0,12}(?:exhaust|deplet|exceed|insufficient|too.?low)",
            r"(?:out.?of|no).?(?:credit|fund|balance|money)|exceeded.?current.?quota",
            r"(?:spend|spending|budget|hard).{0,8}limit|budget.?exceeded",
        ),
    ),
    (Sign.PER_DAY, _pattern(r"(?:per.?day|daily|by.?day)")),
    (Sign.CONTEXT, _pattern(r"context.?(?:length|window|size|limit)|(?:prompt|input).?too.?long")),
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
            r"(?:model|deployment|engine).?(?:not.?(?:found|exist\w*|open|available)|unknown|invalid)",
            r"model.?(?:decommission|deprecat|retire|discontinu)",
            r"(?:no.?such|unknown|invalid).?(?:model|deployment)|^not.?found(?:.?error)?$",
        ),
    ),
    (
        Sign.KEY,
        _pattern(
            r"api.?key.?(?:invalid|expired|not.?valid)|(?:invalid|incorrect|wrong|expired|missing).?(?:api.?key|token)",
            r"(?:account|organi[sz]ation).?(?:restrict|suspend|disable|deactivat)|authentication|unauthenticated|unauthori[sz]ed|permission",
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
# what else is called bad: the form of a request, which is the fault of all its like
_FORM = (
    r"(?!\W{0,3}(?:\w+ )?(?:characters?|bytes?|base64|arguments?|values?|param\w*|json|utf\W?8|unicode|escape\w*"
    r"|syntax|format|fields?|property|properties|headers?|url|tokens?|bod(?:y|ies)|roles?|keys?|names?|types?|when|for this)\b)"
)
_BAD = (
    r"(?:flagged|inappropriate|harmful|objectionable|offensive|nsfw|(?<!case[ -])(?<![a-z])sensitive|censored"
    rf"|risky?(?= (?:content|words?|information|material)))(?![a-z]){_FORM}"
)
# words that are said of the form of a request too: they count where they are said of what it means
_FORBIDDEN = r"(?:unsafe|prohibited|disallowed|illegal|forbidden)"
_MEANING = r"(?:content|prompts?|quer(?:y|ies)|questions?|topics?|texts?|images?|outputs?|answers?|responses?|completions?)"
_STOPPED = r"(?:blocked|filtered|flagged|withheld|censored|moderated|(?:rejected|refused|stopped) by (?:our|the|an?))"
_CJK_SUBJECT = "内容|內容|输入|輸入|输出|文本|提示词|图片|提问|回答|コンテンツ"
_CJK_BAD = "违规|違規|敏感|不安全|不合规|违反|不当|不適切|有害|风险|违禁|违法|違法"
CONTENT_WORDS = _pattern(
    rf"\b{_SUBJECT}\b.{{0,60}}\b{_BREAKS}\b.{{0,60}}\b{_POLICY}",
    rf"\b{_BREAKS}\b.{{0,40}}\b(?:usage|use|content|community|safety|moderation)\b.{{0,20}}\b{_POLICY}",
    rf"\b{_SUBJECT}\b.{{0,60}}{_BAD}",
    rf"\b{_BAD}.{{0,40}}\b{_SUBJECT}\b",
    rf"\b{_BAD} (?:information|words?|topics?|material)\b",
    rf"\b{_FORBIDDEN} (?:\w+ )?(?:{_MEANING}|information|words?|material|activity|activities|acts?|use)\b(?! (?:url|type|format))",
    rf"\b{_MEANING} (?:\w+ ){{0,3}}(?:is|are|was|were|be|been|considered|deemed|contains?|potentially) (?:\w+ ){{0,2}}{_FORBIDDEN}\b{_FORM}",
    rf"\b{_MEANING}\b.{{0,60}}\b(?:is|was|are|were|been|be|got) {_STOPPED}\b|\b{_MEANING} {_STOPPED}\b",
    r"\b(?:violen(?:t|ce)|self.?harm|hate(?:ful)?(?: speech)?|sexual\w*|harassment|pornograph\w*|jailbreak\w*)\b",
    r"\bprompt.?(?:shield|injection|attack)",
    rf"\b(?:{_STOPPED}|violat\w*|interven\w*|against|break\w*)\b.{{0,40}}\b(?:guardrails?|moderation|moderators?)\b",
    r"\b(?:guardrails?|moderators?|censor\w*)\b.{0,40}\b(?:block|violat|interven|reject|flag|refus|not? |n't|fail)",
    rf"\b{_SUBJECT}\b.{{0,60}}\b(?:exists?|high|considered|potential\w*)\b.{{0,20}}\brisk",
    r"content.?(?:filter|management|moderation|safety)(?!\w* (?:config|param|setting|option|id|level))",
    rf"content.?{_POLICY}|data.?inspection.?fail",
    r"(?:safety|moderation) (?:system|filter|check|guidelines?|reasons?|polic)",
    r"\b(?:blocked|rejected|refused|filtered|stopped)\b.{0,40}\b(?:for|by|due to) (?:our |the )?safety\b",
    rf"\busage {_POLICY}",
    rf"(?:{_CJK_SUBJECT}).{{0,20}}(?:{_CJK_BAD})",
    rf"(?:{_CJK_BAD}).{{0,8}}(?:内容|內容|信息|资讯|資訊|词|詞|コンテンツ|表現)|内容安全|安全审核|涉嫌",
    rf"(?:{_CJK_SUBJECT}).{{0,20}}(?:触犯|違反|违反|违背|不符合|抵触).{{0,12}}(?:规范|規範|规定|政策|准则|法律|法规|条款|公约)",
    r"触发.{0,8}(?:安全|敏感|风控|审核)|审核.{0,4}(?:不通过|未通过|失败|拒绝)|未(?:能)?通过.{0,6}(?:审核|审查)",
)
# A refusal of the account, not of what was asked.
_ACCOUNT = (
    r"\b(?:account|organi[sz]ation|api key|project|subscription|workspace|team"
    r"|user(?! (?:prompt|message|input|content|query|text|request)))\b"
)
_SUSPENDED = r"suspended|suspension|banned|disabled|deactivated|terminated|restricted|frozen"
ACCOUNT_WORDS = _pattern(
    rf"{_ACCOUNT}.{{0,60}}\b(?:violat\w*|break\w*|breach\w*|flagged|blocked|{_SUSPENDED})",
    r"\b(?:from|in|your|this) (?:your |this |the )?(?:region|country|territory|location|ip|vpn|network)\b",
)
# A 403 about what was asked, where it does not speak of who asks.
ASKED_WORDS = _pattern(
    r"\b(?:this|your|the|such) (?:(?:kind|type|sort)s? of )?(?:question|prompt|query|queries|message|input|text|content|conversation|image|topic)s?\b(?!-)"
)
ACCESS_WORDS = _pattern(
    r"access|permission|permitted|authori[sz]|credential|subscri|licen[cs]e|verif|administ|forbidden|allow|deployment"
    r"|endpoint|resource|billing|payment|purchase|upgrade|\bpaid|member|\b(?:keys?|tokens?|scopes?|roles?|plan|tier"
    r"|models?|accounts?|users?|projects?|team|organi[sz]ation|workspace|region|country|quota|limit|balance|log ?in|sign)\b"
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
    r"response.?(?:format|schema)|text\.format|generation.?config",
    r"structured.?(?:output|generation|response|decoding)|guided|constrained.?(?:decoding|generation|sampling)",
    r"output.?(?:format|schema)|output_config\b(?!\.effort)|结构化(?:输出|响应)|輸出格式|输出格式",
)
# What a schema is made of or turned into; and the schema, which in a client error can mean nothing else.
GRAMMAR_WORDS = _pattern(
    r"json.?(?:schema|object|mode)",
    r"grammar|\boutlines\b|additionalProperties|patternProperties|propertyNames|prefixItems|unevaluated\w+"
    r"|\$ref|\$defs|\b(?:anyOf|oneOf|allOf)\b|(?:min|max)(?:Length|Items|Properties)|uniqueItems|multipleOf"
    r"|exclusive(?:Min|Max)imum",
)
SCHEMA_WORDS = _pattern(r"\bschemas?\b")
OTHER_SCHEMAS = _pattern(r"\b(?:tools?|functions?)\b")
_MONEY = r"(?:credits?|funds?|balance|money)"
_LONG_PERIOD = r"(?:weekly|monthly|yearly|annual)"
_REACHED = r"(?:reach|exceed|hit)\w*"
_TRIAL = r"(?:tier|trial|quota|allocation|plan|credits?)"
_OVER = r"(?:exhausted|used up|depleted|ended|expired|lapsed|over(?! (?:the|its|your|\d))|canceled|cancelled|inactive)\b"
QUOTA_WORDS = _pattern(
    rf"(?:insufficient|not enough|doesn't have|does not have|don't have|do not have) (?:\w+ ){{0,3}}(?:{_MONEY}|quota)",
    rf"\b{_MONEY}\b.{{0,30}}(?:insufficient|too low|exhausted|depleted|used up|run out|ran out"
    r"|not enough|not sufficient|is empty|negative)",
    rf"(?:have no|no more|used up your) (?:any |your |remaining )?{_MONEY}\b|out of (?:your )?(?:credits?|funds?|money)\b",
    r"payment required|\barrears?\b|\boverdue\b|\bunpaid\b|past invoices?|fail\w* to pay",
    rf"(?:spend\w*|budget|{_LONG_PERIOD}|hard) (?:cap|limit)\b.{{0,20}}\b(?:reached|exceeded)",
    rf"{_REACHED} (?:your |the |its )?(?:\w+ ){{0,2}}(?:spend\w*|budget|billing|hard|{_LONG_PERIOD}) (?:\w+ )?(?:cap|limit|allowance)",
    rf"\b{_LONG_PERIOD}\b.{{0,30}}(?:quota|limit|cap|allowance|allotment|allocation)\b.{{0,20}}(?:reached|exceeded|used up|exhausted|consumed)",
    rf"\bfree[ -]?{_TRIAL}\b.{{0,30}}\b{_OVER}|\b(?:exhausted|used up) (?:its |your |the |all )*free[ -]?{_TRIAL}",
    rf"\b(?:subscription|trial|plan|licen[cs]e|package)\b (?:period )?(?:has |have |is |was )(?:\w+ )?{_OVER}",
    r"\baccount\b.{0,120}\b(?:has been|is|was) (?:paused|stopped)\b",
    r"(?:余额|额度|餘額|額度).{0,6}(?:不足|用完|用尽|耗尽|为零|失败)|欠费|欠費|账户.{0,10}(?:不足|停用)|套餐.{0,6}(?:到期|过期|用完|耗尽)",
)
# Advice that a rate limit gives too: it tells nothing where a rate is named.
PAY_WORDS = _pattern(
    rf"\b(?:add|buy|purchase|need|enter) (?:more |any |your |a )?(?:{_MONEY}|payment method|credit card)\b|top.?up|recharge|prepaid|充值"
)
RATE_WORDS = _pattern(
    r"rate.?limit|too many|too fast|per (?:second|minute|hour)|\b[RT]P[MS]\b|frequen|limited to|限流|频率|频繁"
)
WEAK_QUOTA_WORDS = _pattern(  # a rate limit too, where a wait or a code says it
    r"exceeded your current quota|quota.{0,30}(?:exhausted|used up)|(?:exhausted|used up)[^(]{0,30}quota"
)
# Of a client error that is no 429: a limit of the account is reached.
LIMIT_WORDS = _pattern(
    rf"\b(?:limits?|cap|quota)\b (?:has been |have been |was |is )?(?:exceeded|reached|hit)|{_REACHED} (?:\w+ ){{0,4}}limits?\b|out of (?:\w+ ){{0,3}}quota"
)
USAGE_WORDS = _pattern(
    r"\b(?:usage|quota|credits?|key limit|account|organi[sz]ation|team|project|plan|tier|spend\w*|call volume"
    r"|user(?! (?:prompt|message|input|content)))\b"
)
RENEWED_WORDS = _pattern(r"\b(?:replenish|renew|refill|reset|regain)\w*\b")
CONTEXT_WORDS = _pattern(
    r"context.?(?:length|window|size|limit)|maximum context|(?:input|prompt)\b.{0,30}too long|max_seq_len",
    r"reduce the length|range of input length|longer than the (?:model|maximum) |too many tokens in",
    r"上下文长度|输入.{0,6}过长",
)
OVERLOADED_WORDS = _pattern(r"overloaded|capacity|too busy|resource unavailable|负载|繁忙")
NO_CAPACITY_WORDS = _pattern(  # of a 429 that is no rate limit (OpenAI's and Groq's flex tiers)
    r"resources?[ _](?:is |are )?(?:currently |temporarily )?(?:un|not )available|"
    r"(?:no|not enough|insufficient|lack of|without) (?:\w+ ){0,2}capacity|capacity (?:is )?unavailable"
)
NO_MODEL_WORDS = _pattern(
    r"\bmodel\b.{0,80}(?:not (?:be )?found|not exist|unknown|not available|decommissioned|deprecated|retired|discontinued)",
    r"\b(?:unknown|no such|invalid|unsupported) model\b(?!.?s? (?:output|answer|response|config|param))|\bnot a (?:valid|known) model",
    r"\bmodel (?:id|name|identifier)\b.{0,40}\b(?:invalid|not valid|unrecogni[sz]ed|not recogni[sz]ed)",
    r"模型.{0,20}(?:不存在|未找到)",
)
KEY_WORDS = _pattern(
    r"\b(?:api|access|auth\w*) ?(?:key|token)\b.{0,40}(?:valid|expired|incorrect|revoked)",
    r"\b(?:invalid|incorrect|wrong|expired|revoked|missing|unknown) (?:\w+ )?(?:api|access|auth\w*)[ -]?(?:key|token)\b",
    r"\b(?:api|access|auth\w*)[ -]?(?:key|token|header)\b.{0,30}\b(?:required|missing|not (?:provided|found|set|supplied))\b",
    r"\b(?:missing|no|invalid) (?:bearer|authori[sz]ation)\b",
    rf"{_ACCOUNT}.{{0,30}}\b(?:is|was|has been|are|been) (?:\w+ )?(?:{_SUSPENDED})\b",
)
PER_DAY_WORDS = _pattern(
    r"\b(?:per|a|each|every)[ -]?(?:1 |one )?day\b|\b(?:limit|quota|used|requests?|calls?|tokens?|allowance)\b[^.?!;]{0,30}\btoday\b|24[ -]?hours? (?:limit|quota)|/ ?(?:d|day)\b|\bdaily\b|\b[TR]PD\b|\b(?:per|every) (?:86,?400 ?s|24[ -]?h)",
    r"每日|每天|当日|今日|单日",
)
PER_DAY_ID = _pattern(
    r"per_?day|by_?day|\bdaily|_day\b|^(?:1 ?)?d(?:ay)?$|^24 ?h|^[tr]pd$|^86400s?$"
)
NAMED_RATE_LIMIT = _pattern(
    r"rate.?limit|too many requests|quota exceeded|(?:usage|request|call|token)s? limit (?:is |was )?(?:exceeded|reached)|限流|频率超限"
)
# The same in an error with another status than 429 (AWS: 400, GitHub: 403, proxies: 500).
RATE_EXCEEDED = _pattern(
    r"too many requests|\brate (?:limit )?(?:is |was |has been )?(?:exceeded|reached)|rate[ -]limited|exceed\w* (?:\w+ ){0,4}rate limit|throttled|限流|频率超限"
)
PER_MINUTE_WORDS = _pattern(r"\b(?:per|a|each|every)[ -]?min|/ ?min|\b[TR]PM\b|每分钟")
NO_QUOTA_WORDS = _pattern(
    r"(?<!remaining )\b(?:limit|quota)['\"]?(?: is| of)?\s?[:=]?\s?(?:0|zero\b)(?![\w.,]*\d)(?! (?:remaining|left|of))"
)
NO_QUOTA_FIELDS = frozenset(
    {"limit", "quotaValue", "quota_value", "quota_limit_value", "max_quota"}
)
ABOUT_TOKENS = _pattern(
    r"tokens? (?:per|rate)\b|\btp[md]\b|_tokens?_|tokens?per|token_count|token.?limit"
)
ABOUT_REQUESTS = _pattern(
    r"\brequests? (?:per|rate)\b|\brp[smd]\b|requestsper|_requests\b|request.?limit"
)
