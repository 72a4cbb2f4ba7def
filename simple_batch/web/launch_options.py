"""What a page with the options of a new job shows beside its form: the connection that is chosen, and the ways
to send the requests with their cost and time."""

from collections.abc import Collection
from typing import cast

from ..core import context
from ..core.domain import EMBEDDINGS
from ..services import batch_offers, batch_service, configs, job_options
from ..services.estimate import Estimate
from ..store.models import ApiConfig
from .forms import LaunchForm


def config_of(form: LaunchForm) -> ApiConfig | None:
    """The connection that the form names, else the first; None without connections."""
    if not form.config.choices:
        return None
    offered = cast(list[tuple[int, str]], form.config.choices)
    wanted = form.config.data
    known = {value for value, _label in offered}
    return configs.get(wanted if wanted in known else offered[0][0])


def options_of(form: LaunchForm, config: ApiConfig) -> job_options.JobOptions:
    """What the form says, as far as it is valid."""
    return job_options.JobOptions(config=config.id) if form.errors else form.chosen()


def shown(
    form: LaunchForm,
    config: ApiConfig | None,
    urls: Collection[str],
    requests: int,
    estimate: Estimate | None,
) -> dict:
    """For the templates: ``chosen``, ``services`` or why there are ``no_batches``, and whether the
    requests, which go to ``urls``, are embeddings."""
    no_batches = batch_offers.why_not(config, urls) if config is not None else None
    services = []
    if config is not None and not no_batches:
        new = options_of(form, config)
        services = batch_service.choices(config, new, requests, estimate)
    return {
        "chosen": config,
        "estimate": estimate,
        "no_batches": no_batches,
        "services": services,
        "service_words": {str(it.value): it.label for it in form.service.choices},
        "embeds": EMBEDDINGS in urls,
        "usual_inputs": context.settings().EMBEDDINGS_PER_CALL,
    }
