"""Promises checked on made-up records: a good one keeps all, and each broken promise is found by its name alone."""
import dataclasses
import json
import math
import re

import pytest

from intra_dp_ros.bench.record import RecordError
from intra_dp_ros.bench.soak_record import Compared, Frame, Link, Memory, Result, Sent, SoakRecord
from intra_dp_ros.bench.soak_verdict import ages, growth, judge, most_age, unanswered

HZ, COUNT, EVERY = 10.0, 100, 4  # every so many messages one is answered, the last one too
FIRST = 7
WAY_S, LATENCY_S, INFERENCE_S, PUBLISH_S = 0.01, 0.35, 0.3, 0.01


def stamp(index):
    return 1700000000000000000 + index * 100000000


def frame(number, index, **changes):
    values = dict(number=number, stamp=stamp(index), time_s=index / HZ + LATENCY_S + 2 * WAY_S, frame_id="camera",
                  outcome="split", reason="", latency_s=LATENCY_S, inference_s=INFERENCE_S, publish_s=PUBLISH_S,
                  bandwidth_MBps=11.0, rel_error=2e-7 if number % 5 == 0 else -1.0)
    values.update(changes)
    return Frame(**values)


def make_record(**changes):
    answered = list(range(3, COUNT, EVERY))
    values = dict(
        command="scripts/soak", app="kapao", model="movenet-multipose", weights="pretrained", weights_note="a file",
        parameters=4700000, inputs="100 images", things="people", rate_hz=HZ, seconds=COUNT / HZ, warm_up_s=60.0,
        robot_slowdown=3.0, strategy="auto", trace="indoors_like.csv", machine="a test machine",
        versions="PyTorch 1.13", commit="abc",
        load=0.5, frame_id="camera", result_frame_id="camera",
        sent=tuple(Sent(stamp(i), i / HZ) for i in range(COUNT)),
        results=tuple(Result(stamp(i), i / HZ + LATENCY_S + WAY_S, "camera") for i in answered),
        frames=tuple(frame(FIRST + k, i) for k, i in enumerate(answered)),
        memory=tuple(Memory(t / 2, 700.0 if t > 6 else 500.0, 500.0) for t in range(1, 22)),
        link=tuple(Link(t / 10, 11.0) for t in range(100)),
        compared=tuple(Compared(stamp(i), 3, "") for i in answered[3::5]), first_number=FIRST,
        counted=COUNT - len(answered), refused={}, gone=())
    values.update(changes)
    return SoakRecord(**values)


GOOD = make_record()


def without(items, index):
    return items[:index] + items[index + 1:]


def swapped(items, a, b):
    out = list(items)
    out[a], out[b] = out[b], out[a]
    return tuple(out)


def replaced(items, index, **changes):
    return items[:index] + (dataclasses.replace(items[index], **changes),) + items[index + 1:]


def test_a_good_run_keeps_all_promises():
    assert [p.name for p in judge(GOOD) if p.broken] == []
    assert len({p.name for p in judge(GOOD)}) == len(judge(GOOD)) == 10
    assert len(unanswered(GOOD)) == 75 and set(ages(GOOD)) == {0}
    assert growth(GOOD)["robot"].share == 0.0 and growth(GOOD)["robot"].last == 700.0


BROKEN = {
    "a number is missing, with its result": (
        dict(frames=without(GOOD.frames, 9), results=without(GOOD.results, 9), counted=76),
        "every accepted frame answered", "frame 17 came where 16 was expected"),
    "the first is missing": (
        dict(frames=GOOD.frames[1:], results=GOOD.results[1:], counted=76), "every accepted frame answered",
        "frame 8 came where 7"),
    "statistics without a result": (
        dict(results=without(GOOD.results, 9), counted=76), "every accepted frame answered", "differ in 1 stamps"),
    "a result without statistics": (
        dict(frames=GOOD.frames[:-1]), "every accepted frame answered", "25 results and 24 statistics"),
    "frame_id lost": (
        dict(results=replaced(GOOD.results, 4, frame_id="")), "stamps and frame_ids kept", "1 other frame_ids"),
    "frame_id of the statistics lost": (
        dict(frames=replaced(GOOD.frames, 4, frame_id="world")), "stamps and frame_ids kept", "'world'"),
    "out of order": (
        dict(results=swapped(GOOD.results, 4, 5)), "results in the order of the sensor, each once", "1 results came"),
    "the node counts too few": (
        dict(counted=72), "frames not answered were replaced by newer ones", "75 messages .* counts 72"),
    "the node could not use some": (
        dict(counted=73, refused={"input cannot be used: encoding 'rgb9'": 2}),
        "frames not answered were replaced by newer ones", "it said 2 times: input cannot be used"),
    "an old frame is answered": (  # arrived in time, and was not the newest when the node was free
        dict(frames=replaced(GOOD.frames, 3, time_s=19 / HZ + 0.25)), "the newest frame wins",
        "1 frames were taken when more than 1 newer messages had been published, one with 2"),
    "a frame arrives late": (
        dict(results=replaced(GOOD.results, 4, time_s=19 / HZ + LATENCY_S + 0.25)), "the newest frame wins", "with 2"),
    "not exact": (
        dict(frames=replaced(GOOD.frames, 3, rel_error=2e-4)), "results within 1e-04 of the unsplit model's",
        "frame 10 .split. differs by 2.0e-04"),
    "not a number": (
        dict(frames=replaced(GOOD.frames, 3, rel_error=math.nan)), "results within 1e-04 of the unsplit model's",
        "nan"),
    "nothing checked": (
        dict(frames=tuple(dataclasses.replace(f, rel_error=-1.0) for f in GOOD.frames)),
        "results within 1e-04 of the unsplit model's", "no frame was compared"),
    "other people": (
        dict(compared=replaced(GOOD.compared, 1, difference="2 people instead of 3")),
        "the same people as the unsplit model", "1 of 5 results differ, the first: 2 people instead of 3"),
    "nothing compared": (dict(compared=()), "the same people as the unsplit model", "no result was compared"),
    "started again": (
        dict(gone=("the server was started again",)), "nodes alive", "server was started again"),
    "the robot grows": (
        dict(memory=tuple(Memory(t / 2, 700.0 + 6 * t, 500.0) for t in range(1, 21))),
        "memory flat (less than 2% more)", r"the robot's memory grew by 4\d.\d MB, 5"),
    "the server grows": (
        dict(memory=tuple(Memory(t / 2, 700.0, 500.0 + 2 * t) for t in range(1, 21))),
        "memory flat (less than 2% more)", "the server's memory grew"),
    "a process was gone": (
        dict(memory=replaced(GOOD.memory, 12, server_MB=0.0)), "memory flat (less than 2% more)",
        "the server's memory was not seen all the time"),
    "the node was gone": (
        dict(counted=-1), "frames not answered were replaced by newer ones", "the node did not say"),
    "memory was not seen": (dict(memory=()), "memory flat (less than 2% more)", "robot.*server"),
}


@pytest.mark.parametrize("changes, name, words", BROKEN.values(), ids=BROKEN)
def test_each_broken_promise_is_found(changes, name, words):
    found = [p for p in judge(dataclasses.replace(GOOD, **changes)) if p.broken]
    assert [p.name for p in found] == [name]
    assert re.search(words, found[0].broken), found[0].broken


@pytest.mark.parametrize("changes, names", [
    (dict(results=GOOD.results[:-1], frames=GOOD.frames[:-1], counted=75),  # taken by nobody, replaced by nobody
     {"frames not answered were replaced by newer ones", "nothing lost at the end"}),
    (dict(results=GOOD.results + GOOD.results[-1:]),
     {"every accepted frame answered", "results in the order of the sensor, each once"}),
    (dict(results=replaced(GOOD.results, 4, stamp=5)),
     {"every accepted frame answered", "stamps and frame_ids kept", "results in the order of the sensor, each once",
      "frames not answered were replaced by newer ones"}),
    (dict(results=(), frames=(), memory=(), compared=(), counted=0),
     {"every accepted frame answered", "frames not answered were replaced by newer ones", "nothing lost at the end",
      "results within 1e-04 of the unsplit model's", "the same people as the unsplit model",
      "memory flat (less than 2% more)"}),
    (dict(sent=(), results=(), frames=(), counted=0),
     {"every accepted frame answered", "nothing lost at the end", "results within 1e-04 of the unsplit model's"}),
], ids=["the last lost", "a result twice", "a stamp that nobody sent", "nothing came", "nothing was sent"])
def test_what_breaks_several(changes, names):
    assert {p.name for p in judge(dataclasses.replace(GOOD, **changes)) if p.broken} == names


def test_memory_that_shrinks_or_grows_a_little_is_flat():
    for step in (-3.0, 0.5):
        memory = tuple(Memory(t / 2, 700.0 + step * t, 500.0) for t in range(1, 21))
        assert not any(p.broken for p in judge(make_record(memory=memory)))
    warm_up = tuple(Memory(t / 2, 100.0 * t if t < 7 else 700.0, 500.0) for t in range(1, 21))
    assert not any(p.broken for p in judge(make_record(memory=warm_up))), "the first third does not count"


def test_decided_ties_are_told_and_kept():
    record = make_record(compared=replaced(GOOD.compared, 0, ties=2))
    found, = [p for p in judge(record) if "unsplit model" in p.name and "within" not in p.name]
    assert not found.broken and "2 decided differently" in found.figures


def test_how_old_a_frame_may_be():
    assert [most_age(rate) for rate in (0.5, 2.0, 10.0, 30.0)] == [1, 1, 1, 3]


def test_there_and_back(tmp_path):
    path = str(tmp_path / "soak.json")
    GOOD.to_json(path)
    assert SoakRecord.from_json(path) == GOOD
    data = json.loads(open(path).read())
    for change, words in ((dict(format=2), "format 2"), (dict(sent=[{"stamp": 1}]), "time_s"),
                          (dict(colour="red"), "no field colour")):
        with open(path, "w") as file:
            json.dump(dict(data, **change), file)
        with pytest.raises(RecordError, match=words):
            SoakRecord.from_json(path)
