"""Predicted timelines against costs computed by hand and by bookkeeping of another kind."""
import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from intra_dp_ros.graph.record import record
from intra_dp_ros.loss.baselines import local, neurosurgeon, offload
from intra_dp_ros.loss.baselines.neurosurgeon import cut_plan
from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.link_model import FULL, HALF, LinkModel
from intra_dp_ros.loss.objective import SLOWER, Objective
from intra_dp_ros.loss.population import Population
from intra_dp_ros.loss.profile import Profile
from intra_dp_ros.loss.queues import outcomes
from intra_dp_ros.loss.search import baseline_plans, search
from intra_dp_ros.loss.staircase import ROBOT_CHUNKS, RAW_CHUNKS, Genome, Staircase
from intra_dp_ros.loss.staircase import GRAINS
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.plan import DOWN, UP, PlanError, complete, validate
from intra_dp_ros.lop.tiling import Tiling

ROWS, ROW_BYTES = 12, 4 * 8 * 4  # of the chain's input: 12 rows of 8 columns, 4 channels, float32


def chain(*layers):
    net = torch.nn.Sequential(*layers).eval()
    return Tiling(record(net, (torch.zeros(1, 4, ROWS, 8),)).graph)


def profile(tiling, a, b, device="x"):
    count = len(tiling.rules)
    return Profile(tiling.graph.hash, device, (float(a),) * count, (float(b),) * count)


def random_profile(tiling, seed):
    draw = random.Random(seed)
    count = len(tiling.rules)
    return Profile(tiling.graph.hash, "x", tuple(draw.uniform(0, 2) for _ in range(count)),
                   tuple(draw.uniform(0.01, 0.5) for _ in range(count)))


@pytest.fixture(scope="module")
def pointwise():
    return chain(torch.nn.ReLU(), torch.nn.Sigmoid())  # no halo: every row by itself


@pytest.fixture(scope="module")
def branchy():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = torch.nn.Conv2d(4, 4, 3, 1, 1), torch.nn.Conv2d(4, 4, 5, 2, 2)

        def forward(self, x):
            y = self.a(x)
            y = self.b(torch.cat([x, y], 1)[:, 2:6])
            return torch.nn.functional.max_pool2d(y + y.sigmoid(), 3, 1, 1).mean((2, 3))
    return Tiling(record(Net().eval(), (torch.zeros(1, 4, ROWS, 8),)).graph)


def test_local_is_the_sum(pointwise):
    timeline = Timeline(pointwise, profile(pointwise, 2, 0.5), profile(pointwise, 9, 9))
    found = timeline.predict(local.plan(pointwise, timeline, LinkModel(0.0, 0.0)), LinkModel(0.0, 0.0))
    assert found.latency_s == pytest.approx(2 * (2 + 0.5 * ROWS) / 1e3)
    assert found.energy_j == pytest.approx(found.latency_s * PowerModel().compute)
    assert found.bytes_up == found.bytes_down == found.server_busy_s == 0


def test_offload_by_hand(pointwise):
    timeline = Timeline(pointwise, profile(pointwise, 50, 50), profile(pointwise, 1, 0.25))
    link = LinkModel(1e5, 2e5, 0.01, HALF, 0.001)
    size = ROWS * ROW_BYTES
    found = timeline.predict(offload.plan(pointwise, timeline, link), link)
    expected = (0.001 + size / 1e5 + 0.005) + 2 * (1 + 0.25 * ROWS) / 1e3 + (0.001 + size / 2e5 + 0.005)
    assert found.latency_s == pytest.approx(expected)
    assert (found.bytes_up, found.bytes_down) == (size, size)


def test_streamed_offload_by_hand(pointwise):
    """Three pieces: the server computes one while the next is in the air; the air is the slower of the two."""
    timeline = Timeline(pointwise, profile(pointwise, 50, 50), profile(pointwise, 1, 0.25))
    link = LinkModel(1e5, 1e9, 0.01, FULL, 0.0)
    third, piece = ROWS // 3, 4 * ROW_BYTES / 1e5
    compute = 2 * (1 + 0.25 * third) / 1e3
    assert compute < piece
    found = timeline.predict(offload.plan(pointwise, timeline, link, chunks=3), link)
    last_layer_of_last_piece = 3 * piece + 0.005 + compute
    assert found.latency_s == pytest.approx(last_layer_of_last_piece + 0.005 + third * ROW_BYTES / 1e9)


def test_a_layer_cut_by_hand(pointwise):
    timeline = Timeline(pointwise, profile(pointwise, 3, 1), profile(pointwise, 1, 0.25))
    link = LinkModel(1e5, 1e5)
    size = ROWS * ROW_BYTES / 1e5
    found = timeline.predict(cut_plan(pointwise, 1), link)
    assert found.latency_s == pytest.approx((3 + ROWS) / 1e3 + size + (1 + 0.25 * ROWS) / 1e3 + size)


def test_half_duplex_shares_the_air(pointwise):
    """Rows come back while others still go up: half duplex pays for it, full duplex does not."""
    timeline = Timeline(pointwise, profile(pointwise, 50, 50), profile(pointwise, 0, 1e-6))
    plan = replace(offload.plan(pointwise, timeline, LinkModel(1e5, 1e5), chunks=4), grain=1)
    half, full = (timeline.predict(plan, LinkModel(1e5, 1e5, 0.0, duplex)).latency_s for duplex in (HALF, FULL))
    size = ROWS * ROW_BYTES / 1e5
    assert half == pytest.approx(2 * size, rel=1e-4)
    assert full == pytest.approx(size * 5 / 4, rel=1e-4)


def test_operators_wait_for_a_grain_of_rows(pointwise):
    """Of 12 rows in pieces of 3, grain 5 computes 5 after the second piece and the other 7 after the last."""
    timeline = Timeline(pointwise, profile(pointwise, 50, 50), profile(pointwise, 10, 0.25))
    link = LinkModel(1e4, 1e9)
    for grain, steps in ((1, 4), (4, 3), (5, 2), (7, 1)):
        found = timeline.predict(replace(offload.plan(pointwise, timeline, link, chunks=4), grain=grain), link)
        assert found.server_busy_s == pytest.approx(2 * (10 * steps + 0.25 * ROWS) / 1e3)


def test_waves_by_hand(pointwise):
    """Of 12 rows the first 6, then 3, 2 and the last one: only that is still to be sent when the server is done."""
    timeline = Timeline(pointwise, profile(pointwise, 50, 50), profile(pointwise, 1, 0.25))
    link = LinkModel(1e9, 1e5, 0.0, FULL)
    plan = replace(offload.plan(pointwise, timeline, link), grain=1)
    row, begin = ROW_BYTES / 1e5, ROWS * ROW_BYTES / 1e9
    once, waves = (timeline.predict(replace(plan, waves=n), link) for n in (1, 4))
    assert once.latency_s == pytest.approx(begin + 2 * (1 + 0.25 * ROWS) / 1e3 + ROWS * row)
    done = [begin + 2 * (k + 0.25 * rows) / 1e3 for k, rows in ((1, 6), (2, 9), (3, 11), (4, 12))]
    sent = 0.0
    for when, rows in zip(done, (6, 3, 2, 1)):
        sent = max(sent, when) + rows * row
    assert waves.latency_s == pytest.approx(sent)
    assert waves.server_busy_s - once.server_busy_s == pytest.approx(2 * 3 / 1e3)


def test_codecs_cost_and_save(pointwise):
    timeline = Timeline(pointwise, profile(pointwise, 50, 50), profile(pointwise, 1, 0.25))
    codecs = {"raw": (1.0, 0.0, 0.0), "png": (0.5, 1e-6, 2e-6)}
    link = LinkModel(1e5, 1e9, codecs=codecs)
    size = ROWS * ROW_BYTES
    raw, png = (timeline.predict(offload.plan(pointwise, timeline, link, codec), link) for codec in ("raw", "png"))
    assert png.bytes_up == size / 2
    assert raw.latency_s - png.latency_s == pytest.approx(size / 2 / 1e5 - 3e-6 * size)


def test_tiles_are_encoded_while_others_travel(pointwise):
    """Four tiles: of encoding and decoding only that of one tile is not hidden behind the air."""
    timeline = Timeline(pointwise, profile(pointwise, 50, 50), profile(pointwise, 1, 0.25))
    size = ROWS * ROW_BYTES
    link = LinkModel(1e5, 1e9, codecs={"raw": (1.0, 0.0, 0.0), "png": (0.5, 1e-6, 2e-6)})
    plan = offload.plan(pointwise, timeline, link, "png")
    whole, tiled = (timeline.predict(plan, replace(link, tile_bytes=n)).latency_s for n in (float("inf"), size / 4))
    assert whole - tiled == pytest.approx(3 / 4 * 3e-6 * size)


def test_pieces_keep_their_order_in_the_codecs(pointwise):
    """A band's rows, that cost nothing to encode, wait until the image rows before them are encoded and decoded."""
    timeline = Timeline(pointwise, profile(pointwise, 1, 0), profile(pointwise, 1, 0))
    codecs = {"raw": (1.0, 0.0, 0.0), "png": (1.0, 1e-4, 2e-4)}
    link = LinkModel(1e6, 1e9, duplex=FULL, codecs=codecs)
    split = [ROWS // 2, ROWS]
    inputs = pointwise.graph.inputs
    plan = complete(pointwise, "x", split, split, lambda t, _: "png" if t in inputs else "raw", grain=1)
    half = ROWS // 2 * ROW_BYTES
    decoded = half * 1e-4 + half / 1e6 + half * 2e-4
    assert half * 2e-4 > 0.002 + half / 1e6  # the server is done with the image rows when the others come out
    server = decoded + 0.002 + 0.001  # both operators on the image rows, then the last one on the rest
    assert timeline.predict(plan, link).latency_s == pytest.approx(server + half / 1e9)


def test_no_link_is_infinite_but_ends(pointwise):
    timeline = Timeline(pointwise, profile(pointwise, 1, 1), profile(pointwise, 1, 1))
    plan = offload.plan(pointwise, timeline, LinkModel(1.0, 1.0))
    assert timeline.predict(plan, LinkModel(0.0, 0.0)).latency_s == math.inf


def test_profiles_of_another_graph_are_refused(pointwise, branchy):
    with pytest.raises(ValueError, match="measure again"):
        Timeline(pointwise, profile(branchy, 1, 1), profile(pointwise, 1, 1))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_plan_is_between_its_bounds(branchy, data):
    """Busy times are what the boundaries say; the latency lies between the longest resource and all in a row."""
    stop = [data.draw(st.integers(0, rule.rows)) for rule in branchy.rules]
    start = [data.draw(st.integers(0, s)) for s in stop]
    plan = complete(branchy, "x", stop, start, up_chunks=data.draw(st.integers(1, 4)),
                    robot_chunks=data.draw(st.integers(1, 4)))
    robot, server = (Profile(branchy.graph.hash, "x", (0.0,) * len(stop), random_profile(branchy, s).b_ms)
                     for s in (1, 2))
    link = LinkModel(data.draw(st.floats(1e3, 1e7)), data.draw(st.floats(1e3, 1e7)), 0.002,
                     data.draw(st.sampled_from([HALF, FULL])))
    found = Timeline(branchy, robot, server).predict(plan, link)
    assert found.server_busy_s == pytest.approx(sum(b * s for b, s in zip(server.b_ms, stop)) / 1e3)
    assert found.robot_busy_s == pytest.approx(
        sum(b * (rule.rows - r) for b, r, rule in zip(robot.b_ms, start, branchy.rules)) / 1e3)
    sent = {d: sum((t.stop - t.start) * branchy.row_bytes[t.tensor] for t in plan.transfers if t.direction == d)
            for d in (UP, DOWN)}
    assert (found.bytes_up, found.bytes_down) == (sent[UP], sent[DOWN])
    air = sent[UP] / link.up, sent[DOWN] / link.down
    pieces = len([s for s in found.spans if s.lane in ("uplink", "downlink")])
    together = found.robot_busy_s + found.server_busy_s + sum(air) + pieces * link.rtt_s
    assert found.robot_busy_s - 1e-12 <= found.latency_s <= together + 1e-9
    if found.bytes_down:
        assert found.latency_s >= air[1]
    assert all(s.start_s <= s.stop_s for s in found.spans)
    for lane in ("robot", "server", "uplink", "downlink"):  # a resource does one thing at a time
        spans = sorted((s.start_s, s.stop_s) for s in found.spans if s.lane == lane)
        assert all(a[1] <= b[0] + 1e-12 for a, b in zip(spans, spans[1:]))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_staircases_are_plans(branchy, data):
    space = Staircase(branchy)
    cuts = sorted(data.draw(st.integers(0, len(space.cuts) - 1)) for _ in range(3))
    genome = Genome(cuts[0], data.draw(st.floats(0, 1)), cuts[1], data.draw(st.floats(0, 1)), cuts[2],
                    data.draw(st.integers(0, len(RAW_CHUNKS) - 1)), data.draw(st.integers(0, len(ROBOT_CHUNKS) - 1)))
    validate(branchy, space.plan(genome))


def test_cuts_out_of_order_are_refused(branchy):
    with pytest.raises(PlanError, match="order"):
        Staircase(branchy).plan(Genome(1, 0.5, 0, 0.5, 1, 0, 0))


def test_neurosurgeon_is_the_best_of_all_cuts(branchy):
    timeline = Timeline(branchy, random_profile(branchy, 3), random_profile(branchy, 4).scaled(0.1))
    for rate in (1e4, 1e5, 1e6, 1e7):
        link = LinkModel(rate, rate)
        every = [timeline.predict(cut_plan(branchy, c), link).latency_s for c in range(len(branchy.rules) + 1)]
        assert timeline.predict(neurosurgeon.plan(branchy, timeline, link), link).latency_s == pytest.approx(min(every))


def test_search_against_brute_force(pointwise):
    """On a chain without halo every plan of two bands can be tried; the search must come close to the best."""
    timeline = Timeline(pointwise, profile(pointwise, 0.5, 1.0), profile(pointwise, 0.5, 0.25))
    for rate in (2e4, 1e5, 5e5):
        link = LinkModel(rate, rate, 0.002)
        best = math.inf
        for y in range(ROWS + 1):
            for chunks in (1, 2, 4):
                for robot_chunks in (1, 2, 4):
                    for deep in (0, 1, 2):
                        split = [y if v < deep else ROWS for v in range(2)]
                        plan = complete(pointwise, "x", split, split, up_chunks=chunks, robot_chunks=robot_chunks)
                        best = min(best, timeline.predict(plan, link).latency_s)
        found = search(pointwise, timeline, link)
        validate(pointwise, found)
        assert timeline.predict(found, link).latency_s <= 1.05 * best
        assert found.predicted_ms == pytest.approx(timeline.predict(found, link).latency_s * 1e3)


@pytest.mark.parametrize("rate", [3e4, 1e5, 4e5, 2e6])
def test_search_against_every_boundary(rate):
    """With halo: all pairs of boundaries of a small chain."""
    tiling = Tiling(record(torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3, 1, 1), torch.nn.Conv2d(4, 1, 3, 2, 1)).eval(),
                           (torch.zeros(1, 4, 8, 8),)).graph)
    timeline = Timeline(tiling, profile(tiling, 0.5, 1.0), profile(tiling, 0.3, 0.3))
    link = LinkModel(rate, rate, 0.002, per_message_s=0.0003)
    pairs = [[(s, r) for s in range(rule.rows + 1) for r in range(s + 1)] for rule in tiling.rules]
    every = np.array([(a, b, x, y) for a in pairs[0] for b in pairs[1] for x in (1, 2, 4, 8) for y in (1, 2, 4, 8)],
                     dtype=object)
    stop, start = (np.array([[a[i], b[i]] for a, b, _, _ in every]) for i in range(2))
    chunks = every[:, 2].astype(int), every[:, 3].astype(int)
    best = math.inf
    for grain in GRAINS:
        ones = np.ones(len(every), int)
        work, is_outside = Population(timeline).work(stop, start, *chunks, grain * ones, ones)
        best = min(best, outcomes(work, [link]).latency_s[~is_outside].min())
    found = timeline.predict(search(tiling, timeline, link, objective=Objective("weighted", 0.0)), link).latency_s
    assert best - 1e-12 <= found <= 1.05 * best, "for latency alone"


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10 ** 6), st.integers(10 ** 3, 10 ** 6), st.sampled_from([1, 4]), st.integers(1, 10),
       st.sampled_from([HALF, FULL]))
def test_more_bandwidth_never_slows_offload(branchy, seed, rate, chunks, factor, duplex):
    timeline = Timeline(branchy, random_profile(branchy, seed), random_profile(branchy, seed + 1))
    slow, fast = (LinkModel(r, r, 0.002, duplex) for r in (rate, rate * factor))
    plan = offload.plan(branchy, timeline, slow, chunks=chunks)
    assert timeline.predict(plan, fast).latency_s <= timeline.predict(plan, slow).latency_s + 1e-12


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10 ** 6), st.floats(1e3, 1e7), st.sampled_from([HALF, FULL]))
def test_search_is_never_worse_than_a_baseline(branchy, seed, rate, duplex):
    timeline = Timeline(branchy, random_profile(branchy, seed), random_profile(branchy, seed + 1).scaled(0.2))
    link = LinkModel(rate, rate, 0.002, duplex)
    found = search(branchy, timeline, link, generations=2)
    validate(branchy, found)
    latency = timeline.predict(found, link).latency_s
    fastest = min(timeline.predict(p, link).latency_s for p in baseline_plans(branchy, timeline, [link])[0])
    assert latency <= SLOWER * fastest
    alone = search(branchy, timeline, link, objective=Objective("weighted", 0.0), generations=2)
    assert timeline.predict(alone, link).latency_s <= fastest
    assert search(branchy, timeline, link, generations=2) == found


def test_of_plans_nearly_as_fast_the_thriftier(branchy):
    saved = 0
    for seed in range(6):
        timeline = Timeline(branchy, random_profile(branchy, seed), random_profile(branchy, seed + 1).scaled(0.3))
        for rate in (1e4, 1e5, 1e6):
            link = LinkModel(rate, rate, 0.002)
            thrifty, fastest = (timeline.predict(search(branchy, timeline, link, objective=o, generations=4), link)
                                for o in (Objective("latency"), Objective("weighted", 0.0)))
            assert thrifty.latency_s <= 1.13 * fastest.latency_s
            saved += thrifty.energy_j < 0.95 * fastest.energy_j
    assert saved


def test_without_a_link_the_search_stays_local(branchy):
    timeline = Timeline(branchy, random_profile(branchy, 1), random_profile(branchy, 2))
    assert search(branchy, timeline, LinkModel(0.0, 0.0)).is_local
