"""The job options of the commands that create a job."""

import json

from simple_batch.core.domain import Spread
from simple_batch.services import job_options, jobs, recipes
from simple_batch.services.job_option_fields import also_text
from simple_batch.store.database import connected

from ..process import flask


def test_all_of_it_reaches_the_job(app, instance, add_config, questions):
    add_config("http://127.0.0.1:9/v1", alias="main")
    add_config("http://127.0.0.1:9/v1", alias="spare")
    made = flask(
        instance,
        "create-job",
        str(questions(3)),
        "--config",
        "main",
        "--no-start",
        "--also",
        "spare=2",
        "--spread",
        "weight",
        "--weight",
        "3",
        "--priority",
        "high",
        "--hours",
        "22:00-06:00",
        "--zone",
        "Asia/Shanghai",
        "--ask-once",
        "--no-cache-aware",
        "--reuse-hours",
        "2.5",
        "--start-at",
        "2099-01-01T22:00",
        "--deadline",
        "2099-01-02",
    )
    assert made.returncode == 0, made.stderr
    with connected():
        job = jobs.get(int(made.stdout))
        chosen = job_options.of(job)
        assert (chosen.spread, chosen.weight, also_text(chosen.also)) == (
            Spread.WEIGHT,
            3.0,
            "spare=2",
        )
        assert (chosen.priority, chosen.hours, chosen.zone) == (1, "22:00-06:00", "Asia/Shanghai")
        assert (chosen.ask_once, chosen.reuse_hours) == (True, 2.5)
        assert chosen.cache_aware is False
        assert (job.start_at, job.deadline_at) == (4_070_959_200_000, 4_070_966_400_000)
        recipe = json.loads(recipes.dump(chosen))
        assert recipes.load(json.dumps(recipe).encode()).spread == Spread.WEIGHT


def test_wrong_ones_are_reported(app, instance, add_config, questions):
    add_config("http://127.0.0.1:9/v1", alias="main")
    for option, value, expected in (
        ("--deadline", "tomorrow", "no time like"),
        ("--deadline", "2001-01-01", "Deadline"),
        ("--zone", "Mars", "Zone"),
        ("--hours", "late", "no span of a day"),
        ("--also", "missing", "no connection"),
        ("--spread", "odd", "--spread"),
    ):
        extra = ("--hours", "22:00-06:00") if option == "--zone" else ()
        refused = flask(
            instance,
            "create-job",
            str(questions(1)),
            "--config",
            "main",
            option,
            value,
            *extra,
        )
        assert refused.returncode == 2, (option, refused.stderr)
        assert expected in refused.stderr, refused.stderr
    with connected():
        assert jobs.Job.select().count() == 0
