"""The ways in which a job saves money, in words for pages, reports and e-mails."""

from .messages import Message, translatable

SAVED_BY: dict[str, Message] = {  # by ``by`` of store/savings.py
    "cache": translatable("Saved by prompt cache"),
    "tier": translatable("Saved by service tier"),
    "hours": translatable("Saved by cheaper hours"),
    "batch": translatable("Saved by the provider's batch"),
    "duplicates": translatable("Saved by identical requests"),
    "reuse": translatable("Saved by reused answers"),
}
