"""Records kept in files, and the numbers made of them."""
import dataclasses
import json
import math

import pytest

from demo_records import make_record, make_sample
from intra_dp_ros.bench.record import DemoRecord, FrameSample, RecordError, Span
from intra_dp_ros.bench.summary import headline, summarise, text_summary


@pytest.fixture(scope="module")
def record():
    return make_record()


def hand_made(**changes):
    samples = (
        make_sample("local", 0, latency_ms=400.0, energy_j=4.0, bytes_up=0, bytes_down=0, outcome="local"),
        make_sample("local", 1, latency_ms=500.0, energy_j=6.0, bytes_up=0, bytes_down=0, outcome="local"),
        make_sample("offload", 0, latency_ms=300.0, energy_j=2.0, bytes_up=900, bytes_down=10, rel_error=2e-7),
        make_sample("intra_dp", 0, latency_ms=100.0, energy_j=1.0, bytes_up=500, bytes_down=20, predicted_ms=90.0),
        make_sample("intra_dp", 1, latency_ms=120.0, energy_j=2.0, bytes_up=600, bytes_down=20, predicted_ms=0.0),
        make_sample("intra_dp", 2, latency_ms=320.0, energy_j=6.0, bytes_up=700, bytes_down=50, predicted_ms=110.0,
                    outcome="takeover", reason="link silent", rel_error=5e-7),
    )
    values = dict(samples=samples, frames_in={"local": 2, "offload": 2, "intra_dp": 3})
    values.update(changes)
    return make_record(**values)


def test_arithmetic():
    summary = summarise(hand_made())
    row = summary["strategies"]["intra_dp"]
    assert list(summary["strategies"]) == ["local", "offload", "intra_dp"]
    assert (row["frames"], row["median_ms"], row["mean_ms"]) == (3, 120.0, 180.0)
    assert row["p95_ms"] == pytest.approx(120.0 + 0.9 * 200.0)  # 95 % of the way from frame 0 to frame 2
    assert (row["energy_j"], row["bytes_up"], row["bytes_down"]) == (3.0, 600.0, 30.0)
    assert summary["strategies"]["local"]["median_ms"] == 450.0
    assert (summary["frames_in"], summary["frames_answered"], summary["frames_lost"]) == (7, 6, 1)
    assert (summary["frames_checked"], summary["max_rel_error"]) == (2, 5e-7)
    assert summary["predicted_ms"] == 100.0  # frames without a prediction do not count
    assert summary["outcomes"] == {"local": 2, "split": 3, "takeover": 1}
    assert summary["takeover_reasons"] == {"link silent": 1}
    assert (summary["better_simple"], summary["speed_up"]) == ("offload", 2.5)
    assert (summary["mean_bandwidth_MBps"], summary["robot_slowdown"]) == (11.625, 3.0)
    assert json.loads(json.dumps(summary)) == summary


def test_nothing_answered_or_checked():
    summary = summarise(hand_made(samples=()))
    assert summary["strategies"]["local"] == {
        "frames": 0, "median_ms": None, "mean_ms": None, "p95_ms": None, "energy_j": None, "bytes_up": None,
        "bytes_down": None, "outcomes": {"local": 0, "split": 0, "takeover": 0}}
    assert (summary["frames_lost"], summary["max_rel_error"], summary["speed_up"]) == (7, -1.0, None)
    assert "No frame was answered" in text_summary(summary) and "no result was compared" in text_summary(summary)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_result_that_is_not_finite_is_not_hidden(bad):
    samples = (make_sample(rel_error=1e-7), make_sample(rel_error=bad))
    assert summarise(hand_made(samples=samples))["max_rel_error"] == math.inf


@pytest.mark.parametrize("own_ms, words", [(100.0, "2.00 x as fast as offload"), (400.0, "0.50 x as fast as offload"),
                                           (201.0, "as fast as offload.")])
def test_the_headline_tells_whichever_way_it_went(own_ms, words):
    latencies = {"local": 500.0, "offload": 200.0, "intra_dp": own_ms}
    samples = tuple(make_sample(s, latency_ms=ms) for s, ms in latencies.items())
    assert words in headline(summarise(hand_made(samples=samples)))


def test_text_has_a_row_for_every_strategy():
    lines = text_summary(summarise(hand_made())).splitlines()
    cells = {line.split()[0]: line.split()[1:] for line in lines[2:5]}
    assert cells["intra_dp"] == ["3", "120", "180", "300", "3.00", "0.6", "0.0"]
    assert len({len(line) for line in lines[:5]}) == 1
    text = "\n".join(lines)
    assert "7 frames in, 6 answered, 1 lost" in text and "taken over 1 x: link silent" in text
    assert "slowing this machine's computing down 3 x" in text and "mean per frame" in text


def test_record_round_trip(tmp_path, record):
    path = str(tmp_path / "record.json")
    record.to_json(path)
    assert DemoRecord.from_json(path) == record


@pytest.mark.parametrize("change, words", [
    (lambda d: d.update(format=99), "format 99"),
    (lambda d: d.pop("samples"), "samples"),
    (lambda d: d.pop("machine"), "machine"),
    (lambda d: d.update(colour="red"), "no field colour"),
    (lambda d: d["samples"][0].update(outcome="lost"), "outcome 'lost'"),
    (lambda d: d["samples"][0].update(parts={"lunch": 1.0}), "lunch"),
    (lambda d: d["measured_spans"][0].update(lane="road"), "lane 'road'"),
])
def test_files_that_are_no_record(tmp_path, record, change, words):
    path = tmp_path / "record.json"
    record.to_json(str(path))
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(RecordError, match=words):
        DemoRecord.from_json(str(path))
    for text in ("[]", "{", ""):
        path.write_text(text)
        with pytest.raises(RecordError, match="no demo record"):
            DemoRecord.from_json(str(path))


def test_spans_run_forwards_and_records_are_frozen():
    with pytest.raises(RecordError, match="before it starts"):
        Span("robot", 2.0, 1.0, "x")
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_sample().frame = 3
    assert isinstance(make_sample(), FrameSample)
