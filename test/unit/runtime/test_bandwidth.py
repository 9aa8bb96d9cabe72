"""The bandwidth estimate against links whose bandwidth is known, made and recorded."""
import math
import random
import statistics
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intra_dp_ros.runtime.bandwidth import STALE_S, BandwidthEstimator
from intra_dp_ros.wire.messages import Ack
from intra_dp_ros.wire.shaper import SLICE_BYTES, Trace, TraceShaper

ROOT = Path(__file__).resolve().parents[3]
RECORDED = ROOT.parent / "shared" / "data" / "bandwidth_traces"
TILE = 65000
FAR_CLOCK = 5000.0  # the receiver's clock has nothing to do with the sender's


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def ack(sequence, received, nbytes=TILE, frame=1, session=1):
    return Ack("robot", session, frame, sequence, nbytes, received)


def arrivals(shaper, begin, nbytes, count, think=0.0, window=2):
    """When the tiles of one frame arrive: a new one is sent when the last but one is there, and `think` later [s]."""
    times = []
    for index in range(count):
        begin = max(begin, times[index - window] if index >= window else 0.0) + think
        left, done = nbytes, begin
        while left > 0:
            piece = SLICE_BYTES if left >= 2 * SLICE_BYTES else left
            done = shaper.departure(max(begin, done), piece, "up")
            left -= piece
        times.append(done)
    return times


def play(trace, seconds, tiles=20, nbytes=TILE, pause=0.1, jitter=0.0003, frame=None):
    """(time, estimate, true rate) at every acknowledgement of frames sent through a link of this trace."""
    clock, noise, shaper = Clock(), random.Random(0), TraceShaper(trace)
    estimator, points, begin, number = BandwidthEstimator("robot", clock), [], 0.0, 0
    while begin < seconds:
        number += 1
        for sequence, done in enumerate(arrivals(shaper, begin, nbytes, tiles)):
            seen = max(clock.now, done + noise.expovariate(1 / jitter))
            clock.now = seen
            estimator.on_ack("up", ack(sequence, FAR_CLOCK + seen, nbytes, number if frame is None else frame))
            sample = estimator.sample()
            if sample.confidence > 0:
                points.append((seen, sample.up, trace.rate(done - 1e-6)))
        begin = done + pause
    return points


def median_error(points):
    return statistics.median(abs(estimate - true) / true for _, estimate, true in points if true > 0)


@pytest.mark.parametrize("rate", [0.2e6, 1e6, 5e6, 12e6, 30e6])
@pytest.mark.parametrize("nbytes, tiles", [(TILE, 20), (20000, 8)])
def test_constant_rates(rate, nbytes, tiles):
    points = play(Trace.constant(rate), 10.0, tiles, nbytes)
    assert median_error(points) < 0.15
    assert max(estimate for _, estimate, _ in points) < 2 * rate


def test_the_trace_of_the_demo():
    assert median_error(play(Trace.read(str(ROOT / "config/traces/indoors_like.csv")), 60.0)) < 0.25


@pytest.mark.parametrize("name", ["indoors", "outdoors"])
def test_recorded_traces(name, record_property):
    path = RECORDED / (name + ".csv")
    if not path.exists():
        pytest.skip("the recorded trace {} is not here".format(name))
    error = median_error(play(Trace.read(str(path)), 120.0))
    record_property("median relative error", error)
    print("{}: median relative error {:.3f}".format(name, error))
    assert error < 0.25


def test_probe_trains():
    points = play(Trace.constant(5e6), 10.0, tiles=4, nbytes=8200, pause=0.4, frame=0)
    assert len(points) > 50
    assert median_error(points) < 0.25


def test_a_drop_and_a_rise_are_followed():
    points = play(Trace([0.0, 5.0], [10e6, 1e6], 10.0), 20.0)
    assert any(t < 5.0 for t, _, _ in points)
    for t, estimate, true in points:
        if t % 5.0 > 0.75 and t > 1.0:
            assert estimate == pytest.approx(true, rel=0.3), t


def test_waiting_for_the_application_is_not_the_link():
    """A burst, then rows that come one tile at a time as they are computed."""
    clock, trace = Clock(), Trace.constant(10e6)
    estimator = BandwidthEstimator("robot", clock)
    for frame in range(1, 5):
        shaper = TraceShaper(trace)
        burst = arrivals(shaper, frame, TILE, 15)
        computed = arrivals(shaper, burst[-1], TILE, 5, think=0.04)
        for sequence, clock.now in enumerate(burst + computed):
            estimator.on_ack("up", ack(sequence, clock.now, frame=frame))
            sample = estimator.sample()
            if sample.confidence > 0:
                assert sample.up == pytest.approx(10e6, rel=0.05)


def test_pauses_between_frames_do_not_count():
    estimator = BandwidthEstimator("robot", Clock())
    for frame in range(1, 50):
        estimator.on_ack("up", ack(frame, frame * 1.0, frame=frame))
    assert estimator.sample().source == "none"


def test_small_tiles_alone_tell_nothing_but_their_bytes_count():
    estimator, now = BandwidthEstimator("robot", Clock()), 0.0
    for sequence in range(20):
        estimator.on_ack("up", ack(sequence, sequence * 0.01, 1000))
    assert estimator.sample().source == "none"
    for sequence in range(20, 60):
        nbytes = 1000 if sequence % 2 else TILE
        now += nbytes / 1e6
        estimator.on_ack("up", ack(sequence, 0.19 + now, nbytes))
    assert estimator.sample().up == pytest.approx(1e6, rel=0.05)


def test_what_was_never_measured():
    sample = BandwidthEstimator("robot", Clock()).sample()
    assert (sample.up, sample.down, sample.rtt, sample.confidence, sample.source) == (0.0, 0.0, 0.0, 0.0, "none")
    assert sample.age == math.inf and sample.robot_id == "robot"


def test_age_takes_confidence_away():
    clock = Clock()
    estimator = BandwidthEstimator("robot", clock)
    for sequence in range(8):
        estimator.on_ack("up", ack(sequence, sequence * 0.065))
    fresh = estimator.sample()
    assert (fresh.up, fresh.age, fresh.confidence, fresh.source) == (pytest.approx(1e6), 0.0, 1.0, "traffic")
    assert fresh.down == fresh.up, "down is up until it is measured"
    confidences = []
    for _ in range(7):
        clock.now += STALE_S / 8
        confidences.append(estimator.sample().confidence)
    assert confidences == sorted(confidences, reverse=True) and confidences[-1] > 0
    clock.now = STALE_S
    stale = estimator.sample()
    assert (stale.up, stale.down, stale.confidence, stale.source) == (0.0, 0.0, 0.0, "none")
    assert stale.age == STALE_S


def test_directions_are_apart_and_probes_are_named():
    estimator = BandwidthEstimator("robot", Clock())
    for sequence in range(8):
        estimator.on_ack("up", ack(sequence, sequence * 0.065, frame=0))
        estimator.on_ack("down", ack(sequence, sequence * 0.0325))
    sample = estimator.sample()
    assert (sample.up, sample.down) == (pytest.approx(1e6), pytest.approx(2e6))
    assert sample.source == "probe"
    with pytest.raises(ValueError, match="sideways"):
        estimator.on_ack("sideways", ack(0, 0.0))


def test_least_round_trip_of_five_seconds():
    clock = Clock()
    estimator = BandwidthEstimator("robot", clock)
    for clock.now, trip in [(0.0, 0.004), (1.0, 0.002), (2.0, 0.003), (3.0, 0.005), (3.5, math.nan), (3.5, -1.0)]:
        estimator.on_rtt(trip)
    assert estimator.sample().rtt == 0.002
    clock.now = 6.5
    assert estimator.sample().rtt == 0.003
    clock.now = 9.0
    assert estimator.sample().rtt == 0.0


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(-10, 10) | st.sampled_from([math.nan, 1e300]), st.integers(0, 2 ** 32 - 1),
                          st.integers(0, 2), st.integers(0, 2)), max_size=30))
def test_nonsense_gives_no_nonsense(acks):
    """A server that restarts, or lies, moves the estimate at most; nothing breaks."""
    estimator = BandwidthEstimator("robot", Clock())
    for sequence, (received, nbytes, frame, session) in enumerate(acks):
        estimator.on_ack("up", ack(sequence, received, nbytes, frame, session))
        sample = estimator.sample()
        assert 0.0 <= sample.up < math.inf and 0.0 <= sample.confidence <= 1.0
