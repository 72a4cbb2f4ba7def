"""The results grid in a browser: keys, drawer, selection, copies, widths, cards on a phone."""

import pytest
from gevent.event import Event
from playwright.sync_api import expect

from ..endpoint import MisbehavingEndpoint, error, ok
from .helpers import add_config as fill_and_save
from .helpers import both_languages, expect_status, launch, wait_for_address
from .test_access import violations


def rows(page):
    return page.locator("#results tbody tr")


@both_languages
def test_rows_are_read_selected_and_copied_by_keys(demo, t):
    page = demo
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/jobs/1/results?per=25&sort=-latency")
    drawer, news = page.locator("#drawer"), page.locator("#results-news")
    expect(rows(page)).to_have_count(25)

    # the drawer opens at the focused row, walks into the next page, and gives the focus back
    page.locator("#results-box").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("j")
    second = rows(page).nth(1)
    expect(second).to_be_focused()
    page.keyboard.press("Enter")
    number = second.locator(".number-cell a").inner_text()
    expect(drawer.get_by_role("heading", name=t("Request %(n)s", n=number))).to_be_visible()
    expect(drawer.locator(".message.user")).to_be_visible()
    wait_for_address(page, f"open={int(number) - 1}")
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(second).to_be_focused()
    rows(page).nth(24).press("Enter")
    expect(drawer).to_be_visible()
    page.keyboard.press("ArrowDown")
    number = rows(page).nth(25).locator(".number-cell a").inner_text()
    expect(drawer.get_by_role("heading", name=t("Request %(n)s", n=number))).to_be_visible()
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(rows(page).nth(25)).to_be_focused()
    wait_for_address(page, "open=", there=False)

    # selected by keys, with a range
    rows(page).nth(0).focus()
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Shift+X")
    expect(page.locator("#selected-count")).to_have_text(t("%(n)s selected", n="3"))
    expect(page.locator("#selected-form")).to_be_in_viewport()
    cell = rows(page).nth(1).locator("td[data-label] > div").first
    cell.evaluate("cell => { cell.textContent = 'a\\tb \"c\"\\nd'; }")
    formula = rows(page).nth(2).locator("td[data-label] > div").first
    formula.evaluate("cell => { cell.textContent = '=1+1'; }")
    page.keyboard.press("Control+c")
    expect(news).to_have_text(t("Copied %(n)s rows", n="3"))
    text = page.evaluate("navigator.clipboard.readText()")
    assert '\t"a\tb ""c""\nd"\t' in text  # a cell, as spreadsheets read it
    assert "\t'=1+1\t" in text  # not run
    copied = text.replace("\nd", "").split("\n")
    numbers = [rows(page).nth(n).locator(".number-cell").inner_text() for n in range(3)]
    assert [line.split("\t")[0] for line in copied] == numbers
    indices = [int(number) - 1 for number in numbers]
    exported = page.locator("#export-selected").get_attribute("href")
    table = page.request.get(exported.replace("xlsx", "jsonl")).text().splitlines()
    assert len(table) == len(indices)
    page.locator("#select-matching").click()
    expect(page.locator("#selected-count")).to_have_text(t("%(n)s selected", n="60"))
    page.get_by_role("button", name=t("Clear selection")).click()
    rows(page).nth(4).get_by_role("checkbox").check()
    rows(page).nth(8).locator("td").last.click(modifiers=["Shift"])
    expect(page.locator("#selected-count")).to_have_text(t("%(n)s selected", n="5"))
    page.get_by_role("button", name=t("Clear selection")).click()
    expect(page.locator("#selected-form")).to_be_hidden()


def test_the_url_holds_widths_columns_and_the_open_row(demo):
    page = demo
    page.goto("/jobs/1/results?open=7")
    expect(page.locator("#drawer-title")).to_have_text("Request 8")
    page.keyboard.press("Escape")
    handle = page.locator("th[data-col=answer] .width-handle")
    before = page.locator("th[data-col=answer]").bounding_box()["width"]
    box = handle.bounding_box()
    page.mouse.move(box["x"] + 3, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] - 97, box["y"] + 5, steps=4)
    page.mouse.up()
    after = page.locator("th[data-col=answer]").bounding_box()["width"]
    assert abs(before - 100 - after) < 3
    handle.focus()
    page.keyboard.press("ArrowRight")
    width = page.locator("th[data-col=answer]").bounding_box()["width"]
    wait_for_address(page, f"w=answer%3A{round(width)}")
    cost = page.locator("th[data-col=cost] .width-handle")
    cost.focus()
    page.keyboard.press("ArrowRight")  # a second column
    page.reload()
    assert abs(page.locator("th[data-col=answer]").bounding_box()["width"] - width) < 1
    expect(page.locator("th[data-col=cost]")).to_have_attribute("data-chosen", "1")

    page.locator("#columns-menu > summary").click()
    page.locator("#column-list li", has_text="Latency").get_by_role("button").first.click()
    page.locator("#column-list li", has_text="Last user message").get_by_role("checkbox").uncheck()
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**cols=**")
    columns = page.locator("#results th[data-col]").evaluate_all(
        "all => all.map(h => h.dataset.col)"
    )
    more = ["tokens_in", "tokens_out", "config"]
    assert columns == ["answer", "outcome", "rating", "latency", "cost", *more]
    wait_for_address(page, "w=answer")
    assert violations(page) == []


def test_on_a_phone_rows_are_cards(demo):
    page = demo
    page.emulate_media(reduced_motion="reduce")  # no colour halfway to the other theme
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto("/jobs/1/results?per=25")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    first = rows(page).first
    assert first.bounding_box()["width"] > 300
    label = first.locator("td[data-label=Answer]")
    assert "Answer" in label.evaluate("cell => getComputedStyle(cell, '::before').content")
    assert violations(page) == []
    page.evaluate("document.documentElement.dataset.bsTheme = 'dark'")
    assert violations(page) == []
    label.click()
    expect(page.locator("#drawer .message.user")).to_be_visible()
    assert page.locator("#drawer").bounding_box()["width"] <= 390
    page.keyboard.press("Escape")

    # the menus of the columns are a line over the cards
    head = page.locator("th[data-col=tokens_out]")
    head.locator("summary").click()
    box = head.locator(".menu-list").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert box["y"] + box["height"] <= 800  # wherever the page is scrolled
    assert violations(page) == []
    head.get_by_placeholder("≥").fill("1000000")
    head.get_by_role("button", name="Filter").first.click()
    wait_for_address(page, "tokens_out%3E=1000000")
    expect(rows(page)).to_have_count(0)


def test_only_rows_near_the_visible_part_are_in_the_table(long_job, page):
    page.goto(f"/jobs/{long_job}/results?per=200")
    box = page.locator("#results-box")
    rows(page).first.focus()
    page.keyboard.press("x")
    for seen in (200, 400):  # each page as one comes near its end
        box.evaluate("box => { box.scrollTop = box.scrollHeight }")
        expect(page.locator(f'#results tbody tr[data-index="{seen}"]')).to_be_attached()
    box.evaluate("box => { box.scrollTop = box.scrollHeight }")
    last = page.locator('#results tbody tr[data-index="499"]')
    expect(last).to_be_visible()
    assert rows(page).count() < 200
    found = rows(page).evaluate_all("all => all.map(row => Number(row.dataset.index))")
    assert found == list(range(found[0], 500))

    # the keys go on where they were, though that row is not in the table
    expect(page.locator('#results tbody tr[data-index="0"]')).to_have_count(0)
    page.keyboard.press("j")
    second = page.locator('#results tbody tr[data-index="1"]')
    expect(second).to_be_focused()
    expect(second).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#drawer-title")).to_have_text("Request 2")
    page.keyboard.press("Escape")
    expect(second).to_be_focused()

    # what the browser searches is in the page, until the next key
    page.keyboard.press("Control+f")
    expect(rows(page)).to_have_count(500)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    expect(last).to_have_count(0)

    # a selected row is sent, in the table or not
    box.evaluate("box => { box.scrollTop = box.scrollHeight }")
    expect(last).to_be_visible()
    last.get_by_role("checkbox").check()
    expect(page.locator("#selected-count")).to_have_text("2 selected")
    page.locator("#selected-form").get_by_role("button", name="New job").click()
    expect(page.locator("#figures")).to_contain_text("2 rows")


@pytest.fixture
def long_job(add_config, endpoint, make_job):
    """A job of 500 requests that waits."""
    add_config(endpoint.base_url)
    return make_job(500, hold=True)


def test_a_view_has_the_widths_it_was_saved_with(long_job, page):
    page.goto(f"/jobs/{long_job}/results?w=answer:300")
    page.locator("#views-menu > summary").click()
    page.locator("#view-name").fill("narrow")
    page.get_by_role("button", name="Save this view").click()
    page.goto(f"/jobs/{long_job}/results?w=answer:500")
    page.locator("#views-menu > summary").click()
    page.get_by_role("link", name="narrow").click()
    wait_for_address(page, "w=answer%3A300")
    assert page.locator("th[data-col=answer]").bounding_box()["width"] == pytest.approx(300, abs=1)


def test_the_drawer_walks_on_from_a_row_of_a_later_page(long_job, page):
    title = page.locator("#drawer-title")
    page.goto(f"/jobs/{long_job}/results?per=25&open=60")
    expect(title).to_have_text("Request 61")
    page.keyboard.press("j")
    expect(title).to_have_text("Request 62")
    page.keyboard.press("k")
    page.keyboard.press("ArrowUp")
    expect(title).to_have_text("Request 60")
    # the URL keeps the place in the table: loaded again without the drawer, it shows the same rows
    page.keyboard.press("Escape")
    wait_for_address(page, "open=", there=False)
    page.reload()
    expect(page.locator("tr[data-index='60']")).to_be_visible()
    expect(page.locator("tr[data-index='0']")).to_have_count(0)
    # where its neighbours are not known it does not offer to walk
    page.goto(f"/jobs/{long_job}/results?per=25&sort=-latency&open=400")
    expect(title).to_have_text("Request 401")
    expect(page.locator("#drawer-next")).to_be_disabled()


def test_the_palette_has_no_buttons_without_a_name_there(demo):
    demo.goto("/jobs/1/results")
    demo.keyboard.press("Control+k")
    options = demo.locator("#palette").get_by_role("option")
    expect(options.filter(has_text="New column from answers")).to_have_count(1)
    expect(options.filter(has_text="↓")).to_have_count(0)


@both_languages
def test_new_answers_wait_until_they_are_asked_for(page, t, questions):
    gates = Event(), Event()

    def behind(gate):
        def held(connection):
            gate.wait()
            connection.sendall(ok())

        return held

    with MisbehavingEndpoint(*[behind(gates[0])] * 3, behind(gates[1])) as endpoint:
        fill_and_save(page, t, endpoint.base_url)
        launch(page, t, questions(12))
        page.goto(page.url.split("?")[0] + "/results")
        bar, waiting = page.locator("#new-answers"), page.locator("#results tr[data-waits]")
        expect(waiting).to_have_count(12)
        expect(bar).to_be_hidden()
        # from the tools, because the head of the job may get a line meanwhile
        above = """() => document.getElementById("results-box").getBoundingClientRect().top
            - document.getElementById("results-tools").getBoundingClientRect().top"""
        place = page.evaluate(above)
        gates[0].set()
        words = t.plural("%(n)s new answer: show", "%(n)s new answers: show", 3)
        expect(bar).to_have_text(words)
        expect(waiting).to_have_count(12)
        assert page.evaluate(above) == place
        assert violations(page) == []
        rows(page).nth(3).focus()
        page.keyboard.press("x")
        bar.click()
        expect(waiting).to_have_count(9)
        expect(bar).to_be_hidden()
        gates[1].set()
        expect_status(page, "completed")
        bar.click()
        expect(waiting).to_have_count(0)
        expect(bar).to_be_hidden()
        expect(rows(page).nth(3).get_by_role("checkbox")).to_be_checked()
        expect(rows(page).nth(3)).to_contain_text("fine")


@both_languages
def test_the_menus_of_columns_list_values_and_filter_by_text_and_time(demo, t):
    page = demo
    page.goto("/jobs/1/results?cols=model&cols=finished&cols=prompt&per=25")

    def menu(column):
        head = page.locator(f"th[data-col={column}]")
        head.locator("summary").click()
        return head

    menu("model").locator(".values-list a").first.click()  # listed without another click
    wait_for_address(page, "model=")
    expect(page.locator(".condition")).to_have_count(1)
    head = menu("prompt")
    head.get_by_role("textbox").fill("nowhere at all")
    head.get_by_role("button", name=t("Filter")).click()
    wait_for_address(page, "prompt%7E=nowhere")
    expect(rows(page)).to_have_count(0)
    page.locator(".condition").last.click()
    expect(rows(page)).to_have_count(25)
    head = menu("finished")
    assert violations(page) == []
    head.get_by_label(t("until")).fill("2001-02-03T04:05:06")
    head.get_by_role("button", name=t("Filter")).last.click()
    wait_for_address(page, "finished%3C=98")
    expect(rows(page)).to_have_count(0)
    expect(page.locator(".condition").last).to_contain_text("2001-02-03 04:05:06")


def test_a_menu_near_the_edge_opens_to_the_left(demo):
    page = demo
    page.set_viewport_size({"width": 1024, "height": 800})
    page.goto("/jobs/1/results?cols=answer&cols=prompt&cols=finished&w=prompt:300")
    edge = page.locator("#results-box").bounding_box()
    for column in ("answer", "finished"):
        head = page.locator(f"th[data-col={column}]")
        head.locator("summary").click()
        menu = head.locator(".menu-list").bounding_box()
        assert menu["x"] >= edge["x"]
        assert menu["x"] + menu["width"] <= edge["x"] + edge["width"] + 1
        page.keyboard.press("Escape")


@both_languages
def test_results_come_first_on_an_open_page_once_the_job_has_ended(page, t, questions):
    gate = Event()

    def held(connection):
        gate.wait()
        connection.sendall(ok())

    with MisbehavingEndpoint(held) as endpoint:
        fill_and_save(page, t, endpoint.base_url)
        launch(page, t, questions(2))
        first = page.locator(".job-tabs a").first
        expect(first).to_have_text(t("Overview"))
        gate.set()
        expect(first).to_contain_text(t("Results"))
        expect_status(page, "completed")
        assert violations(page) == []


@both_languages
def test_rows_picked_by_keys_are_sent_again(page, t, questions):
    with MisbehavingEndpoint(*[error(400)] * 4, ok()) as endpoint:
        fill_and_save(page, t, endpoint.base_url)
        launch(page, t, questions(6))
        expect_status(page, "completed")
        page.goto(page.url.split("?")[0] + "/results?status=failed")
        rows(page).first.focus()
        page.keyboard.press("x")
        page.keyboard.press("j")
        page.keyboard.press("x")
        page.locator("#selected-form").get_by_role("button", name=t("Retry"), exact=True).press(
            "Enter"
        )
        expect(page.locator(".tile.succeeded .tile-count")).to_have_text("4")
        page.goto(f"/jobs/{page.url.split('/jobs/')[1].split('/')[0]}/results?status=failed")
        expect(rows(page)).to_have_count(2)
        assert endpoint.calls == 8
