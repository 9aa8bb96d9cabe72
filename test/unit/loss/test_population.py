"""Many candidates at once against the simulation of one, on random graphs, plans, links and codecs."""
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as functional
from hypothesis import given, settings
from hypothesis import strategies as st

from intra_dp_ros.graph.record import record
from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.link_model import FULL, HALF, LinkModel
from intra_dp_ros.loss.population import Population
from intra_dp_ros.loss.profile import Profile
from intra_dp_ros.loss.queues import outcomes
from intra_dp_ros.loss.staircase import GRAINS, RAW_CHUNKS, ROBOT_CHUNKS, WAVES, Genome, Staircase
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.plan import codec_of, complete
from intra_dp_ros.lop.tiling import Tiling

torch.set_num_threads(1)
PEOPLE = 6


class RandomNet(nn.Module):
    """Branches, skips, halos, row changes, and a tail that is global or has several outputs."""

    def __init__(self, draw):
        super().__init__()
        self.kinds = [draw.randrange(6) for _ in range(draw.randint(1, 5))]
        self.tail = draw.randrange(3)
        self.conv = nn.Conv2d(3, 3, (draw.choice([1, 3, 5]), 1), padding=(draw.randint(0, 2), 0))

    def forward(self, x):
        skip = x.float() / 255
        x = skip.relu()
        for kind in self.kinds:
            if kind == 0:
                x = self.conv(x) if x.shape[2] >= 5 else x.tanh()
            elif kind == 1:
                x = functional.max_pool2d(x, (3, 1), (2, 1), (1, 0))
            elif kind == 2:
                x = functional.interpolate(x, scale_factor=(2.0, 1.0), mode="nearest")
            elif kind == 3:
                x = torch.cat([x, x.sigmoid()], 2)[:, :, 1:]  # along the rows
            elif kind == 4:
                x = x + skip if x.shape == skip.shape else functional.pad(x, (0, 0, 1, 2))
            else:
                x = x * x.mean((2, 3), keepdim=True)  # global
        return (x, x.exp().mean(3), x.mean((2, 3)))[:(1, 2, 3)[self.tail]]


def case(seed):
    draw = random.Random(seed)
    torch.manual_seed(seed)
    tiling = Tiling(record(RandomNet(draw).eval(), (torch.zeros(1, 3, draw.randint(5, 15), 2).byte(),)).graph)
    count = len(tiling.rules)
    robot, server = (Profile(tiling.graph.hash, "x", tuple(draw.choice([0, draw.uniform(0, 2)]) for _ in range(count)),
                             tuple(draw.choice([0, draw.uniform(0, 1)]) for _ in range(count))) for _ in range(2))
    codecs = {"raw": (1.0, 0.0, 0.0), "png": (0.5, draw.choice([0, 1e-4]), draw.choice([0, 1e-4]))}
    link = LinkModel(10 ** draw.uniform(3, 6), 10 ** draw.uniform(3, 6), draw.choice([0, 0.004]),
                     draw.choice([HALF, FULL]), draw.choice([0, 0.001]), codecs,
                     draw.choice([float("inf"), 100.0, 10.0]))
    return draw, tiling, Timeline(tiling, robot, server), link, draw.choice(["raw", "png"])


def check(tiling, timeline, link, codec, stops, starts, raw, robot, grain=None, waves=None):
    """Every candidate that is inside the class, on three links at once."""
    grain, waves = grain or [4] * len(stops), waves or [1] * len(stops)
    work, is_outside = Population(timeline).work(*map(np.array, (stops, starts, raw, robot, grain, waves)),
                                                 codec_of(tiling, codec))
    links = [link, replace(link, up=link.up / 7), replace(link, down=link.down * 5)]
    found = outcomes(work, links)
    inputs = tiling.graph.inputs
    for i in np.flatnonzero(~is_outside):
        plan = complete(tiling, "x", stops[i], starts[i], lambda t, _: codec if t in inputs else "raw", raw[i],
                        robot[i], grain[i], waves[i])
        for k, at in enumerate(links):
            expected = timeline.predict(plan, at)
            assert found.latency_s[i, k] == pytest.approx(expected.latency_s, abs=1e-9, rel=0)
            power = PowerModel()  # radio time is exact up to what falls into the robot's last computing
            slack = (power.transmit - power.standby) * expected.latency_s
            assert abs(found.energy_j[i, k] - expected.energy_j) <= slack + 1e-9


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10 ** 6))
def test_any_boundaries(seed):
    draw, tiling, timeline, link, codec = case(seed)
    stops, starts = [], []
    for _ in range(PEOPLE):
        coarse = draw.random() < 0.5
        stops.append([draw.choice([0, r.rows]) if coarse else draw.randint(0, r.rows) for r in tiling.rules])
        starts.append([draw.randint(0, s) for s in stops[-1]])
    check(tiling, timeline, link, codec, stops, starts, [draw.randint(1, 6) for _ in stops],
          *([draw.randint(1, 5) for _ in stops] for _ in range(3)))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10 ** 6))
def test_staircases(seed):
    """A population's boundaries are those of its genomes one by one, and what they cost is what `predict` says."""
    draw, tiling, timeline, link, codec = case(seed)
    space = Staircase(tiling)
    genomes = []
    for _ in range(PEOPLE):
        cuts = sorted(draw.randrange(len(space.cuts)) for _ in range(3))
        genomes.append(Genome(cuts[0], draw.random(), cuts[1], draw.random(), cuts[2],
                              draw.randrange(len(RAW_CHUNKS)), draw.randrange(len(ROBOT_CHUNKS)),
                              draw.randrange(len(GRAINS)), draw.randrange(2), draw.randrange(len(WAVES))))
    stop, start = space.boundaries(genomes)
    check(tiling, timeline, link, codec, stop.tolist(), start.tolist(), [RAW_CHUNKS[g.raw_chunks] for g in genomes],
          [ROBOT_CHUNKS[g.robot_chunks] for g in genomes], [GRAINS[g.grain] for g in genomes],
          [WAVES[g.waves] for g in genomes])
    alone = [space.boundaries([g]) for g in genomes]
    assert (np.concatenate([s for s, _ in alone]) == stop).all()
    assert (np.concatenate([r for _, r in alone]) == start).all()


def test_a_link_that_carries_nothing():
    _, tiling, timeline, _, _ = case(1)
    rows = np.array([[r.rows for r in tiling.rules], [0] * len(tiling.rules)])
    one = np.ones(2, int)
    work, _ = Population(timeline).work(rows, rows, one, one, one, one)
    (offload,), (local,) = outcomes(work, [LinkModel(0.0, 0.0)]).latency_s
    assert offload == float("inf") and np.isfinite(local)


def test_operators_without_rows():
    class Net(nn.Module):
        def forward(self, x):
            x = x.float()
            return torch.cat([x.relu()[:, :, 5:5].exp(), x.sigmoid()], 2)
    tiling = Tiling(record(Net().eval(), (torch.zeros(1, 3, 6, 2),)).graph)
    count = len(tiling.rules)
    times = Profile(tiling.graph.hash, "x", (1.0,) * count, (1.0,) * count)
    assert not all(rule.rows for rule in tiling.rules)
    space = Staircase(tiling)
    genomes = [Genome(0, share, cut, share, len(space.cuts) - 1, 1, 1)
               for cut in range(len(space.cuts)) for share in (0.0, 0.5, 1.0)]
    stop, start = space.boundaries(genomes)
    twos = [2] * len(genomes)
    check(tiling, Timeline(tiling, times, times), LinkModel(1e5, 1e5), "raw", stop.tolist(), start.tolist(), twos, twos)
