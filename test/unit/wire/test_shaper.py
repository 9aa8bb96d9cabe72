"""The arithmetic of shaped links, against integrals computed in another way."""
import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intra_dp_ros.wire.shaper import SMALL_BYTES, Trace, TraceShaper

STEPS = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 50)), min_size=1, max_size=6)  # (quarter seconds, byte/s)


def make(steps):
    times = [sum(n for n, _ in steps[:i]) / 4 for i in range(len(steps))]
    return Trace(times, [r for _, r in steps], sum(n for n, _ in steps) / 4)


def integral(steps, start, stop):
    """Bytes in [start, stop), step by step in exact fractions."""
    total, begin = Fraction(0), Fraction(0)
    while begin < stop:
        for quarters, rate in steps:
            end = begin + Fraction(quarters, 4)
            total += rate * max(Fraction(0), min(end, stop) - max(begin, start))
            begin = end
    return total


def emptied(steps, start, nbytes):
    """When nbytes from `start` on are through, step by step in exact fractions."""
    begin = Fraction(0)
    while True:
        for quarters, rate in steps:
            end = begin + Fraction(quarters, 4)
            if end > start and rate:
                done = max(begin, start) + Fraction(nbytes) / rate
                if done <= end:
                    return done
                nbytes -= rate * (end - max(begin, start))
            begin = end


@given(STEPS, st.integers(0, 400), st.integers(0, 400))
@settings(deadline=None)
def test_carried_is_the_integral_of_the_rate(steps, a, b):
    a, b = sorted((Fraction(a, 8), Fraction(b, 8)))
    trace = make(steps)
    assert trace.carried(float(b)) - trace.carried(float(a)) == pytest.approx(float(integral(steps, a, b)), abs=1e-6)


@given(STEPS, st.integers(0, 400), st.integers(1, 2000))
@settings(deadline=None)
def test_finish_is_when_the_integral_reaches_the_bytes(steps, start, nbytes):
    found = make(steps).finish(start / 8, nbytes)
    if not any(rate for _, rate in steps):
        assert found == math.inf
    else:
        assert found == pytest.approx(float(emptied(steps, Fraction(start, 8), nbytes)), rel=1e-9, abs=1e-9)


@given(STEPS, st.integers(0, 1000))
@settings(deadline=None)
def test_rate_is_that_of_the_step(steps, eighths):
    rest = Fraction(eighths, 8) % sum(Fraction(n, 4) for n, _ in steps)
    for quarters, rate in steps:
        if rest < Fraction(quarters, 4):
            break
        rest -= Fraction(quarters, 4)
    assert make(steps).rate(eighths / 8) == rate


@pytest.mark.parametrize("rates, start, nbytes, done", [
    ([0, 5], 0.25, 0, 0.25), ([0, 5], 0.25, 5, 2.0), ([0, 5], 0.25, 10, 4.0), ([5, 0], 0.25, 5, 2.25),
    ([5, 0], 0.0, 5, 1.0), ([5, 0], 1.5, 10, 5.0), ([0, 0], 0.0, 0, 0.0), ([0, 0], 0.0, 1, math.inf)])
def test_bytes_that_fill_a_round_leave_in_it(rates, start, nbytes, done):
    """Not after the pause that follows."""
    assert Trace([0, 1], rates, 2).finish(start, nbytes) == done


@pytest.mark.parametrize("times, rates, period", [
    ([], [], 1), ([0], [1, 2], 1), ([1], [1], 2), ([0, 0], [1, 1], 2), ([0, 3], [1, 1], 2), ([0], [-1], 1),
    ([0], [math.inf], 1), ([0], [math.nan], 1), ([0], [1], math.inf), ([0], [1], math.nan), ([0], [1], 0)])
def test_impossible_traces(times, rates, period):
    with pytest.raises(ValueError, match="trace"):
        Trace(times, rates, period)


def test_trace_files(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("t_s,MBps\n5.0,1\n5.1,2\n5.2,0\n")
    trace = Trace.read(str(path), scale=0.5)
    assert [trace.rate(t) for t in (0.05, 0.15, 0.25, 0.35)] == [5e5, 1e6, 0, 5e5]
    assert trace.period == pytest.approx(0.3)
    for text in ("", "t_s\n1\n", "t_s,MBps\n0,fast\n", "t_s,MBps\n1,1\n0,1\n"):
        path.write_text(text)
        with pytest.raises(ValueError, match="trace.csv"):
            Trace.read(str(path))


REQUESTS = st.lists(st.tuples(st.floats(0, 3), st.integers(SMALL_BYTES, 50000), st.sampled_from(("up", "down"))),
                    min_size=1, max_size=12)


@given(REQUESTS, st.booleans())
@settings(deadline=None)
def test_bulk_is_first_come_first_served_within_its_air(requests, half):
    """Per air, each message takes what the trace carries from when the one before has left."""
    steps = [(2, 100000), (1, 1000), (3, 20000)]
    shaper, free, now = TraceShaper(make(steps), half_duplex=half, origin=100.0), {}, 0.0
    for wait, nbytes, direction in requests:
        now += wait
        air = "both" if half else direction
        begin = max(now, free.get(air, 0.0))
        free[air] = float(emptied(steps, Fraction(begin), nbytes))
        assert shaper.departure(100.0 + now, nbytes, direction) == pytest.approx(100.0 + free[air], abs=1e-6)


@pytest.mark.parametrize("half, down", [(True, 2.0), (False, 1.0)])
def test_half_duplex_shares_and_full_duplex_does_not(half, down):
    shaper = TraceShaper(Trace.constant(1e5), half_duplex=half)
    assert shaper.departure(0.0, 100000, "up") == pytest.approx(1.0)
    assert shaper.departure(0.0, 100000, "down") == pytest.approx(down)


def test_small_messages_overtake_bulk_but_take_from_it():
    shaper = TraceShaper(Trace.constant(1e4))
    assert shaper.departure(0.0, 100000, "up") == pytest.approx(10.0)
    assert shaper.departure(0.0, 1000, "down") == pytest.approx(0.1)
    assert shaper.departure(0.0, 1000, "up") == pytest.approx(0.2)
    assert shaper.departure(0.0, 10000, "up") == pytest.approx(11.2)


def test_a_restart_forgets_what_waited():
    shaper = TraceShaper(make([(4, 1000), (4, 2000)]), origin=10.0)
    assert shaper.departure(11.0, 2000000, "up") > 1000.0
    shaper.restart(12.5)
    assert shaper.rate(12.6) == 1000 and shaper.rate(13.6) == 2000
    assert shaper.departure(12.5, 3000, "down") == pytest.approx(14.5)


@pytest.mark.parametrize("wrong", [lambda: TraceShaper(Trace.constant(1), delay=-1.0),
                                   lambda: TraceShaper(Trace.constant(1)).departure(0.0, 1, "left")])
def test_impossible_shapers(wrong):
    with pytest.raises(ValueError, match="expected"):
        wrong()


def test_the_highest_bandwidth_of_a_while():
    trace = Trace([0.0, 1.0, 2.0, 3.0], [5.0, 4.0, 2.0, 3.0], 4.0)
    spans = (0.5, 0.9), (0.5, 1.5), (1.5, 2.5), (2.2, 2.9), (2.2, 3.1), (3.5, 4.5), (11.1, 13.0), (6.0, 60.0)
    assert [trace.highest(*span) for span in spans] == [5.0, 5.0, 4.0, 2.0, 3.0, 5.0, 5.0, 5.0]
    assert Trace.constant(3.0).highest(7.0, 7.1) == 3.0
