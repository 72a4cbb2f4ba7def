"""Server-sent events, cut anywhere (html.spec.whatwg.org, server-sent-events)."""

import pytest

from simple_batch.engine.stream.sse_events import EventParser, events_of

WHOLE = "\ufeff: hello\nevent: delta\ndata: 你好\ndata: two 🎉\nid: 7\nretry: 9\n\ndata:bare\n\n: c\n\ndata\n\n"
EXPECTED = [("delta", "你好\ntwo 🎉"), ("message", "bare"), ("message", "")]


def parsed(data: bytes, size: int) -> list[tuple[str, str]]:
    parser = EventParser()
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return [
        (event.event, event.data) for piece in pieces for event in events_of(parser.feed(piece))
    ]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 10_000])
def test_an_event_may_be_cut_anywhere(line_end, size):
    assert parsed(WHOLE.replace("\n", line_end).encode(), size) == EXPECTED


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("data: a\n\n\n\ndata: b\n\n", [("message", "a"), ("message", "b")]),
        ("\n\ndata: a\n\n", [("message", "a")]),
        ("data:  two spaces\n\n", [("message", " two spaces")]),
        ("data: a: b\n\n", [("message", "a: b")]),
        ("event: x\n\ndata: y\n\n", [("message", "y")]),  # a type without data is no event
        ("event:\ndata: y\n\n", [("message", "y")]),
        ("unknown: x\ndata: y\n\n", [("message", "y")]),
        ("data: cut off", []),
        ("data: cut off\n", []),
        ("data: a\r\n\rdata: b\n\r\n", [("message", "a"), ("message", "b")]),
    ],
)
@pytest.mark.parametrize("size", [1, 10_000])
def test_rules_of_the_standard(data, expected, size):
    assert parsed(data.encode(), size) == expected


def test_invalid_utf8_is_replaced():
    assert parsed(b"data: \xff\n\n", 100) == [("message", "\ufffd")]


def test_only_the_event_that_is_not_complete_is_held():
    parser = EventParser()
    for _ in range(1000):
        parser.feed(b"data: " + b"x" * 100 + b"\n\n")
    assert parser.size == 0
    parser.feed(b"data: " + b"x" * 100)
    assert parser.size == 106
    assert parser.rest().data == "x" * 100


def test_a_long_event_in_many_packets_is_searched_once():
    """A megabyte in packets of 100 bytes takes no time that grows with its square."""
    parser, events = EventParser(), []
    for _ in range(10_000):
        events += events_of(parser.feed(b"x" * 100 if parser.size else b"data: " + b"x" * 94))
    events += events_of(parser.feed(b"\n\n"))
    assert [len(event.data) for event in events] == [999_994]
