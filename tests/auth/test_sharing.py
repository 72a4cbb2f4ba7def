"""Jobs that their owners share: what colleagues, tokens and the live feed get of them."""

import io
import json
import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import pytest

from simple_batch import create_app, insight
from simple_batch.auth import tokens
from simple_batch.core import identity
from simple_batch.core.errors import NotFound
from simple_batch.core.identity import Actor, Scope
from simple_batch.services import job_bin, jobs, recipes, sharing
from simple_batch.services.job_options import JobOptions
from simple_batch.services.job_options import of as options_of
from simple_batch.store.database import connected
from simple_batch.store.models import Audit, Job

from ..process import flask
from .conftest import post
from .test_access_matrix import decide_only, still

LINE = json.dumps({"messages": [{"role": "user", "content": "hi"}]})


@pytest.fixture
def ottos(app, people, add_config, endpoint, make_job, wait_for):
    """A job of Otto's that has ended, with two answers."""
    add_config(endpoint.base_url)
    with connected():
        identity.act_as(Actor("otto", user=people["otto"]))
        job_id = make_job(2, name="of otto")
        identity.act_as(identity.CLI)
    app.extensions["simple_batch"].start()
    wait_for(job_id, "completed")
    return job_id


def share(job_id: int, level: str) -> None:
    with connected():
        sharing.share(job_id, level)


def bearer(name: str, user: int, sees_all: bool = True, scope: str = "run") -> dict:
    with connected():
        return {"Authorization": f"Bearer {tokens.create(name, sees_all, scope, user)[1]}"}


def test_the_owner_shares_and_the_audit_log_says_so(ottos, log_in):
    otto, olga, anna = log_in("otto"), log_in("olga"), log_in("anna")
    page, path = f"/jobs/{ottos}", f"/jobs/{ottos}/share"
    assert olga.get(page).status_code == 403
    assert post(otto, path, sharing="everybody").status_code == 400
    assert post(otto, path, sharing="view").status_code == 303
    text = otto.get(page).text
    assert "Sharing: team can view." in text
    shown = olga.get(page)
    assert (shown.status_code, "of otto" in shown.text) == (200, True)
    assert "share-form" not in shown.text
    assert post(olga, path, sharing="edit").status_code == 403
    assert post(anna, path, sharing="edit").status_code == 303
    assert post(olga, f"/jobs/{ottos}/share", sharing="private").status_code == 403
    assert post(otto, path, sharing="private").status_code == 303
    assert olga.get(page).status_code == 403
    with connected():
        found = Audit.select().where(Audit.action == "job.share").order_by(Audit.id)
        assert [(e.actor, e.object, str(e.detail)) for e in found] == [
            ("otto", f"job {ottos}", "private → team can view"),
            ("anna", f"job {ottos}", "team can view → team can edit"),
            ("otto", f"job {ottos}", "team can edit → private"),
        ]
    assert "Sharing changed" in anna.get("/audit?action=job.share").text
    assert (
        "私有 → 团队可查看"
        in otto.get(f"/jobs/{ottos}/events", headers={"Accept-Language": "zh"}).text
    )


def test_who_may_only_look_reads_the_tags_of_a_job(people, ottos, log_in):
    vera = log_in("vera")

    def tags() -> str:
        page = vera.get(f"/jobs/{ottos}/settings").text
        return re.search(r"<dt>Tags</dt><dd>([^<]*)</dd>", page)[1]

    assert tags() == "–"
    with connected():
        Job.update(tags="blue, green").where(Job.id == ottos).execute()
    assert tags() == "blue, green"


def test_a_colleague_is_told_whom_to_ask_and_nobody_else(app, people, ottos, log_in):
    olga, vera = log_in("olga"), log_in("vera")
    message = "This job belongs to otto. Ask otto to share it."
    for path in ("", "/results", "/results.json", "/progress.json", "/export", "/charts.json"):
        answer = olga.get(f"/jobs/{ottos}{path}")
        assert (answer.status_code, message in answer.text) == (403, True), path
    told = olga.get(f"/jobs/{ottos}/progress.json").json
    assert told == {"error": message}
    chinese = olga.get(f"/jobs/{ottos}", headers={"Accept-Language": "zh"}).text
    assert "此任务属于 otto" in chinese
    assert vera.get(f"/jobs/{ottos}").status_code == 200
    assert app.test_client().get(f"/jobs/{ottos}").status_code == 303
    for headers in (
        bearer("all", people["olga"]),
        bearer("read", people["olga"], scope="read"),
        bearer("own", people["otto"], sees_all=False),
    ):
        answer = app.test_client().get(f"/jobs/{ottos}/export", headers=headers)
        assert (answer.status_code, "belongs to" in answer.text) == (404, False)


def test_viewing_and_editing_differ_as_promised(app, people, ottos, log_in):
    olga = log_in("olga")
    share(ottos, "view")
    for path in ("", "/results", "/requests", "/requests/0", "/errors", "/charts", "/events",
                 "/settings", "/export", "/recipe", "/report"):  # fmt: skip
        answer = olga.get(f"/jobs/{ottos}{path}")
        assert answer.status_code in (200, 404), path
        assert answer.status_code == 200 or path == "/report"
    assert olga.get(f"/compare?a={ottos}&b={ottos}").status_code == 200
    changes = {"pause": {}, "resume": {}, "cancel": {}, "retry": {}, "settings": {"name": "x"},
               "requests/0/send": {"body": "{}"}, "results/views": {"name": "v"}}  # fmt: skip
    for path, fields in changes.items():
        answer = post(olga, f"/jobs/{ottos}/{path}", **fields)
        assert answer.status_code == 403, path
        assert "You can view this job, but you can&#39;t change it." in answer.text
    share(ottos, "edit")
    given = {"name": "by olga", "max_retries": "2", "priority": "0"}
    assert post(olga, f"/jobs/{ottos}/settings", **given).status_code == 303
    for path in ("pause", "resume", "cancel", "retry"):
        assert post(olga, f"/jobs/{ottos}/{path}").status_code == 303, path
    for path in ("delete", "reset", "share"):
        answer = post(olga, f"/jobs/{ottos}/{path}", sharing="private")
        assert answer.status_code == 403, path
        assert "Only its owner and admins" in answer.text
    assert post(log_in("vera"), f"/jobs/{ottos}/pause").status_code == 403
    with connected():
        job = jobs.get(ottos)
        assert (job.name, job.user_id, job.sharing) == ("by olga", people["otto"], "edit")


def test_a_deleted_job_is_its_owners(people, ottos, log_in):
    otto, olga = log_in("otto"), log_in("olga")
    share(ottos, "edit")
    post(otto, f"/jobs/{ottos}/delete")
    assert olga.get(f"/jobs/{ottos}").status_code == 404
    assert "of otto" not in olga.get("/jobs/bin").text
    for action in ("restore", "remove", "empty"):
        post(olga, "/jobs/bin", action=action, job=[ottos])
    with connected():
        assert job_bin.holds(ottos)
    post(otto, "/jobs/bin", action="restore", job=[ottos])
    assert olga.get(f"/jobs/{ottos}").status_code == 200


def test_several_jobs_are_shared_in_the_list_which_has_filters(people, ottos, make_job, log_in):
    otto, olga = log_in("otto"), log_in("olga")
    with connected():
        identity.act_as(Actor("olga", user=people["olga"]))
        mine = make_job(1, name="of olga", hold=True)
        identity.act_as(identity.CLI)
    post(otto, "/jobs/bulk", action="share-view", job=[ottos, mine])
    text = otto.get("/jobs").text
    assert "Done for 1 job." in text
    assert "This job belongs to olga. Ask olga to share it." in text
    seen = {
        whose: [
            name for name in ("of otto", "of olga") if name in olga.get(f"/jobs?whose={whose}").text
        ]
        for whose in ("", "mine", "shared")
    }
    assert seen == {"": ["of otto", "of olga"], "mine": ["of olga"], "shared": ["of otto"]}
    listed = olga.get("/jobs?whose=shared").text
    assert re.search(r'class="badge[^>]*>team can view<', listed)
    assert re.search(r'id="status-all"[^>]*>All 1<', re.sub(r"\s+", " ", listed))
    assert olga.get("/jobs?whose=everybody").status_code == 400
    post(olga, "/jobs/bulk", action="delete", job=[ottos])
    assert "Only its owner and admins" in olga.get("/jobs").text
    post(olga, "/jobs/bulk", action="pause", job=[ottos])
    assert "You can view this job" in olga.get("/jobs").text


def test_a_new_job_is_shared_as_was_chosen_or_as_the_setting_says(
    app, overrides, instance, people, add_config, log_in
):
    add_config("http://127.0.0.1:9/v1")
    otto, olga = log_in("otto"), log_in("olga")
    path = post(otto, "/jobs/new", pasted=LINE).headers["Location"]
    assert 'id="sharing"' in otto.get(path).text
    made = post(otto, path, config="1", name="a", max_retries="1", hold="1", sharing="edit")
    shared = int(made.headers["Location"].rsplit("/", 1)[1])
    with connected():
        assert jobs.get(shared).sharing == "edit"
        kept = recipes.dump(options_of(jobs.get(shared)))
        assert json.loads(kept)["sharing"] == "edit"
        assert recipes.load(kept).sharing == "edit"
        old = {key: value for key, value in json.loads(kept).items() if key != "sharing"}
        assert recipes.load(json.dumps(old).encode()).sharing is None
        identity.act_as(Actor("olga", user=people["olga"], sees=Scope(people["olga"])))
        assert jobs.clone_fields(shared)[0].sharing is None  # another's choice
        identity.act_as(identity.CLI)
    assert olga.get(f"/jobs/new?clone={shared}", follow_redirects=True).status_code == 200
    file = instance / "q.jsonl"
    file.write_text(LINE)
    for more, level in (((), "private"), (("--share", "view"), "view")):
        done = flask(instance, "create-job", str(file), "--config", "test", "--no-start", *more)
        job_id = int(done.stdout)
        with connected():
            assert jobs.get(job_id).sharing == level
    assert flask(instance, "share-job", str(job_id), "private").returncode == 0
    assert flask(instance, "share-job", str(job_id), "all").returncode == 2
    assert flask(instance, "share-job", "99", "view").returncode == 1
    with connected():
        assert jobs.get(job_id).sharing == "private"
    app.extensions["simple_batch"].close()
    other = create_app(**overrides, DEFAULT_SHARING="view")
    try:
        with connected():
            assert jobs_default(people["otto"]) == "view"
    finally:
        other.extensions["simple_batch"].close()


def jobs_default(user: int) -> str:
    from simple_batch.services import job_creation

    identity.act_as(Actor("otto", user=user))
    try:
        made = job_creation.create_now(
            io.BytesIO(LINE.encode()), "q.jsonl", JobOptions(config="test")
        )
    finally:
        identity.act_as(identity.CLI)
    return made.sharing


def test_batches_and_their_files_follow_the_sharing(app, people, add_config, endpoint, wait_for):
    add_config(endpoint.base_url)
    app.extensions["simple_batch"].start()
    client = app.test_client(use_cookies=False)
    otto = bearer("otto", people["otto"], sees_all=False)
    everything, own = bearer("all", people["olga"]), bearer("own", people["olga"], sees_all=False)
    reads = bearer("reads", people["olga"], scope="read")
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions",
            "body": {"model": "test", **json.loads(LINE)}}  # fmt: skip
    given = {"purpose": "batch", "file": (io.BytesIO(json.dumps(line).encode()), "in.jsonl")}
    source = client.post("/v1/files", data=given, headers=otto).json["id"]
    asked = {
        "input_file_id": source,
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    }
    wrong = client.post("/v1/batches", json={**asked, "sharing": "all"}, headers=otto)
    assert (wrong.status_code, wrong.json["error"]["param"]) == (400, "sharing")
    batch = client.post("/v1/batches", json={**asked, "sharing": "view"}, headers=otto).json["id"]
    job_id = int(batch.removeprefix("batch_"))
    wait_for(job_id, "completed")
    output = client.get(f"/v1/batches/{batch}", headers=otto).json["output_file_id"]

    def statuses(headers: dict) -> list[int]:
        paths = (
            f"batches/{batch}",
            f"files/{output}",
            f"files/{output}/content",
            f"files/{source}",
        )
        return [client.get(f"/v1/{path}", headers=headers).status_code for path in paths]

    def listed(headers: dict) -> list[str]:
        return [one["id"] for one in client.get("/v1/batches", headers=headers).json["data"]]

    for headers in (everything, reads):
        assert statuses(headers) == [200, 200, 200, 404]  # the input file stays its owner's
        assert listed(headers) == [batch]
    assert (statuses(own), listed(own)) == ([404] * 4, [])
    assert client.post(f"/v1/batches/{batch}/cancel", headers=everything).status_code == 403
    assert client.delete(f"/v1/files/{output}", headers=everything).status_code == 403
    share(job_id, "edit")
    assert client.post(f"/v1/batches/{batch}/cancel", headers=everything).status_code == 409
    assert client.post(f"/v1/batches/{batch}/cancel", headers=own).status_code == 404
    assert client.delete(f"/v1/files/{output}", headers=everything).status_code == 403
    share(job_id, "private")
    assert (statuses(everything), listed(everything)) == ([404] * 4, [])
    assert client.post(f"/v1/batches/{batch}/cancel", headers=everything).status_code == 404
    assert client.delete(f"/v1/files/{output}", headers=everything).status_code == 404
    assert client.delete(f"/v1/files/{output}", headers=otto).status_code == 200


def test_the_live_feed_ends_where_a_job_is_no_longer_shared(app, people, ottos, log_in):
    feed = still(app)
    ended = []
    feed.clients._disconnect = ended.append
    olga = Actor("olga", user=people["olga"], sees=Scope(people["olga"]))
    for sid, caller in (("olga", olga), ("anna", Actor("anna"))):
        cookie = log_in(sid).get_cookie("session").value
        environ = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost", "wsgi.url_scheme": "http",
                   "REQUEST_METHOD": "GET", "SERVER_NAME": "localhost", "SERVER_PORT": "80",
                   "HTTP_COOKIE": f"session={cookie}"}  # fmt: skip
        assert feed.clients.connect(sid, environ)
        assert caller.name == sid
    refused = feed.subscribe("olga", {"job_id": ottos})
    assert refused == {"ok": False, "error": "This job belongs to otto. Ask otto to share it."}
    assert feed.subscribe("anna", {"job_id": ottos})["ok"]
    share(ottos, "view")
    assert feed.subscribe("olga", {"job_id": ottos})["ok"]
    assert feed.subscribe("olga", {"finished": True})["ok"]  # as every page does
    assert [row["sharing"] for row in feed.subscribe("olga", {})["snapshot"]["jobs"]] == ["view"]
    with connected():
        feed.clients.disconnect_from_hidden()
        assert ended == []
        sharing.share(ottos, "private")
        feed.clients.disconnect_from_hidden()
    assert ended == ["olga"]


def test_counts_and_lists_of_insight_agree(people, ottos):
    olga = Scope(people["olga"])
    with connected():
        assert insight.job_counts(olga) == {}
        with pytest.raises(NotFound):
            insight.batch(ottos, olga)
        Job.update(sharing="view").where(Job.id == ottos).execute()
        assert insight.job_counts(olga) == {"completed": 1}
        assert insight.batch(ottos, olga).id == ottos


class Page(HTMLParser):
    """The links of a page, the addresses that its forms and buttons post to, and controls outside of a form."""

    def __init__(self, html: str, path: str):
        super().__init__()
        self.links, self.posts, self.disabled = set(), set(), []
        self._path, self._method = path, "get"
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "a" and given.get("href"):
            self.links.add(urljoin(self._path, given["href"]))
        if tag == "form":
            self._method = given.get("method", "get")
            self._action = given.get("action") or self._path
            if self._method == "post":
                self.posts.add(urljoin(self._path, self._action))
        if given.get("formaction") and given.get("formmethod", self._method) == "post":
            self.posts.add(urljoin(self._path, given["formaction"]))
        controls = ("input", "select", "textarea", "button", "fieldset")
        if tag in controls and "disabled" in given and "aria-hidden" not in given:
            self.disabled.append((self._path, given))


def crawled(client, start: str, inside) -> tuple[set[str], set[str]]:
    """All pages that links lead to from ``start`` and what their forms post to; every link works."""
    found, todo, posts = set(), [start], set()
    while todo:
        path = todo.pop()
        if path in found:
            continue
        found.add(path)
        with client.get(path) as answer:
            answer.get_data()
        assert answer.status_code in (200, 303), (path, answer.status_code)
        if answer.mimetype != "text/html" or answer.status_code != 200:
            continue
        page = Page(answer.text, path)
        assert page.disabled == [], path
        posts |= page.posts
        for link in page.links:
            parts = urlsplit(link)
            if not parts.netloc and not parts.path.startswith("/static") and inside(parts):
                todo.append(parts._replace(fragment="").geturl())
    return found, posts


@pytest.mark.parametrize(
    ("name", "level", "only_job"),
    [("vera", "private", False), ("olga", "view", True), ("olga", "edit", True)],
)
def test_no_page_has_a_form_that_its_reader_may_not_send(app, ottos, log_in, name, level, only_job):
    """Follows every link that a page shows, as a viewer, and as operators with a shared job."""
    share(ottos, level)
    client = log_in(name)

    def inside(parts) -> bool:
        own = f"/jobs/{ottos}"
        short = parts.query.count("&") < 1 and "sort=" not in parts.query
        return short and (not only_job or parts.path.startswith(own) or parts.path == "/jobs")

    pages, posts = crawled(client, "/jobs", inside)
    assert f"/jobs/{ottos}/settings" in pages
    assert len({urlsplit(page).path for page in pages}) >= 10
    token = re.search(r'name="csrf-token" content="([^"]+)"', client.get("/jobs").text)[1]
    decide_only(app)
    refused = [
        path
        for path in posts
        if path not in ("/logout",)
        and client.post(path, data={"csrf_token": token}).status_code != 200
    ]
    assert refused == []
    if name == "vera":
        assert {urlsplit(path).path for path in posts} <= {"/logout", "/password"}
    assert (f"/jobs/{ottos}/retry" in posts) == (level == "edit")
    assert f"/jobs/{ottos}/delete" not in posts
