"""Parameters that models reject: what was learned about them on an API config, and what a user leaves out
of a job's requests."""

import json
import re
from collections.abc import Collection, Iterable

from ..auth import audit_log
from ..core.adjustment_words import done
from ..core.clock import now_ms
from ..core.domain import Adjust, Adjustment, JobStatus
from ..core.errors import InvalidInput
from ..core.messages import Message, listed, translatable
from ..engine.endpoint_parameters import CHAT
from ..engine.parameter_guard import REJECTED_PARAMETER
from ..engine.rejected_parameters import CONTENT, ROLE
from ..store import configs
from ..store import jobs as job_rows
from ..store.models import ApiConfig, Job
from .provider_gallery import ParameterRule

_PATH = re.compile(r"[A-Za-z_][\w\-]*(?:\.[\w\-]+){0,5}")
_LONGEST = 100
MOST = 20  # parameters left out of one job


def of_config(config: ApiConfig) -> list[Adjustment]:
    """What was learned on a config, the oldest first."""
    return list(configs.adjustments_of(config))


def known(rules: Iterable[ParameterRule], model: str) -> tuple[Adjustment, ...]:
    """What the gallery's rules say about a model beforehand, as adjustments of a config."""
    return tuple(_of_rule(rule, model) for rule in rules if rule.is_of(model))


def _of_rule(rule: ParameterRule, model: str) -> Adjustment:
    action = Adjust(rule.action)
    # other endpoints have other names for the limit and the effort (engine/endpoint_parameters.py)
    url = CHAT if action is Adjust.RENAME else ""
    if action is Adjust.DEVELOPER_ROLE:
        return Adjustment(ROLE, action, rule.to or "developer", model, rule.source, now_ms(), url)
    return Adjustment(rule.parameter, action, rule.to, model, rule.source, now_ms(), url)


def take_up(config: ApiConfig, rules: Iterable[ParameterRule]) -> None:
    """Have a config send parameters under the names that the gallery's rules say of its model. What they
    leave out is left to the endpoint's own refusal: a rule may be older than the model."""
    for adjustment in known(rules, config.model):
        if adjustment.action is not Adjust.LEAVE_OUT:
            configs.learn(config.id, adjustment)


def forget(config_id: int, key: tuple[str, str, str] | None = None) -> int:
    """Forget an adjustment by its ``key`` (model, endpoint, parameter), or all; running jobs take
    that up within a second, and learn it again if the model still rejects the parameter. Returns how many
    there were."""
    config = configs.get(config_id)
    gone = [one for one in configs.adjustments_of(config) if key is None or one.key == key]
    if gone:
        configs.forget(config.id, lambda one: one in gone)
        audit_log.note("config.forget", f"config {config.alias}", listed(map(named, gone)))
    return len(gone)


def named(adjustment: Adjustment) -> Message:
    """What is done about a parameter, with its model."""
    return translatable(
        "%(change)s (model %(model)s)", change=done(adjustment), model=adjustment.model
    )


def offered(job: Job) -> list[str]:
    """The parameters for which a job is paused, so that they can be left out."""
    if job.status != JobStatus.PAUSED or job.status_reason != REJECTED_PARAMETER:
        return []
    return list(json.loads(job.rejected_parameters))


def left_out(job: Job) -> list[str]:
    """The parameters that a job leaves out of all its requests."""
    return list(json.loads(job.left_out))


def leave_out(job: Job, parameters: Collection[str], actor: str) -> None:
    """Leave parameters out of all requests of a job from now on. Raises InvalidInput for what cannot
    be left out."""
    for parameter in parameters:
        _check(parameter)
    known = left_out(job)
    new = [*known, *(one for one in dict.fromkeys(parameters) if one not in known)]
    if len(new) > MOST:
        raise InvalidInput(
            translatable("At most %(most)s parameters can be left out of a job.", most=MOST)
        )
    Job.update(left_out=json.dumps(new), rejected_parameters="[]").where(Job.id == job.id).execute()
    words = left_out_words(parameters)
    job_rows.add_event(job.id, job.status, job.status, "edited", words, actor=actor)


def left_out_words(parameters: Collection[str]) -> Message:
    """What was changed, for the events."""
    return translatable("left out of all requests: %(names)s", names=listed(parameters))


def _check(parameter: str) -> None:
    if len(parameter) > _LONGEST or not _PATH.fullmatch(parameter):
        raise InvalidInput(
            translatable(
                "%(name)r is no parameter. Give its name, for example temperature.",
                name=parameter[:_LONGEST],
            )
        )
    if parameter.split(".")[0] in CONTENT:
        raise InvalidInput(
            translatable("%(name)s cannot be left out: a request needs it.", name=parameter)
        )
