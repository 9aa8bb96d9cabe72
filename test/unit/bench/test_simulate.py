"""Simulated drives: hand-made ones, the command as people run it, and the published figures where they are."""
import json
import os

import numpy as np
import pytest
import torch

from intra_dp_ros.bench import hardware, profile_tool, simulate, take_back
from intra_dp_ros.bench.drive import LOCAL, Drive, where_of
from intra_dp_ros.bench.paper_tables import fidelity, tiling_of
from intra_dp_ros.bench.published import CASES, Data
from intra_dp_ros.bench.simulate import Simulation, summary
from intra_dp_ros.graph.record import record
from intra_dp_ros.loss import device_csv
from intra_dp_ros.loss.link_model import FULL, LinkModel
from intra_dp_ros.loss.pareto import front
from intra_dp_ros.loss.profile import Profile
from intra_dp_ros.loss.table import build
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.wire.shaper import Trace

torch.set_num_threads(1)
DATA = os.path.join(os.path.dirname(__file__), "..", "..", "..", "..", "shared", "data")


@pytest.fixture(scope="module")
def timeline():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = torch.nn.Conv2d(3, 8, 3, 1, 1), torch.nn.Conv2d(8, 4, 3, 2, 1)

        def forward(self, x):
            return self.b(self.a(x / 255).relu()).mean((2, 3))
    tiling = Tiling(record(Net().eval(), (torch.zeros(1, 3, 96, 128).byte(),)).graph)
    times = tuple(60.0 / len(tiling.rules) / rule.rows for rule in tiling.rules)
    robot = Profile(tiling.graph.hash, "robot", (0.0,) * len(times), times)
    return Timeline(tiling, robot, robot.scaled(0.05))


def drive(timeline, strategy, trace, seconds=20.0, **options):
    link = LinkModel(1e6, 1e6, 0.002, FULL, 0.0003)
    return Drive(timeline, build(timeline.tiling, timeline, link, strategy), link, trace, **options).run(seconds)


def test_a_steady_link_is_estimated_and_used(timeline):
    frames = drive(timeline, "offload", Trace.constant(3e6))
    size = 3 * 96 * 128
    steady = frames[10:]
    assert np.median([f.estimate for f in steady]) == pytest.approx(3e6, rel=0.1)
    expected = size / 3e6 + 0.003 + 0.002 + 2 * 0.0003  # air, server, round trip, messages
    assert np.mean([f.latency_s for f in steady]) == pytest.approx(expected, rel=0.02)
    assert all(f.bytes_up == size and f.where == "offload" and not f.taken_over for f in steady)
    assert np.mean([f.predicted_s for f in steady]) == pytest.approx(expected, rel=0.1)


def test_rows_that_could_be_taken_back(timeline):
    """The rest of the input at the new rate, for every plan; rows that are there already cost nothing."""
    link, rates = LinkModel(1e6, 1e6, 0.002, FULL, 0.0003), take_back.rates_below([5e5, 12e6])
    assert rates == [5e5, 1e6, 2e6, 4e6, 8e6] and take_back.rates_below([0.0, 3e5]) == [2e5]
    table = build(timeline.tiling, timeline, link, "offload")
    found = take_back.moments(timeline, table, link, 12e6, rates)
    assert len(found) == 4 * len(rates) and [m.alone_s for m in found] == pytest.approx([0.06] * len(found))
    size, whole = 3 * 96 * 128, 0.003 + 0.002 + 2 * 0.0003  # bytes; server, round trip, messages [s]
    for m in found:
        assert m.planned_s == pytest.approx((1.0 - m.sent) * size / m.rate + whole, rel=0.02)
        assert m.other_s == float("inf")  # one plan at all rates
    assert "no other plan" in take_back.in_words(take_back.figures(found))
    assert "does not fall" in take_back.in_words(take_back.figures([]))
    shared = take_back.figures(take_back.moments(timeline, build(timeline.tiling, timeline, link, "intra_dp"), link,
                                                 12e6, rates))
    assert 0.0 < shared["least"] < 10.0 and 0.0 <= shared["share_sooner"] <= 1.0
    assert "{:.2f}".format(shared["least"]) in take_back.in_words(shared)


def test_frames_follow_one_another(timeline):
    frames = drive(timeline, "intra_dp", Trace([0.0, 3.0], [5e6, 5e5], 6.0))
    for one, other in zip(frames, frames[1:]):
        assert other.began_s == pytest.approx(one.began_s + one.latency_s)
    assert frames[-1].began_s < 20.0 <= frames[-1].began_s + frames[-1].latency_s


def test_a_link_that_dies_is_taken_over_and_found_again(timeline):
    frames = drive(timeline, "offload", Trace([0.0, 2.0, 9.0], [5e6, 0.0, 5e6], 20.0), 18.0)
    taken = [f for f in frames if f.taken_over]
    assert taken and all(f.latency_s >= 0.06 for f in taken)
    assert max(f.latency_s for f in frames) <= 3 * 0.06 + 0.06 + 0.02  # patience, then a local run
    assert [f for f in frames if f.began_s > 12.0 and f.where == "offload" and not f.taken_over]


def test_knowing_the_bandwidth_is_not_worse_on_the_whole(timeline):
    trace = Trace(list(np.arange(0, 20, 0.5)), list(np.random.RandomState(0).uniform(2e5, 6e6, 40)), 20.0)
    known, estimated = (np.mean([f.latency_s for f in drive(timeline, "intra_dp", trace, oracle=o)])
                        for o in (True, False))
    assert known <= estimated * 1.05


def test_kinds_of_plans(timeline):
    rows = [rule.rows for rule in timeline.tiling.rules]
    plans = build(timeline.tiling, timeline, LinkModel(1e6, 1e6), "offload").plans
    assert {where_of(p, rows) for p in plans} == {LOCAL, "offload"}


@pytest.mark.parametrize("trace", [
    Trace([0.0, 1.0, 2.0], [4e6, 8e5, 2e6], 3.0), Trace([0.0, 0.013], [9e6, 1e5], 0.04), Trace.constant(2e6)],
    ids=["slow", "quick", "constant"])
def test_bounds_are_below_every_frame(timeline, trace):
    simulation = Simulation(timeline.tiling, timeline.robot, timeline.server, LinkModel(1e6, 1e6, 0.002, FULL, 0.0003),
                            "raw")
    frames = simulation.drive("intra_dp", trace, 12.0)
    step = max(1, len(frames) // 400)
    found = simulation.bounds(frames, trace, True)
    assert found.shape == (len(frames[::step]), 2)
    for (least_s, least_j), frame in zip(found, frames[::step]):
        assert least_s <= frame.latency_s * (1 + 1e-6) and 0 < least_j <= frame.energy_j * (1 + 1e-6)


def test_a_front_goes_from_fast_to_thrifty(timeline):
    choices = front(timeline.tiling, timeline, LinkModel(6e5, 6e5, 0.002))
    assert all(a.latency_s < b.latency_s and a.energy_j > b.energy_j for a, b in zip(choices, choices[1:]))
    for choice in choices:
        again = timeline.predict(choice.plan, LinkModel(6e5, 6e5, 0.002))
        assert (again.latency_s, again.energy_j) == (choice.latency_s, choice.energy_j)


def test_profile_then_simulate(tmp_path, capsys):
    model = ["--model", "sconet-style", "--input", "1x1x16x32x16"]
    profile, times, found, picture = (str(tmp_path / n) for n in ("p.json", "t.csv", "f.json", "p.png"))
    assert profile_tool.main([*model, "--runs", "1", "--json", profile]) == 0
    assert profile_tool.main([*model, "--runs", "1", "--compare", profile, "--server", profile, "--csv", times]) == 0
    said = capsys.readouterr().out
    assert "conv3d" in said and "codec bits+lz4" in said and "against" in said
    trace = tmp_path / "trace.csv"
    trace.write_text("t_s,MBps\n0,4\n1,1\n2,4\n")
    assert simulate.main([*model, "--profile", times, "--profile-scale", "4", "0.5", "--trace", str(trace),
                          "--strategies", "all", "--codec", "lossless", "--pareto", "2", "--json", found,
                          "--plot", picture]) == 0
    result = json.load(open(found))
    assert list(result["strategies"]) == list(simulate.NAMES) and result["codec"] == "lossless"
    for name, figures in result["strategies"].items():
        assert {"mean_ms", "median_ms", "p95_ms", "energy_j", "MB_up", "MB_down", "share_local", "share_split",
                "share_offload"} <= set(figures)
        if name != simulate.PUBLISHED:
            assert result["bound_ms"] <= figures["mean_ms"] and result["bound_j"] <= figures["energy_j"]
    assert os.path.getsize(picture) > 10000 and result["pareto"]


@pytest.mark.parametrize("wrong, word", [
    (["--strategies", "best"], "no strategy 'best'"), (["--trace", "nowhere.csv"], "nowhere.csv"),
    (["--profile", "nothing.csv"], "nothing.csv"), (["--model", "no-such"], "no-such")])
def test_wrong_arguments_are_named(wrong, word, tmp_path, capsys):
    trace = tmp_path / "trace.csv"
    trace.write_text("t_s,MBps\n0,4\n1,1\n")
    assert simulate.main(["--model", "sconet-style", "--input", "1x1x16x32x16", "--trace", str(trace), *wrong]) == 1
    assert word in capsys.readouterr().err


@pytest.fixture(scope="module")
def published():
    try:
        return Data(DATA)
    except FileNotFoundError:
        pytest.skip("the published measurements are not beside this checkout")


def test_offloading_takes_what_was_measured(published):
    """The simulator's fidelity: within 10 % of the real robot's mean, indoors, over all of the trace."""
    case = next(c for c in CASES if c.name == "agrnav")  # the quickest to record
    tiling = tiling_of(case, case.dtype)
    mapped = device_csv.map_rows(tiling, device_csv.read(published.profile(case)), scale=hardware.PUBLISHED_SCALE)
    link = hardware.link_of(tiling, "raw", hardware.MESSAGE_COSTS["published"], FULL, 0.002, 1.0)
    simulation = Simulation(tiling, mapped.robot, mapped.server, link, "raw")
    for environment in ("indoors", "outdoors"):
        trace = Trace.read(published.trace(environment))
        for strategy in ("local", "offload"):
            known = published.measured.get((case.name, environment, strategy))
            if known is not None:
                mean = summary(simulation.drive(strategy, trace, trace.period))["mean_ms"]
                assert mean == pytest.approx(known.mean_ms, rel=0.1), (environment, strategy)
    cell = {"strategies": {n: {"mean_ms": 1.0} for n in ("local", "offload", "dsccs", "spso_ga", simulate.PUBLISHED)}}
    everywhere = {("as published", c.name, e): cell for c in CASES for e in ("indoors", "outdoors")}
    assert "| agrnav | indoors | offload | 568.6 | 1.0 | -99.8% |" in fidelity(everywhere, published)
