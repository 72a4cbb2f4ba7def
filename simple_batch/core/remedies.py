"""What a user can do about a failure, by its cause: translatable sentences."""

from .domain import Cause, Outcome
from .messages import Message, translatable
from .stored_messages import ANSWER_CUT_OFF, ANSWER_EMPTY, ANSWER_REFUSED, MODEL_REFUSES

# of a job that the cause has paused: the user resumes it
PAUSED = {
    Cause.RATE_LIMIT: translatable(
        "The provider has accepted no call for a long time. Check your account and its limits there, "
        "then resume."
    ),
    Cause.QUOTA: translatable("Top up or wait for the quota to renew, then resume."),
    Cause.AUTH: translatable("Correct the connection's key (or what it may do), then resume."),
    Cause.NOT_FOUND: translatable("Correct the connection's model or base URL, then resume."),
}

# of a job that is paused because the provider's tier allows nothing at all
NO_QUOTA = translatable(
    "This tier has no quota for this model. Choose another model or a higher tier at the provider, "
    "then resume."
)

# of a job that is paused until a quota per day renews, by the zone whose midnight that is
DAY_QUOTA = {
    "Pacific": translatable(
        "Today's quota is used up. The provider documents that it renews at midnight Pacific time."
    ),
    "China": translatable(
        "Today's quota is used up. The provider doesn't say when it renews, so midnight China time is "
        "assumed."
    ),
    "UTC": translatable(
        "Today's quota is used up. The provider doesn't say when it renews, so midnight UTC is assumed."
    ),
}

# of a request that has failed: the user retries it
FAILED = {
    Cause.RATE_LIMIT: translatable(
        "The speed was reduced automatically. If you know the limits, set the "
        "connection's RPM or TPM."
    ),
    Cause.QUOTA: translatable("Top up at the provider, then resume."),
    Cause.AUTH: translatable("Check the connection's key and its permissions, then retry."),
    Cause.BAD_REQUEST: translatable(
        "The provider rejected the request. Check its message and your parameters."
    ),
    Cause.NOT_FOUND: translatable("Check the connection's model name and base URL."),
    Cause.CONTEXT_LENGTH: translatable(
        "Shorten these prompts or use a model with a longer context."
    ),
    Cause.TOO_LARGE: translatable(
        "This request alone exceeds a limit of the provider. Shorten it, lower max tokens, or ask the "
        "provider for a higher limit."
    ),
    Cause.CONTENT_FILTER: translatable("The provider refused this content. Reword the prompts."),
    Cause.SERVER_ERROR: translatable("The provider failed. Retry later."),
    Cause.OVERLOADED: translatable("The provider is overloaded. Retry later."),
    Cause.TIMEOUT: translatable("Raise the connection's timeout, or ask for shorter answers."),
    Cause.CONNECTION: translatable("Check your network and the base URL, then retry."),
    Cause.BAD_RESPONSE: translatable(
        "The response is not a model answer. Often the cause is a proxy or a wrong base URL."
    ),
    Cause.SCHEMA: translatable(
        "The answer doesn't match the schema. Make the prompt clearer or the schema "
        "looser, or ask the model to fix its answers."
    ),
    Cause.CANCELLED: translatable("A user cancelled these requests. Retry the ones you need."),
    Cause.EXPIRED: translatable("The deadline passed. Retry the requests you need."),
    Cause.INTERNAL: translatable("Simple Batch failed. Check the log and please report it."),
}

# of a test call, where FAILED says what only a job can do
TESTED = {
    **FAILED,
    Cause.RATE_LIMIT: translatable("The provider accepts no calls at the moment. Try again later."),
    Cause.QUOTA: translatable("Top up at the provider, then test again."),
    Cause.AUTH: translatable("Check the key, and what it may do, at the provider."),
    Cause.NOT_FOUND: translatable("Check the model name and the base URL."),
}

# of an answer that is not ok, also of a request that has failed because its job treats it as failed
ANSWERS = {
    Outcome.CUT_OFF: translatable(
        "The answer reached a token limit. Raise max tokens, or retry with twice the max tokens."
    ),
    Outcome.REFUSED: translatable(
        "The model or its provider refused. Reword the prompt, or retry with another connection."
    ),
    Outcome.EMPTY: translatable(
        "The model answered nothing. Retry. If it reasons before it answers, raise max tokens."
    ),
}
_BY_MESSAGE = (
    (ANSWER_CUT_OFF, Outcome.CUT_OFF),
    (ANSWER_EMPTY, Outcome.EMPTY),
    (ANSWER_REFUSED, Outcome.REFUSED),
    (MODEL_REFUSES, Outcome.REFUSED),
)


def of_failure(cause: str, message: str = "") -> Message | None:
    """What to do about a failed request, by its cause; by its message where that says that an answer
    came, but was treated as failed. None for a cause that is not known."""
    for known, outcome in _BY_MESSAGE:
        if known.read(message) is not None:
            return ANSWERS[outcome]
    return FAILED.get(Cause(cause)) if cause in set(Cause) else None


def of_test(cause: Cause) -> Message:
    """What to do about a test call that failed."""
    return TESTED[cause]
