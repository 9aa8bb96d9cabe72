"""Frames played over a changing bandwidth against the event simulation, on random graphs and plans."""
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_population import case

from intra_dp_ros.loss.baselines import dina
from intra_dp_ros.loss.frame import Frames
from intra_dp_ros.loss.random_plans import KINDS, random_plan
from intra_dp_ros.wire.shaper import Trace


def link_of(trace, origin):
    return lambda direction, start, nbytes: trace.finish(origin + start, nbytes) - origin


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10 ** 6))
def test_a_frame_takes_what_the_event_simulation_says(seed):
    draw, tiling, timeline, link, _ = case(seed)
    trace = Trace([0.0, 0.3, 0.4, 1.0], [draw.choice([0.0, 1e3]), 2e4, draw.uniform(1, 1e6), 3e3], 2.0)
    for kind in sorted(KINDS):
        plan = random_plan(tiling, kind, draw)
        frames = Frames(timeline, plan, link)
        for origin in (0.0, draw.uniform(0, 5)):
            carrier = link_of(trace, origin)
            expected, found = timeline.predict(plan, link, carrier=carrier), frames.play(carrier)
            assert found.latency_s == pytest.approx(expected.latency_s, abs=1e-9)
            assert found.robot_busy_s == pytest.approx(expected.robot_busy_s, abs=1e-9)
            assert sum(c.nbytes for c in found.crossings) == pytest.approx(expected.bytes_up + expected.bytes_down)
            assert max([c.stop_s for c in found.crossings], default=0.0) == pytest.approx(
                max([c.stop_s for c in expected.crossings], default=0.0), abs=1e-9)


def test_rows_that_nobody_asked_for_travel_as_well():
    """A plan may send more than its boundaries need: the gathering of every layer does."""
    for seed in range(20):
        _, tiling, timeline, link, _ = case(seed)
        plan = dina.split(tiling, 0.5)
        assert Frames(timeline, plan, link).play(link.finish).latency_s == pytest.approx(
            timeline.predict(plan, link).latency_s, abs=1e-9)


def test_a_constant_bandwidth_is_a_trace_too():
    _, tiling, timeline, link, _ = case(3)
    flat = Trace.constant(link.up)
    for kind in sorted(KINDS):
        plan = random_plan(tiling, kind, case(3)[0])
        same = replace(link, down=link.up)
        assert Frames(timeline, plan, link).play(link_of(flat, 0.7)).latency_s == pytest.approx(
            timeline.predict(plan, same).latency_s, rel=1e-9)
