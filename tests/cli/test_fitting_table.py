"""Tables that fit the terminal."""

from simple_batch.cli import fitting_table


def test_wide_characters_count_two():
    assert fitting_table.width_of("评论 ab") == 7
    assert fitting_table.cut("评论评论", 6) == "评论…"
    assert fitting_table.cut("ab", 6) == "ab"
    assert fitting_table.width_of("e\u0301") == 1


def test_a_table_fits():
    rows = [["1", "评" * 60, "completed"], ["2", "short", "running"]]
    lines = list(fitting_table.lines(["id", "name", "status"], rows, columns=40))
    assert max(map(fitting_table.width_of, lines)) <= 40
    assert "…" in lines[1]
    assert lines[2].split() == ["2", "short", "running"]
    # the columns stand below each other
    places = {
        fitting_table.width_of(line[: line.index(word)])
        for line, word in zip(lines, ("status", "completed", "running"), strict=True)
    }
    assert len(places) == 1


def test_a_terminal_that_is_too_narrow_keeps_something_of_each_column():
    (_, line) = fitting_table.lines(["name", "other"], [["a" * 30, "b" * 30]], columns=5)
    assert line == "aaaaaaa…  bbbbbbb…"
