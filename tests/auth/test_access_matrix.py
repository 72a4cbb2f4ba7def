"""Every route, method and event, requested by every kind of caller. Routes come from the URL map,
events from the live feed; one without a rule here fails the test."""

import io
import re
from itertools import chain

import pytest
from werkzeug.test import EnvironBuilder

from simple_batch import create_app
from simple_batch.auth import tokens, users
from simple_batch.core import identity
from simple_batch.intake import Template
from simple_batch.services import templates, uploads
from simple_batch.store.database import connected
from simple_batch.store.models import Job
from simple_batch.web import live_feed

CALLERS = (
    "anonymous",
    "proxied",
    "local",
    "viewer",
    "owner",
    "operator",
    "admin",
    "run",
    "read",
    "run all",
    "read all",
    "stranger's token",
)
# of each kind of route, in the order of CALLERS: . reached, L log in first, F forbidden, M missing, K
# an API key is needed
READING = {
    "open": ". . . . . . . . . . . .",
    "own account": "L F . . . . . F F F F F",
    "lists": "L F . . . . . . . . . .",
    "connections": "L F . . . . . F F . . .",
    "saved templates": "L F . F . . . F F . F .",
    "bin": "L F . . . . . F F F F F",
    "job": "L F . . . F . M M . . M",
    "job of the token": "L F . . . F . . M . . M",
    "form of a job": "L F . . . F . F F F F F",
    "work": "L F . F . . . F F F F F",
    "upload": "L F . F . M . F F F F F",
    "administration": "L F . F F F . F F F F F",
    "Batch API": "K K . K K K K . . . . .",
}
CHANGING = {
    **{kind: READING[kind] for kind in ("open", "own account", "upload", "administration")},
    "saved templates": READING["work"],
    "bin": READING["work"],
    "work": READING["work"],
    "job": "L F . F . F . F F F F F",
    "job of the token": "L F . F . F . F F F F F",
    "form of a job": "L F . F . F . F F F F F",
    "Batch API": "K K . K K K K . F . F .",
}
# what a shared job adds for another operator: endpoints for which view is enough, and those for the owner alone
SHARED_ENOUGH = {"job_actions.new_job_of", "job_actions.columns_of"}
OWNERS = {"job_actions.delete", "job_actions.share"}
STATUS = {".": 200, "L": 401, "F": 403, "M": 404, "K": 401}
OTHERS = ("operator", "run all of another operator")
# callers for whom the same holds as for one of CALLERS
ALSO = {
    "revoked token": "anonymous",
    "token of a disabled user": "anonymous",
    "revoked token and a session": "anonymous",
    "unknown token and a session": "anonymous",
    "run and an admin's session": "run",
    "run of a viewer": "read",
    "run all of a viewer": "read all",
    "run all of another operator": "stranger's token",
    "run all of an operator once admin": "run all",
}
ENDPOINTS = {
    "open": "static health.healthz health.readyz login.page login.enter",
    "own account": "login.leave login.password finished_jobs.index",
    "lists": "jobs_list.home jobs_list.index shortcuts.find_jobs compare.index health.prometheus",
    "connections": "configs.index",
    "saved templates": "saved_templates.index saved_templates.show saved_templates.download",
    "bin": "job_bin.index job_bin.change",
    "job": (
        "job_pages.overview job_pages.parts job_pages.progress job_pages.errors job_pages.error_table "
        "job_pages.events job_pages.download job_pages.recipe pictures.of_job "
        "job_requests.index job_requests.detail job_requests.whole job_results.index job_results.rows job_results.values job_charts.index job_charts.data "
        "job_charts.table job_charts.report"
    ),
    "form of a job": (
        "job_settings.index job_settings.save job_actions.change job_actions.delete "
        "job_actions.share job_tags.save job_actions.new_job_of job_actions.columns_of job_actions.retry "
        "job_actions.send_again "
        "job_actions.sent job_results.save_view job_results.change_view "
        "job_ratings.rate job_ratings.rate_all job_ratings.set_up"
    ),
    "work": (
        "settings.index new_job.start new_job.upload jobs_list.bulk saved_templates.new saved_templates.rename "
        "saved_templates.restore saved_templates.delete access.index access.create_token "
        "access.revoke_token access.remove_token"
    ),
    "upload": (
        "new_job.preview new_job.launch new_job.save_recipe new_job.load_recipe new_job.try_rows "
        "new_job.discard new_template.edit new_template.save new_template.save_as "
        "new_template.take new_template.choose_sheet new_template.add_images pictures.of_staged "
        "new_job.back new_template.back new_draft.state new_draft.save_template "
        "new_draft.save_options new_draft.restore reading_options.choose reading_options.read "
        "workbench.screen workbench.enter workbench.save workbench.preview workbench.estimate workbench.apply "
        "workbench.run workbench.stop workbench.launch workbench.save_as workbench.restore "
        "workbench.compare workbench_data.read workbench_data.choose_sheet workbench_data.add_images "
        "workbench.launch_here workbench_data.take workbench_data.correct workbench_data.save_recipe workbench_data.load_recipe"
    ),
    "administration": (
        "users.index users.create users.change audit.index storage.index storage.clean storage.set_rules configs.new "
        "configs.edit configs.delete configs.forget configs.activate configs.deactivate configs.test "
        "configs.test_stored configs.models configs.known_prices configs.streams_off connect.choose "
        "connect.save connect.models connect.prices connect.connected connect.repair connect.report "
        "connect.use_base_url access.create_webhook first_steps.run_demo "
        "access.remove_webhook"
    ),
    "Batch API": (
        "openai_files.create openai_files.index openai_files.retrieve openai_files.content "
        "openai_files.delete openai_batches.create openai_batches.index openai_batches.retrieve "
        "openai_batches.cancel openai_models.index openai_models.retrieve openai_nowhere.nowhere"
    ),
}
KINDS = {name: kind for kind, names in ENDPOINTS.items() for name in names.split()}
EVENTS = {"connect", "subscribe", "disconnect"}
SEES = {  # of the live feed: is connected, sees a job of the page, sees a job of the token
    **dict.fromkeys(("anonymous", "proxied"), ""),
    **dict.fromkeys(("local", "viewer", "owner", "admin", "run all", "read all"), "both"),
    **{"operator": "none", "run": "token's", "read": "none", "stranger's token": "none"},
}
VALUES = {
    "action": "pause",
    "name": "latency",
    "filename": "css/app.css",
    "view_id": 1,
    "model": "test",
    "part": "request.json",
    "provider": "custom",
}
LINE = b'{"messages": [{"role": "user", "content": "staged"}]}'
JSON = {"Accept": "application/json"}


class World:
    """An app with one object of each kind, and the headers of each caller."""

    def __init__(self, app, ids: dict[str, int], senders: dict[str, dict]):
        self.app, self.ids, self.senders = app, ids, senders
        self.client = app.test_client(use_cookies=False)

    def ask(self, caller: str, path: str, method: str = "GET"):
        return self.client.open(path, method=method, headers={**JSON, **self.senders[caller]})

    def routes(self, job: str):
        """(endpoint, method, path) of every route, for one of the two jobs."""
        adapter = self.app.url_map.bind("localhost")
        for rule in self.app.url_map.iter_rules():
            ids = {**self.ids, "job_id": self.ids[job], "index": 0}
            values = {name: ids.get(name, VALUES.get(name, "x")) for name in rule.arguments}
            if rule.endpoint == "users.change":
                values["action"] = "disable"
            path = adapter.build(rule.endpoint, values)
            for method in sorted(rule.methods):
                yield adapter.match(path, method)[0], method, path


def outcome(caller: str, endpoint: str, method: str, job: str, sharing: str = "private") -> int:
    """The status that the rules require."""
    kind = KINDS[endpoint]
    if sharing != "private" and kind in ("job", "form of a job") and caller in OTHERS:
        return STATUS[shared_mark(caller, endpoint, method, sharing)]
    if kind == "job" and job == "token's job":
        kind = "job of the token"
    reads = method in ("GET", "HEAD", "OPTIONS")
    marks = (READING if reads else CHANGING)[kind].split()
    return STATUS[marks[CALLERS.index(ALSO.get(caller, caller))]]


def shared_mark(caller: str, endpoint: str, method: str, sharing: str) -> str:
    """What another operator, and a token with everything of theirs, reach of a shared job."""
    reads = method in ("GET", "HEAD", "OPTIONS")
    if caller == "run all of another operator":
        return "." if reads and KINDS[endpoint] == "job" else "F"
    if reads or endpoint in SHARED_ENOUGH:
        return "."
    return "." if sharing == "edit" and endpoint not in OWNERS else "F"


@pytest.fixture
def world(app, people, add_config, make_job, log_in):
    """A server with users."""
    ids = _things(people, add_config, make_job)
    with connected():
        users.set_role("otto", "admin")
        demoted = tokens.create("demoted", True, user_id=people["otto"])
        users.set_role("otto", "operator")
    sessions = {
        name: f"session={log_in(name).get_cookie('session').value}"
        for name in ("anna", "otto", "olga", "vera")
    }
    with connected():
        made = {
            "run": tokens.create("run", user_id=people["otto"]),
            "read": tokens.create("read", scope="read", user_id=people["otto"]),
            "run all": tokens.create("run all", True, user_id=people["otto"]),
            "read all": tokens.create("read all", True, "read", people["otto"]),
            "run of a viewer": tokens.create("vera", user_id=people["vera"]),
            "run all of a viewer": tokens.create("vera all", True, user_id=people["vera"]),
            "revoked": tokens.create("revoked", True, user_id=people["anna"]),
            "of a disabled user": tokens.create("gone", True, user_id=_disabled()),
            "demoted": demoted,
            "stranger": tokens.create("olga all", True, user_id=people["olga"]),
        }
        Job.update(token=made["run"][0]).where(Job.id == ids["token's job"]).execute()
        tokens.revoke("revoked")
        users.disable("gone")
    bearers = {name: {"Authorization": f"Bearer {secret}"} for name, (_, secret) in made.items()}
    cookies = {name: {"Cookie": session} for name, session in sessions.items()}
    names = ("run", "read", "run all", "read all", "run of a viewer", "run all of a viewer")
    senders = {
        "anonymous": {},
        "viewer": cookies["vera"],
        "owner": cookies["otto"],
        "operator": cookies["olga"],
        "admin": cookies["anna"],
        **{name: bearers[name] for name in names},
        "revoked token": bearers["revoked"],
        "token of a disabled user": bearers["of a disabled user"],
        "revoked token and a session": {**bearers["revoked"], **cookies["anna"]},
        "unknown token and a session": {"Authorization": "Bearer sb-no", **cookies["anna"]},
        "run and an admin's session": {**bearers["run"], **cookies["anna"]},
        "run all of an operator once admin": bearers["demoted"],
        "run all of another operator": bearers["stranger"],
    }
    return World(app, ids, senders)


def _disabled() -> int:
    return users.create("gone", "a long password", "admin").id


def _things(people, add_config, make_job) -> dict[str, int]:
    add_config("http://127.0.0.1:9/v1")
    with connected():
        identity.act_as(identity.Actor("otto", user=people["otto"]))
        made = {name: make_job(1, name=f"the {name}") for name in ("user's job", "token's job")}
        upload = uploads.stage(io.BytesIO(LINE), "staged.jsonl")
        identity.act_as(identity.CLI)
        saved = templates.save("kept", Template(user="{{x}}"))[0].saved_id
    rest = dict.fromkeys(("config_id", "token_id", "webhook_id", "user_id"), 1)
    return {**made, **rest, "upload_id": upload.id, "template_id": saved}


@pytest.fixture
def open_world(overrides):
    """A server without users."""
    app = create_app(**overrides)
    proxied = {"X-Forwarded-For": "127.0.0.1"}
    ids = dict.fromkeys(
        ("user's job", "token's job", "config_id", "token_id", "webhook_id", "user_id"), 1
    )
    yield World(app, {**ids, "upload_id": 1, "template_id": 1}, {"proxied": proxied, "local": {}})
    app.extensions["simple_batch"].close()


def decide_only(app) -> None:
    """Replace the views by empty answers and accept forms without a token: the test checks only who
    reaches a view."""
    app.config["WTF_CSRF_CHECK_DEFAULT"] = False
    for endpoint in app.view_functions:
        app.view_functions[endpoint] = lambda **_values: "reached"


def wrong_answers(world: World, sharing: str = "private") -> list[tuple]:
    decide_only(world.app)
    # sharing changes nothing for addresses of other things
    shared = ("job", "form of a job") if sharing != "private" else set(ENDPOINTS)
    found = []
    for job in ("user's job", "token's job"):
        for endpoint, method, path in world.routes(job):
            if job == "token's job" and f"/jobs/{world.ids[job]}" not in path:
                continue  # created already
            if KINDS[endpoint] not in shared:
                continue
            for caller in world.senders:
                status = world.ask(caller, path, method).status_code
                wanted = outcome(caller, endpoint, method, job, sharing)
                if status != wanted:
                    found.append((caller, method, path, status, wanted))
    return found


def test_every_route_stands_in_a_rule(app):
    served = {rule.endpoint for rule in app.url_map.iter_rules()}
    assert served == set(KINDS)
    assert len(list(chain(*(names.split() for names in ENDPOINTS.values())))) == len(KINDS)


@pytest.mark.parametrize("sharing", ["private", "view", "edit"])
def test_every_caller_reaches_what_the_rules_say(world, sharing):
    assert set(world.senders) | {"proxied", "local"} == {*CALLERS, *ALSO} - {"stranger's token"}
    with connected():
        Job.update(sharing=sharing).execute()
    assert not wrong_answers(world, sharing)


def test_without_users_this_machine_alone_reaches_anything(open_world):
    assert not wrong_answers(open_world)


def test_what_tokens_read_holds_no_session_and_no_form_token(world):
    """With the views as they are."""
    read = 0
    for endpoint, method, path in world.routes("token's job"):
        if method != "GET" or KINDS[endpoint] not in ("lists", "job"):
            continue
        for caller in ("run", "run all", "run and an admin's session"):
            headers = {**world.senders[caller], "Accept": "text/html"}
            answer = world.client.get(path, headers=headers)
            assert answer.status_code in (200, 303, 404), (path, answer.status_code)
            assert "Set-Cookie" not in answer.headers, path
            assert not re.search(r'csrf[_-]token" (content|value)="[^"]', answer.text), path
            assert ("the user's job" in answer.text) <= (caller == "run all"), path
            read += answer.status_code == 200
    assert read > 30


@pytest.mark.parametrize("sharing", ["private", "view"])
def test_every_event_of_the_live_feed_tells_each_caller_their_own(world, sharing):
    with connected():
        Job.update(sharing=sharing).execute()
    handlers = world.app.extensions["socketio"].server.handlers
    assert {name: set(events) for name, events in handlers.items()} == {live_feed.NAMESPACE: EVENTS}
    feed = still(world.app)
    for caller in world.senders:
        sees = SEES[ALSO.get(caller, caller)]
        if sharing != "private" and caller in OTHERS:
            sees = "both"
        assert connects(feed, world, caller) == bool(sees), caller
        if not sees:
            continue
        for job in ("user's job", "token's job"):
            reply = feed.subscribe(caller, {"job_id": world.ids[job], "tail": True})
            assert reply["ok"] == (sees in ("both", job.removesuffix(" job"))), (caller, job)
        listed = feed.subscribe(caller, {})["snapshot"]["jobs"]
        assert len(listed) == {"both": 2, "token's": 1, "none": 0}[sees], caller
        feed.clients.disconnect(caller)


def test_without_users_the_live_feed_takes_this_machine_alone(open_world):
    feed = still(open_world.app)
    for caller in open_world.senders:
        assert connects(feed, open_world, caller) == bool(SEES[caller]), caller


def still(app) -> live_feed.Feed:
    """The live feed with its sending stopped."""
    feed = app.extensions["simple_batch_feed"]
    feed._running = True
    feed._server.enter_room = lambda *_args, **_more: None
    return feed


def connects(feed: live_feed.Feed, world: World, caller: str) -> bool:
    environ = EnvironBuilder("/socket.io/", headers=world.senders[caller]).get_environ()
    return feed.clients.connect(caller, {**environ, "REMOTE_ADDR": "127.0.0.1"})
