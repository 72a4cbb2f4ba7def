"""What the pages do beyond the main job: charts, many jobs, errors, one request, shortcuts."""

import json
import re

from gevent.event import Event
from playwright.sync_api import expect

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .conftest import Words, opened
from .helpers import (
    add_config,
    both_languages,
    click_middle,
    drag,
    expect_status,
    launch,
    wait_for_address,
)


@both_languages
def test_a_drag_over_a_chart_narrows_all_and_stands_in_the_url(demo, t):
    demo.goto("/jobs/1/charts")
    drag(demo, "tokens", 0.45, 0.55)
    demo.wait_for_url("**/charts?from=*")
    expect(demo.locator("#bucket-requests #requests tbody tr").first).to_be_visible()
    shown = demo.evaluate("SimpleBatchCharts.data().buckets.length")
    demo.get_by_role("link", name=t("These requests")).click()
    demo.wait_for_url("**/requests?from=*")
    demo.go_back()
    demo.get_by_role("link", name=t("Whole job")).click()
    expect(demo.locator("#chart-scatter canvas")).to_be_visible()
    assert demo.evaluate("SimpleBatchCharts.data().buckets.length") > shown


@both_languages
def test_every_chart_as_table_csv_and_png(demo, tmp_path, language):
    demo.goto("/jobs/1/charts")
    names = ("outcomes", "latency", "limit", "tokens", "cost", "histogram", "scatter")
    for name in names:
        chart = demo.locator(f"section:has(> #chart-{name})")
        chart.locator("summary").click()
        expect(chart.locator("tbody tr").first).to_be_visible()
        with demo.expect_download() as download:
            chart.locator(".link-button").click()
        path = tmp_path / download.value.suggested_filename
        assert path.name == f"job-1-{name}.png"
        download.value.save_as(path)
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        csv = demo.request.get(chart.get_by_text("CSV").get_attribute("href"))
        assert csv.headers["content-disposition"].startswith("attachment")
        assert len(csv.text().splitlines()) > 2


@both_languages
def test_a_bin_of_the_histogram_lists_its_requests(demo, language):
    demo.goto("/jobs/1/charts")
    click_middle(demo, "histogram")
    expect(demo.locator("#bucket-title")).to_contain_text("ms")
    assert "#bin=" in demo.url
    listed = demo.locator("#bucket-requests #requests tbody tr")
    demo.locator("#bucket-next").click()
    expect(listed.first).to_be_visible()
    # the failed requests have the latencies of the succeeded ones
    for bar in demo.evaluate("SimpleBatchCharts.data().histogram.filter((bar) => bar.count)"):
        demo.goto("about:blank")
        demo.goto(f"/jobs/1/charts#bin={bar['from_ms']}")
        expect(listed).to_have_count(bar["count"])
        expect(demo.locator("#bucket-which")).to_be_hidden()


@both_languages
def test_a_window_lists_the_requests_of_its_whole_intervals(demo, t):
    demo.goto("/jobs/1/charts?bucket=3600")
    bar = demo.evaluate("SimpleBatchCharts.data().buckets[0]")
    demo.goto(f"/jobs/1/charts?bucket=3600&from={bar['t'] + 1}&to={bar['t'] + 2}&per=100")
    listed = demo.locator("#bucket-requests #requests tbody tr")
    expect(listed).to_have_count(bar["succeeded"] + bar["failed"])
    demo.get_by_role("link", name=t("These requests")).click()
    demo.wait_for_url(f"**/requests?from={bar['t']}&to={bar['t'] + 3600}")


@both_languages
def test_charts_of_one_status_list_no_other(demo, language):
    demo.goto("/jobs/1/charts?status=failed&bucket=3600#bucket=0&succeeded")
    failed = demo.evaluate("SimpleBatchCharts.data().buckets[0].failed")
    expect(demo.locator("#bucket-requests #requests tbody tr")).to_have_count(failed)
    expect(demo.locator("#bucket-which")).to_be_hidden()


@both_languages
def test_a_drawer_whose_requests_do_not_load_says_so(demo, t):
    demo.route(re.compile("fragment=1"), lambda route: route.abort())
    demo.goto("/jobs/1/charts")
    click_middle(demo, "histogram")
    told = t("The rows could not be loaded. Reload the page.")
    expect(demo.locator("#bucket-drawer #bucket-requests")).to_have_text(told)
    demo.unroute_all()
    demo.locator("#bucket-next").click()
    expect(demo.locator("#bucket-requests #requests tbody tr").first).to_be_visible()


@both_languages
def test_the_report_draws_its_charts_from_itself(demo, t, browser, tmp_path):
    demo.goto("/jobs/1")
    demo.locator("summary", has_text=t("Export")).click()
    with demo.expect_download() as download:
        demo.get_by_role("link", name=t("Report (HTML)")).click()
    path = tmp_path / "report.html"
    download.value.save_as(path)
    with opened(browser, path.parent.as_uri(), offline=True) as alone:
        alone.goto(path.as_uri())
        expect(alone.locator("canvas")).to_have_count(7)
        expect(alone.get_by_role("heading", name=t("Errors"))).to_be_visible()


def notice_notifications(page) -> None:
    """Record desktop notifications in a variable of the page."""
    page.context.grant_permissions(["notifications"])
    page.add_init_script(
        """window.told = []; window.Notification = class extends Notification {
        constructor(title, options) { super(title, options); told.push(options.body); } };"""
    )


@both_languages
def test_the_end_of_a_job_is_announced(notified_page, t, questions):
    page = notified_page
    notice_notifications(page)
    wanted = Event()

    def answer_once_wanted(connection):
        wanted.wait()
        connection.sendall(e.ok())

    with MisbehavingEndpoint(answer_once_wanted) as endpoint:
        add_config(page, t, endpoint.base_url)
        launch(page, t, questions(100), "told")
        page.get_by_role("button", name=t("Notify me when it is done")).click()
        wanted.set()
        output = t("%(name)s: %(status)s", name="told", status=t("completed"))
        expect(page.locator("#toast")).to_contain_text(output)
        assert page.title().startswith(f"✓ {output}")
        page.wait_for_function("told.length > 0")
        assert page.evaluate("told") == [output]
        expect(page.locator("#announce")).to_have_text(t("%(n)s percent done", n=100))


@both_languages
def test_the_list_of_jobs_searches_selects_and_acts(page, t, questions):
    with MisbehavingEndpoint(e.slow(0.3)) as endpoint:
        add_config(page, t, endpoint.base_url)
        launch(page, t, questions(30), "apples")
        launch(page, t, questions(30), "pears")
        page.goto("/jobs")
        rows = page.locator("#jobs-table tbody tr")
        expect(rows).to_have_count(2)
        page.get_by_role("searchbox").fill("pear")
        expect(rows).to_have_count(1)
        wait_for_address(page, "q=pear")
        page.get_by_role("searchbox").fill("")
        expect(rows).to_have_count(2)
        delete = page.get_by_role("button", name=t("Delete"))
        expect(delete).to_be_disabled()
        # live: without a reload
        expect(rows.locator("[data-status=completed]")).to_have_count(2)
        expect(rows.locator(".spark")).to_have_count(2)
        page.get_by_label(t("Select %(n)s", n="apples")).check()
        page.get_by_label(t("Select %(n)s", n="pears")).check()
        page.get_by_role("button", name=t("Compare")).click()
        expect(page.get_by_text(f"= {t('same')}")).to_have_count(30)
        page.go_back()
        page.get_by_label(t("Select all on this page")).check()
        delete.click()
        done = t.plural("Deleted %(num)s job.", "Deleted %(num)s jobs.", 2)
        expect(page.get_by_role("alert").filter(has_text=done)).to_be_focused()
        expect(page.get_by_text(t("Clear filters"))).to_have_count(0)
        expect(rows).to_have_count(0)


@both_languages
def test_compare_shows_what_only_one_of_them_has(page, t, questions):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(page, t, endpoint.base_url)
        for count in (3, 5):
            launch(page, t, questions(count), f"of {count}")
            expect_status(page, "completed")
        page.goto("/compare?a=1&b=2")
        missing = page.get_by_text(t("not in this job"))
        expect(page.locator("#pairs tbody tr")).to_have_count(5)
        expect(missing).to_have_count(2)
        page.get_by_label(t("only differences")).check()
        page.get_by_role("button", name=t("Compare")).click()
        expect(page.locator("#pairs tbody tr")).to_have_count(2)
        page.get_by_role("link", name=t("Swap")).click()
        expect(page.locator("#pairs tbody tr")).to_have_count(2)
        expect(missing).to_have_count(2)


@both_languages
def test_a_group_is_retried_with_another_config_and_one_is_edited(page, t, questions):
    better = e.http(200, {**e.GOOD, "choices": [{"index": 0, "message": {"content": "**new**"}}]})
    with (
        MisbehavingEndpoint(*[e.error(400, "not here")] * 3, e.ok()) as first,
        MisbehavingEndpoint(e.ok(), e.ok(), e.ok(), better) as second,
    ):
        add_config(page, t, first.base_url)
        launch(page, t, questions(8), "mixed")
        expect_status(page, "completed")
        add_config(page, t, second.base_url, "second")
        page.goto("/jobs/1/errors")
        page.locator("summary", has_text=t("Retry …")).click()
        page.get_by_label(t("connection")).select_option(label="second")
        page.get_by_label(t("Max tokens")).fill("77")
        page.locator("form").get_by_role("button", name=t("Retry requests")).click()
        expect(page.locator('[data-count="succeeded"]')).to_have_text("8")
        assert [body["max_tokens"] for body in second.bodies] == [77] * 3

        page.goto("/jobs/1/requests/0")
        page.locator("summary", has_text=t("Edit and send again")).click()
        body = json.dumps({"messages": [{"role": "user", "content": "changed"}]})
        page.locator("textarea[name=body]").fill(body)
        page.get_by_role("button", name=t("Send again")).click()
        sent = t("Sent again. The new answer replaces the old one.")
        expect(page.get_by_text(sent)).to_be_visible()
        expect(page.get_by_text("changed").first).to_be_visible()


@both_languages
def test_a_time_is_chosen_in_the_form_and_stands_in_the_url(demo, t, language):
    demo.goto("/jobs/1/requests")
    demo.locator("summary", has_text=t("More filters, columns, page size")).click()
    demo.get_by_label(t("Finished from")).fill("2020-01-01T00:00:00")
    demo.get_by_role("button", name=t("Filter"), exact=True).click()
    demo.wait_for_url(re.compile(r"from=\d+(&|$)"))
    expect(demo.locator("#requests tbody tr").first).to_be_visible()
    expect(demo.get_by_label(t("Finished from"))).to_have_value("2020-01-01T00:00")
    demo.get_by_label(t("Finished from")).fill("2099-01-01T00:00:00")
    demo.get_by_role("button", name=t("Filter"), exact=True).click()
    expect(demo.get_by_text(t("No request matches."))).to_be_visible()


@both_languages
def test_columns_and_page_size_stay_in_the_url(demo, t):
    demo.goto("/jobs/1/requests")
    demo.locator("summary", has_text=t("More filters, columns, page size")).click()
    demo.get_by_label("HTTP", exact=True).check()
    demo.get_by_label(t("Cost")).uncheck()
    demo.get_by_label(t("Rows on a page")).select_option("25")
    demo.get_by_role("button", name=t("Filter"), exact=True).click()
    head = demo.locator("#requests thead")
    expect(head).to_contain_text("HTTP")
    expect(head).not_to_contain_text(t("Cost"))
    expect(demo.locator("#requests tbody tr")).to_have_count(25)
    demo.get_by_role("link", name=t("next")).click()
    expect(head).not_to_contain_text(t("Cost"))
    demo.get_by_role("link", name=t("Latency")).click()
    demo.wait_for_url("**sort=-latency**")


@both_languages
def test_the_copies_name_no_key(demo, t):
    demo.context.grant_permissions(["clipboard-read", "clipboard-write"])
    demo.goto("/jobs/1/requests/0")
    for button, part in (
        ("Copy JSON", '"messages"'),
        ("Copy curl", "$OPENAI_API_KEY"),
        ("Copy Python", "OPENAI_API_KEY"),
    ):
        demo.get_by_role("button", name=t(button)).click()
        assert part in demo.evaluate("navigator.clipboard.readText()")


def test_times_are_those_of_the_browser(browser, demo_server):
    with opened(browser, demo_server.url, timezone_id="Asia/Shanghai") as page:
        page.goto("/jobs/1/events")
        moment = page.locator("time").first
        there, utc = moment.inner_text(), moment.get_attribute("title")
        assert (int(there[11:13]) - int(utc[11:13])) % 24 == 8
        assert utc.endswith("UTC")


def test_the_other_language_is_one_click_away(demo):
    demo.goto("/jobs/1/requests?status=failed")
    demo.get_by_role("link", name="中文").click()
    demo.wait_for_url("**status=failed*")
    expect(demo.get_by_role("link", name=Words("zh")("Charts"), exact=True)).to_be_visible()
