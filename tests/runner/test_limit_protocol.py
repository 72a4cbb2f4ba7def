"""The messages of limit leases on the wire: workers of two versions may share one Redis."""

import json
import re
from pathlib import Path

import msgspec

from simple_batch.cluster import limit_protocol
from simple_batch.cluster.limit_protocol import (
    ConfigLeaseRequest,
    LeaseReply,
    LeaseRequest,
    ReleaseRequest,
    SharedCooldown,
    decode_reply,
    encode_requests,
)
from simple_batch.cluster.shared_limits import EventKind, Report

SCRIPT = Path(limit_protocol.__file__).with_name("limit_coordinator.lua").read_text()
COMMON = {
    "name": "config:3",
    "in_flight": 2,
    "starved": True,
    "exchanged_at": 5.5,
    "wanted": 3.5,
    "grant": 4,
    "rate_share": 0.25,
    "wanted_rate_share": 1.5,
    "limit": 20,
}
ON_THE_WIRE = {
    "name": "config:3",
    "busy": 2,
    "hungry": True,
    "last": 5.5,
    "want": 3.5,
    "had": 4,
    "part": 0.25,
    "want_part": 1.5,
    "total": 20,
}


def sent(request) -> dict:
    return json.loads(encode_requests([request]))[0]


def test_requests_have_the_names_that_every_version_reads():
    assert sent(LeaseRequest(**COMMON)) == ON_THE_WIRE
    plain = ConfigLeaseRequest(**COMMON, version=1, ceiling=50, learns=False, news=False)
    own = {"version": 1, "ceiling": 50, "learns": False, "news": False}
    assert sent(plain) == {**ON_THE_WIRE, **own}  # Lua would take null for a value
    plain.learned, plain.report = "{}", "[]"
    plain.cooldown = SharedCooldown(until=9.0, reason="429", ask_s=0.2, cut=8.5)
    cooldown = {"until": 9.0, "reason": "429", "ask_s": 0.2, "cut": 8.5}
    plain.refused = True
    more = {"learned": "{}", "report": "[]", "cool": cooldown, "refused": True}
    assert sent(plain) == {**ON_THE_WIRE, **own, **more}
    assert sent(ReleaseRequest(name="job:1", leave=True)) == {"name": "job:1", "leave": True}


def test_a_reply_is_read_by_the_names_that_every_version_sends():
    full = {
        **{"grant": 3, "part": 0.5, "soon": True, "tell": True, "learned": "{}", "version": 7},
        **{"learns": True, "workers": ["a", "b"], "heard": 12.5, "log": ["{}"]},
        "cool": {"until": 20, "reason": "429", "ask_s": 0.1, "cut": 0, "own": True},
        "of a later version": 1,
    }
    text = json.dumps({"now": "13.000001", "replies": [full, {"grant": 2**30, "part": 1}]})
    found = decode_reply(text)
    assert found.now == "13.000001"
    assert found.replies == [
        LeaseReply(
            **{"grant": 3, "rate_share": 0.5, "soon": True, "publish": True},
            **{"learned": "{}", "version": 7, "learns": True},
            **{"workers": ["a", "b"], "reported_until": 12.5, "reports": ["{}"]},
            cooldown=SharedCooldown(until=20, reason="429", ask_s=0.1, cut=0, own=True),
        ),
        LeaseReply(2**30, 1.0),
    ]
    assert decode_reply('{"now":"1.0","replies":{}}').replies == {}  # Lua's empty list


def test_the_script_documents_every_name():
    head = SCRIPT[: SCRIPT.index("local ")]
    structs = (LeaseRequest, ConfigLeaseRequest, ReleaseRequest, LeaseReply, SharedCooldown)
    names = {name for struct in structs for name in struct.__struct_encode_fields__}
    assert not [name for name in names if not re.search(rf"\b{name}\b", head)]


def test_kinds_of_events_are_single_letters_that_stay():
    events = [[kind, 1.0] for kind in EventKind]
    text = msgspec.json.encode(Report("a", 0.0, 1, events))
    read = msgspec.json.decode(text, type=Report)
    assert "".join(kind for kind, _at in read.events) == "sendrch"
    assert [EventKind(kind) for kind, _at in read.events] == list(EventKind)
