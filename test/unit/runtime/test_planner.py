"""Plans made in the background: their numbers, what goes wrong while they are made, what a rise may use."""
import os
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from intra_dp_ros.graph.record import record
from intra_dp_ros.lop.axis import prepare
from intra_dp_ros.loss import table as tables
from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.objective import Objective
from intra_dp_ros.runtime import planner as planning
from intra_dp_ros.runtime.choice import Choice, Situation
from intra_dp_ros.runtime.engine import Engine
from intra_dp_ros.runtime.planner import Planner

WAIT_S = 30.0


def until(condition):
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    torch.set_num_threads(1)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 3, 2, 1)).eval()
    recording = prepare(record(net, (torch.zeros(1, 3, 128, 128),)))
    made = Engine(recording.graph, recording.weights, "cpu")
    made.measure(str(tmp_path_factory.mktemp("profiles")))
    return made


@pytest.fixture
def slowdown():
    """Of the robot."""
    return 40.0


@pytest.fixture
def made(engine, tmp_path, slowdown):
    """A planner, and all plans that it has ever given."""
    given = []
    planner = Planner(engine, slowdown, LinkModel(1e6, 1e6, 0.002), "raw", Objective(), PowerModel(),
                      str(tmp_path / "plans"), given.append)
    planner.server_is(engine.profile)
    yield planner, given
    planner.close()


@pytest.fixture
def searches(monkeypatch):
    """Of every search since the test began: the strategy, and the round trip that it was for [s]."""
    build, noted = tables.build, []

    def note(tiling, timeline, link, strategy, *arguments, **options):
        noted.append((strategy, link.rtt_s))
        return build(tiling, timeline, link, strategy, *arguments, **options)
    monkeypatch.setattr(planning.tables, "build", note)
    return noted


def test_a_number_stands_for_one_plan_and_a_plan_keeps_its_number(made):
    planner, given = made
    strategies = ("offload", "local", "intra_dp")  # the second has local plans only, which have number 0

    def numbered():
        return {p.epoch: p.unnumbered for name in strategies for p in planner.table(name).plans if not p.is_local}
    for strategy in strategies:
        planner.want(strategy)
        until(lambda: planner.is_current(strategy))
    assert not {p.epoch for p in planner.table("local").plans} - {0}
    before = numbered()
    assert {plan.strategy for plan in before.values()} == {"offload", "intra_dp"}
    planner.aim(LinkModel(1e6, 1e6, 0.004), "raw", Objective())
    for strategy in strategies:
        planner.want(strategy)
        until(lambda: planner.is_current(strategy))
    after = numbered()
    for number, plan in after.items():
        assert before.get(number, plan) == plan
        assert plan not in before.values() or before.get(number) == plan


def test_why_plans_are_made_anew_is_said(made, caplog):
    planner = made[0]
    planner.want("intra_dp")
    until(lambda: planner.is_current("intra_dp"))
    caplog.set_level("INFO", planning.__name__)
    assert not caplog.messages
    codecs = {"raw": (1.0, 0.0, 0.0), "png@0": (0.5, 1e-8, 2e-8)}
    planner.aim(LinkModel(1e6, 1e6, 0.004, codecs=codecs), "raw", Objective())
    until(lambda: planner.is_current("intra_dp"))
    assert caplog.messages == ["plans are made anew: round trip 2 -> 4 ms; costs of png@0 unknown -> "
                               "(0.5, 1e-08 s/byte, 2e-08 s/byte)"]


def test_only_what_was_asked_for_last_is_kept_up_to_date(made, searches):
    planner = made[0]
    for strategy in ("offload", "dsccs"):
        planner.want(strategy)
        until(lambda: planner.is_current(strategy))
    del searches[:]
    planner.aim(LinkModel(1e6, 1e6, 0.05), "raw", Objective())
    until(lambda: planner.is_current("dsccs"))
    time.sleep(0.1)
    assert [name for name, _ in searches] == ["dsccs"]
    assert planner.table("offload") is not None and not planner.is_current("offload")
    planner.want("offload")
    until(lambda: planner.is_current("offload"))
    assert [name for name, _ in searches] == ["dsccs", "offload"]


def test_a_disk_that_cannot_be_written_to_costs_no_plans(made, monkeypatch, caplog):
    def full(*_):
        raise OSError("no space left on device")
    monkeypatch.setattr(tables, "save", full)
    planner, _ = made
    planner.want("offload")
    until(lambda: planner.is_current("offload"))
    assert "no space left" in caplog.text


def test_what_failed_is_tried_again_under_other_aims(made, monkeypatch):
    build, asked = tables.build, []

    def fails_first(*arguments, **options):
        asked.append(1)
        if len(asked) == 1:
            raise RuntimeError("out of memory")
        return build(*arguments, **options)
    monkeypatch.setattr(tables, "build", fails_first)
    planner, _ = made
    planner.want("offload")
    until(lambda: len(asked) == 1)
    time.sleep(0.2)
    assert len(asked) == 1 and planner.table("offload") is None
    planner.load_is(2.0)
    until(lambda: planner.is_current("offload"))


def test_plans_of_a_stopped_search_are_not_kept(made, monkeypatch, tmp_path):
    build, asked = tables.build, []

    def waits_first(*arguments, should_stop, **options):
        asked.append(1)
        until(lambda: len(asked) > 1 or should_stop())
        return build(*arguments, should_stop=should_stop, **options)
    monkeypatch.setattr(planning.tables, "build", waits_first)
    planner, _ = made
    planner.want("intra_dp")
    until(lambda: len(asked) == 1)
    planner.aim(LinkModel(1e6, 1e6, 0.002), "raw", Objective("energy"))
    until(lambda: planner.is_current("intra_dp"))
    assert len(asked) == 2 and len(os.listdir(str(tmp_path / "plans"))) == 1


def test_a_search_goes_on_when_link_or_load_change_and_a_busy_server_costs_none(made, monkeypatch):
    """Else a robot on which searching takes long would never have any plans."""
    build, asked = tables.build, []

    def waits_first(*arguments, should_stop, **options):
        asked.append(should_stop())
        until(lambda: len(asked) > 1 or changed)
        assert not should_stop()
        return build(*arguments, should_stop=should_stop, **options)
    monkeypatch.setattr(planning.tables, "build", waits_first)
    planner, given = made
    changed = []
    planner.want("intra_dp")
    until(lambda: asked)
    planner.load_is(2.0)
    planner.aim(LinkModel(1e6, 1e6, 0.004), "raw", Objective())
    changed.append(True)
    until(lambda: given)
    until(lambda: planner.is_current("intra_dp"))
    busy = planner.table("intra_dp")
    assert len(asked) == 2
    planner.load_is(8.0)
    until(lambda: planner.is_current("intra_dp"))
    busier = planner.table("intra_dp")
    planner.load_is(1.0)
    until(lambda: planner.is_current("intra_dp"))
    free = planner.table("intra_dp")
    assert len(asked) == 2
    plans = {p.epoch: p.unnumbered for p in free.plans}
    local = []
    for table in (free, busy, busier):
        assert all(plans.get(p.epoch, p.unnumbered) == p.unnumbered for p in table.plans)
        assert {p.epoch for p in table.plans} <= {0, *plans}
        local.append(sum(rung.plan.is_local for rung in table.rungs))
    assert local == sorted(local)


@pytest.mark.parametrize("slowdown", [2000.0])  # so that the server's part is worth any message
def test_plans_are_priced_anew_for_a_round_trip_that_differs_by_less_than_a_message_costs(made, searches):
    planner = made[0]
    predicted = []  # by plans made for each round trip
    for rtt_s in (0.0005, 0.001, 0.0005, 0.0012, 0.0018):
        link = LinkModel(1e6, 1e6, rtt_s, per_message_s=0.001)
        planner.aim(link, "raw", Objective())
        planner.want("intra_dp")
        until(lambda: planner.is_current("intra_dp"))
        rungs = [rung for rung in planner.table("intra_dp").rungs if not rung.plan.is_local]
        predicted.append([rung.plan.predicted_ms for rung in rungs])
        assert predicted[-1] == pytest.approx([
            planner.timeline.predict(rung.plan, replace(link, up=rung.bandwidth, down=rung.bandwidth)).latency_s * 1e3
            for rung in rungs]) and rungs
    rtts = [rtt_s for _, rtt_s in searches]
    assert rtts == [0.0005, 0.0018], "of the round trip that was searched for, not of the last one"
    assert predicted[0] == predicted[2]


def test_a_frame_is_not_given_to_a_plan_that_rests():
    plan = SimpleNamespace(epoch=3, is_local=False, predicted_ms=400.0)
    part = SimpleNamespace(plan=plan, is_shared=False)
    local = SimpleNamespace(plan=SimpleNamespace(epoch=0, is_local=True, predicted_ms=None))
    choice = Choice(local, 0.5, lambda bandwidth: None)
    choice.renew({3: part})
    table = SimpleNamespace(rungs=[SimpleNamespace(plan=plan)], lookup=lambda bandwidth, current=None: 0)
    now = Situation("intra_dp", table, None, SimpleNamespace(is_alive=True, confirmed={3}), 1e6)
    assert choice.risen(now, 1.0).part is part and choice.risen(now, 0.3) is None
    for _ in range(20):
        choice.learn(part, 0.4, 5.0)  # far slower than the robot alone
    assert choice.risen(now, 1.0) is None


def test_which_plan_a_trial_takes_and_when_there_is_none():
    plans = [SimpleNamespace(epoch=e, is_local=not e, predicted_ms=400.0, transfers=[SimpleNamespace(codec=codec)])
             for e, codec in ((0, "raw"), (1, "raw"), (2, "source"), (3, "raw"), (4, "raw"))]
    parts = {p.epoch: SimpleNamespace(plan=p, is_shared=p.epoch < 2) for p in plans}
    choice = Choice(parts[0], 0.5, lambda bandwidth: None)
    choice.renew(parts)
    table = tables.PlanTable("intra_dp", tuple(tables.Rung(1e6 * k, p) for k, p in enumerate([plans[0], *plans])))
    alive = SimpleNamespace(is_alive=True, confirmed={1, 2, 3, 4})
    now = Situation("intra_dp", table, None, alive, 1e6, age_s=0.5)
    assert choice.trial(now) is None  # the link has never been fast enough
    assert choice.plan_for(now._replace(bandwidth=5e6)) == (parts[4], "")
    assert choice.trial(now) is parts[3]  # 1 leaves work to the robot, the rows of 2 are one piece
    for other in (dict(age_s=0.05), dict(load=2.0), dict(bandwidth=0.9e6), dict(strategy="offload"), dict(table=None),
                  dict(connection=None), dict(connection=SimpleNamespace(is_alive=False, confirmed={3}))):
        assert choice.trial(now._replace(**other)) is None, other
    assert choice.trial(now._replace(connection=SimpleNamespace(is_alive=True, confirmed={1, 4}))) is parts[4]
