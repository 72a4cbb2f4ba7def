"""Shell completion: names of jobs, connections and templates, and the verb that prints the script."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from ..core.terminal import shown_line
from ..services.job_names import LAST
from ..services.lifecycle import prepare
from ..store.database import close_database, connected
from ..store.models import ApiConfig, Job, SavedTemplate
from .base import command, put

_MOST = 50  # names that are offered


@command("completion", on_database=False)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell):
    """Print the script that completes verbs, options and names in a shell.

    \b
    bash:  eval "$(simple-batch completion bash)"   in ~/.bashrc
    zsh:   eval "$(simple-batch completion zsh)"    in ~/.zshrc
    fish:  simple-batch completion fish > ~/.config/fish/completions/simple-batch.fish
    """
    from .program import COMPLETES, program

    made = get_completion_class(shell)
    assert made is not None  # one of the choices
    put(made(program, {}, "simple-batch", COMPLETES).source())


def of_parameter(name: str) -> Callable | None:
    """What completes a parameter; None where click's own way does."""
    return {
        "job_id": _completes(_jobs),
        "job": _completes(_jobs, files=True),
        "config": _completes(_connections),
        "alias": _completes(_connections),
        "template": _completes(_templates, files=True),
        "saved_template": _completes(_templates),
    }.get(name)


def _completes(names: Callable[[str], Iterable[CompletionItem]], files: bool = False) -> Callable:
    def complete(ctx: click.Context, _param: Any, incomplete: str) -> list[CompletionItem]:
        found: list[CompletionItem] = []
        with contextlib.suppress(Exception), _database(ctx):  # a shell is no place for errors
            found = [one for one in names(incomplete) if one.value.startswith(incomplete)]
        # files first: in bash they are what is offered where no name fits
        return [CompletionItem(incomplete, type="file"), *found] if files else found

    return complete


@contextlib.contextmanager
def _database(ctx: click.Context) -> Iterator[None]:
    from .program import settle_home

    settle_home(ctx.params.get("home") or ctx.find_root().params.get("home"))
    prepare()
    try:
        with connected():
            yield
    finally:
        close_database()


def _jobs(incomplete: str) -> Iterator[CompletionItem]:
    newest = Job.select(Job.id, Job.name, Job.status).where(Job.deleted_at.is_null())
    by_id = not incomplete or incomplete.isdigit()
    if not by_id:
        newest = newest.where(Job.name.startswith(incomplete))
    yield CompletionItem(LAST, help="the newest job")
    for job in newest.order_by(Job.id.desc()).limit(_MOST):
        value = str(job.id) if by_id else job.name
        yield CompletionItem(value, help=shown_line(f"{job.name}, {job.status}"))


def _connections(incomplete: str) -> Iterator[CompletionItem]:
    found = ApiConfig.select(ApiConfig.alias, ApiConfig.model)
    found = found.where(ApiConfig.alias.startswith(incomplete)).order_by(ApiConfig.alias)
    for config in found.limit(_MOST):
        yield CompletionItem(config.alias, help=shown_line(config.model))


def _templates(incomplete: str) -> Iterator[CompletionItem]:
    found = SavedTemplate.select(SavedTemplate.name)
    found = found.where(SavedTemplate.name.startswith(incomplete)).order_by(SavedTemplate.name)
    for saved in found.limit(_MOST):
        yield CompletionItem(saved.name)
