"""Texts that earlier versions stored, and what this version says instead.

A database keeps a Message as its template and values (``store.models.SentenceField``, ``core.domain.Fault``).
Where the wording of a template has changed since, the pages show the present one, in their language.
When you change the text of a message that is stored, add its earlier wording here.
"""

_CORRECT_KEY = "Correct the connection's key (or what it may do), then resume."
_CORRECT_MODEL = "Correct the connection's model or base URL, then resume."

# the earlier template: the present one, which has the same values
PRESENT = {
    # why jobs pause
    "Correct the key (or what it may do) in the API config, then resume.": _CORRECT_KEY,
    "Correct the model or the base URL in the API config, then resume.": _CORRECT_MODEL,
    "The %(which)s spend cap of %(most)s of the API config “%(alias)s” is reached: %(spent)s spent. "
    "The job goes on %(when)s (%(zone)s), or when you raise or remove that cap in the API config.": (
        "The %(which)s spend cap of %(most)s of the connection “%(alias)s” is reached: %(spent)s spent. "
        "The job goes on %(when)s (%(zone)s), or when you raise or remove that cap."
    ),
    "%(count)s requests in a row failed with the same error, for example: %(failure)s – They stay "
    "pending. Fix the cause, then resume. If the requests themselves are invalid, resume anyway: they "
    "then count as failed.": (
        "Requests failed in a row (%(count)s) with the same error, for example: %(failure)s – They stay "
        "pending. Fix the cause, then resume. If the requests themselves are invalid, resume anyway: "
        "they then count as failed."
    ),
    "This tier has no quota for this model. Choose another model, or another tier at the provider, "
    "then resume.": (
        "This tier has no quota for this model. Choose another model or a higher tier at the provider, "
        "then resume."
    ),
    "The quota of this day is used up. As the provider documents, it renews at midnight Pacific time.": (
        "Today's quota is used up. The provider documents that it renews at midnight Pacific time."
    ),
    "The quota of this day is used up. The provider does not say when it renews. Midnight in China is "
    "assumed.": (
        "Today's quota is used up. The provider doesn't say when it renews, so midnight China time is "
        "assumed."
    ),
    "The quota of this day is used up. The provider does not say when it renews. Midnight UTC is "
    "assumed.": (
        "Today's quota is used up. The provider doesn't say when it renews, so midnight UTC is assumed."
    ),
    "The job goes on by itself at %(until)s UTC. Resume it to try sooner.": (
        "The job continues automatically at %(until)s UTC. Resume it to try sooner."
    ),
    # the history of jobs and connections
    "%(config)s: no room in the service tier for a request after %(count)s tries. Requests like this "
    "are sent at the standard tier.": (
        "%(config)s: no room in the service tier for a request after %(count)s refusals. Requests like "
        "this are sent at the standard tier."
    ),
    "alias": "name",
    # faults of uploads and batches
    "no active API config has the alias or the model %(model)r: make one first.": (
        "no active connection has the name or the model %(model)r: make one first."
    ),
    "an OpenAI batch line among plain requests: do not mix.": (
        "a batch line among plain requests: do not mix."
    ),
}
