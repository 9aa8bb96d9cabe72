"""Plans by bandwidth: the right rung, hysteresis, and the way to disk and back."""
from dataclasses import replace

import pytest
import torch

from intra_dp_ros.graph.record import record
from intra_dp_ros.loss import table as tables
from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.objective import Objective
from intra_dp_ros.loss.profile import Profile
from intra_dp_ros.loss.search import Search
from intra_dp_ros.loss.table import HYSTERESIS, LADDER, build, load, save
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.plan import validate
from intra_dp_ros.lop.tiling import Tiling

LINK = LinkModel(1e6, 1e6, 0.002, per_message_s=0.0003)


@pytest.fixture(scope="module")
def tiling():
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 3, 2, 1)).eval()
    return Tiling(record(net, (torch.zeros(1, 3, 64, 64),)).graph)


@pytest.fixture(scope="module")
def profiles(tiling):
    count = len(tiling.rules)
    robot = Profile(tiling.graph.hash, "robot", (0.2,) * count, (1.0,) * count)
    return robot, replace(robot.scaled(0.1), device="server")


@pytest.fixture(scope="module")
def table(tiling, profiles):
    return build(tiling, Timeline(tiling, *profiles), LINK, "intra_dp", first_epoch=7)


def test_every_rung_has_a_proved_plan(tiling, profiles, table):
    timeline = Timeline(tiling, *profiles)
    bandwidths = [r.bandwidth for r in table.rungs]
    assert bandwidths == sorted(set(bandwidths)) and set(LADDER) <= set(bandwidths)
    assert table.rungs[0].plan.is_local and table.rungs[0].plan.epoch == 0
    assert not table.rungs[-1].plan.is_local
    for rung in table.rungs:
        validate(tiling, rung.plan)
        assert rung.plan.strategy == "intra_dp"
        link = replace(LINK, up=rung.bandwidth, down=rung.bandwidth)
        assert rung.plan.predicted_ms == pytest.approx(timeline.predict(rung.plan, link).latency_s * 1e3)
    found = [timeline.predict(r.plan, replace(LINK, up=r.bandwidth, down=r.bandwidth)) for r in table.rungs]
    cost = [Objective().priced(PowerModel()).cost(p.latency_s, p.energy_j) for p in found]
    assert all(b <= a * 1.001 for a, b in zip(cost, cost[1:])), "more bandwidth is never worse"
    epochs = sorted(p.epoch for p in table.plans if not p.is_local)
    assert epochs == list(range(7, 7 + len(epochs)))


def test_lookup(table):
    for index, rung in enumerate(table.rungs[1:], 1):
        assert table.lookup(rung.bandwidth) == index
        assert table.lookup(rung.bandwidth * 1.01) == index
    assert table.lookup(1e9) == len(table.rungs) - 1
    assert table.lookup(0.0) == 1 and table.lookup(0.0, 5) == 1
    assert table.lookup(LADDER[1] / 2) == 0


def test_a_rung_of_a_longer_table_is_not_kept(table):
    for beyond in (len(table.rungs), len(table.rungs) + 5):
        assert table.lookup(1e6, beyond) == table.lookup(1e6)


def test_hysteresis(table):
    bandwidths = [rung.bandwidth for rung in table.rungs]
    index = len(bandwidths) // 2
    low, high = bandwidths[index], bandwidths[index + 1]
    inside = 1.0 - HYSTERESIS + 0.01
    assert table.lookup(low * inside, index) == index != table.lookup(low * inside)
    below = low * (1.0 - HYSTERESIS - 0.01)
    assert table.lookup(below, index) == table.lookup(below) < index
    assert table.lookup(high * (1.0 + HYSTERESIS - 0.01), index) == index
    above = high * (1.0 + HYSTERESIS + 0.01)  # beyond the next rung's own interval where rungs are near each other
    assert table.lookup(above, index) == table.lookup(above) > index
    assert table.lookup(30e6, 1) == len(table.rungs) - 1


def test_to_disk_and_back(tiling, profiles, table, tmp_path):
    name = tables.key(tiling, *profiles, LINK, "intra_dp")
    assert load(str(tmp_path), name, tiling) is None
    save(str(tmp_path), name, table)
    again = load(str(tmp_path), name, tiling, first_epoch=7)
    assert again == table
    assert min(p.epoch for p in load(str(tmp_path), name, tiling, first_epoch=40).plans if not p.is_local) == 40
    for changed in (dict(strategy="offload"), dict(codec="png"), dict(link=replace(LINK, rtt_s=0.1))):
        arguments = dict(dict(link=LINK, strategy="intra_dp"), **changed)
        assert tables.key(tiling, *profiles, **arguments) != name
    assert tables.key(tiling, profiles[0].scaled(1.2), profiles[1], LINK, "intra_dp") != name
    assert tables.key(tiling, *profiles, replace(LINK, up=3e6, down=3e6), "intra_dp") == name


def test_a_new_measuring_finds_the_old_table(tiling, profiles):
    """Noise moves the time of every operator; frame times that hardly differ share all but the steps' edges."""
    names = {tables.key(tiling, profiles[0].scaled(1.0 + i / 1000), profiles[1], LINK, "intra_dp") for i in range(50)}
    assert len(names) <= 2


def test_a_damaged_file_is_made_anew(tiling, table, tmp_path):
    save(str(tmp_path), "x", table)
    path = tmp_path / "x.json"
    path.write_text(path.read_text().replace('\\"server_stop\\":[', '\\"server_stop\\":[9'))
    assert load(str(tmp_path), "x", tiling) is None
    path.write_text("{")
    assert load(str(tmp_path), "x", tiling) is None


def test_unknown_strategy(tiling, profiles):
    with pytest.raises(ValueError, match="no strategy 'best'; there are: local, offload, .*, intra_dp"):
        build(tiling, Timeline(tiling, *profiles), LINK, "best")


def test_searching_stops_when_asked(tiling, profiles):
    asked = []
    build(tiling, Timeline(tiling, *profiles), LINK, "intra_dp", should_stop=lambda: asked.append(1) or True)
    assert 1 <= len(asked) <= 2  # no generation, nothing polished


def test_a_replan_is_as_good_as_the_plans_beside_it(tiling, profiles):
    timeline = Timeline(tiling, *profiles)
    links = [replace(LINK, up=b, down=b) for b in (3e5, 1e6, 3e6)]
    search = Search(tiling, timeline, links)
    plans = search.plans(generations=4)
    for rate in (1e5, 6e5, 1.7e6, 9e6):
        at = replace(LINK, up=rate, down=rate)
        plan = search.replan(at)
        validate(tiling, plan)
        assert plan.predicted_ms == pytest.approx(timeline.predict(plan, at).latency_s * 1e3)
        place = sum(link.up < rate for link in links)
        for beside in {max(0, place - 1), min(place, len(links) - 1)}:
            assert plan.predicted_ms <= timeline.predict(plans[beside], at).latency_s * 1e3 * (1 + 1e-9)
    for link, plan in search.between():
        assert links[0].up < link.up < links[-1].up
        validate(tiling, plan)
    assert search.replan(replace(LINK, up=0.0, down=0.0)).is_local


@pytest.mark.parametrize("ratio, word", [(0.2, "png"), (1.0, "raw")])
def test_codecs_are_used_where_they_pay(tiling, profiles, ratio, word):
    """Encoding costs time: a codec that saves nothing is left out, one that does is not."""
    net = torch.nn.Conv2d(3, 8, 3, 2, 1).eval()

    class Bytes(torch.nn.Module):
        def forward(self, x):
            return net(x / 255)
    image = Tiling(record(Bytes().eval(), (torch.zeros(1, 3, 64, 64).byte(),)).graph)
    robot = Profile(image.graph.hash, "robot", (50.0,) * len(image.rules), (0.0,) * len(image.rules))
    link = replace(LINK, up=2e6, down=2e7, codecs={"raw": (1.0, 0.0, 0.0), "png": (ratio, 1e-7, 1e-7)})
    plan = build(image, Timeline(image, robot, robot.scaled(0.01)), link, "intra_dp", "png").rungs[20].plan
    assert {t.codec for t in plan.transfers if t.tensor in image.graph.inputs} == {word}


def test_plans_priced_anew_are_the_best_of_those_there_are(tiling, profiles, table):
    link, power = replace(LINK, up=1e6, down=5e5), PowerModel()
    priced = Objective().priced(power)
    plans = list({p.epoch: p for p in (table.rungs[0].plan, *table.plans)}.values())
    for busy in (1.0, 3.0, 50.0):
        timeline = Timeline(tiling, profiles[0], profiles[1].scaled(busy))
        made = tables.priced_anew(table, timeline, link, Objective(), power)
        assert [r.bandwidth for r in made.rungs] == [r.bandwidth for r in table.rungs]
        assert made.rungs[0] == table.rungs[0]
        for rung in made.rungs[1:]:
            at = replace(link, up=rung.bandwidth, down=rung.bandwidth / 2)
            found = [timeline.predict(p, at, power) for p in plans]
            fastest = min(p.latency_s for p in found)
            best = min(float(priced.cost(p.latency_s, p.energy_j)) for p in found
                       if p.latency_s <= 1.05 * fastest)
            own = timeline.predict(rung.plan, at, power)
            assert float(priced.cost(own.latency_s, own.energy_j)) == pytest.approx(best)
            assert rung.plan.predicted_ms == pytest.approx(own.latency_s * 1e3)
    assert all(r.plan.is_local for r in made.rungs)
