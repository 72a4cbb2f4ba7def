"""What a user can do about a failure, by its cause: translatable sentences."""

from .domain import Cause
from .messages import translatable

# of a job that the cause has paused: the user resumes it
PAUSED = {
    Cause.QUOTA: translatable("Top up or wait for the quota to renew, then resume."),
    Cause.AUTH: translatable("Correct the key (or what it may do) in the API config, then resume."),
    Cause.NOT_FOUND: translatable(
        "Correct the model or the base URL in the API config, then resume."
    ),
}

# of a request that has failed: the user retries it
FAILED = {
    Cause.RATE_LIMIT: translatable(
        "The speed was lowered by itself. Set RPM or TPM in the API config if you know them."
    ),
    Cause.QUOTA: translatable("Top up at the provider, then resume."),
    Cause.AUTH: translatable("Check the key in the API config and what it may do, then retry."),
    Cause.BAD_REQUEST: translatable(
        "The provider rejects the request itself: look at its message and your parameters."
    ),
    Cause.NOT_FOUND: translatable("Check model name and base URL in the API config."),
    Cause.CONTEXT_LENGTH: translatable(
        "Shorten these prompts or use a model with a longer context."
    ),
    Cause.CONTENT_FILTER: translatable("Reword these prompts: the provider refuses their content."),
    Cause.SERVER_ERROR: translatable("The provider failed; retry these later."),
    Cause.OVERLOADED: translatable("The provider is overloaded; retry these later."),
    Cause.TIMEOUT: translatable("Raise the timeout in the API config, or ask for shorter answers."),
    Cause.CONNECTION: translatable("Check network and base URL, then retry."),
    Cause.BAD_RESPONSE: translatable(
        "The answer was no completion; often a proxy or a wrong base URL."
    ),
    Cause.SCHEMA: translatable(
        "The answer does not fit the schema: say more in the prompt, or loosen the schema; a second "
        "asking with the complaint often helps."
    ),
    Cause.CANCELLED: translatable("Stopped by a user; retry what you want answered."),
    Cause.EXPIRED: translatable("The deadline passed; retry what you want answered."),
    Cause.INTERNAL: translatable("A fault in Simple Batch: see the log, and please report it."),
}
