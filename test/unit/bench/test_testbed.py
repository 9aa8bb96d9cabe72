"""What a testbed needs no root for: names, commands for the kernel, processes, traces, schedules, figures."""
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from intra_dp_ros.apps.voxels import GRID
from intra_dp_ros.bench import (bench, campaign_report, children, estimator_trial, frames, namespaces,
                                overhead, profile_tool, shaping, testbed)
from intra_dp_ros.bench.campaign import Blocks, block_length, time_scale_of
from intra_dp_ros.bench.campaign_report import comparison, summary, table, write_report
from intra_dp_ros.bench.cell_model import CHANGES
from intra_dp_ros.bench.emulated import make_profiles
from intra_dp_ros.bench.labels import model_name, trace_name
from intra_dp_ros.bench.measured import summarise
from intra_dp_ros.bench.namespaces import TestbedError, prefix_of, stale
from intra_dp_ros.bench.testbed import Setting
from intra_dp_ros.bench.traces import NamedTrace, open_trace
from intra_dp_ros.loss.profile import Profile
from intra_dp_ros.lop.axis import prepare
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.wire.shaper import Trace


def test_what_a_dead_process_left_is_stale_and_a_living_one_is_not():
    done = subprocess.Popen(["true"])
    done.wait()
    names = [prefix_of(os.getpid()) + "s", prefix_of(done.pid) + "s", prefix_of(done.pid) + "r0", "eth", "idpx_y"]
    assert stale(names) == [prefix_of(done.pid)]


def test_one_robot_has_a_bucket_and_several_have_classes_under_the_servers():
    (line,) = shaping.setup_lines("air", ["10.78.0.10"], 125e6)
    assert line.startswith("qdisc add dev air root tbf rate")
    lines = shaping.setup_lines("air", ["10.78.0.10", "10.78.0.11"], 125e6)
    assert sum("parent 1:1 classid" in x for x in lines) == 2 and sum("u32 match" in x for x in lines) == 4
    changed = shaping.change_line("air", 1, 2, 1e6, 125e6)
    assert "classid 1:11 htb" in changed and "ceil {:.0f}bit".format(8e6 * shaping.OVERHEAD) in changed
    assert "rate {:.0f}bit".format(8e6 * shaping.OVERHEAD) in shaping.change_line("air", 0, 1, 1e6, 125e6)


def test_the_bucket_is_the_same_at_all_rates():
    """A packet that was let in under a larger bucket would never leave the queue."""
    lines = [shaping.change_line("air", 0, robots, rate, 125e6) for rate in (1e3, 1e6, 30e6) for robots in (1, 3)]
    assert len({line.partition(" burst ")[2].split()[0] for line in lines}) == 1


def test_a_rate_that_the_kernel_refuses_does_not_go_unnoticed(tmp_path):
    network = namespaces.Network(namespaces.Place("none", "x"), (namespaces.Place("none", "y"),), ())
    air = shaping.Air(network, str(tmp_path / "tc.log"))
    air.check()
    (tmp_path / "tc.log").write_text("Error: Invalid handle.\n")
    with pytest.raises(TestbedError, match="Invalid handle"):
        air.check()
    air.hold(5e6)
    assert air.truth(0, 1e12) == 5e6 and air.truth(0, 0.0) == 0.0
    air.close()


def test_children_end_with_their_parent_even_when_it_is_killed(tmp_path):
    code = ("import sys, time; from intra_dp_ros.bench.children import Children\n"
            "child = Children().start('c', [sys.executable, '-S', '-c', 'import time; time.sleep(60)'], {{}}, {!r})\n"
            "print(child.process.pid, flush=True); time.sleep(60)").format(str(tmp_path / "log"))
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 10.0
    while _lives(pid):
        assert time.monotonic() < end, "the child outlived its parent"
        time.sleep(0.02)


def _lives(pid):
    try:
        with open("/proc/{}/stat".format(pid)) as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_stopping_children_leaves_none(tmp_path):
    group = children.Children()
    stubborn = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    child = group.start("c", [sys.executable, "-S", "-c", stubborn], {}, str(tmp_path / "log"), talks=True)
    assert child.process.stdout.readline() == b"1\n" and group.dead() is None
    assert any("python" in name for name in testbed.left_over())
    children._STOP_S, kept = 0.3, children._STOP_S
    try:
        group.stop()
    finally:
        children._STOP_S = kept
    assert group.dead() is child and not testbed.left_over()


def test_who_interrupts_the_waiting_has_them_killed_at_once(tmp_path, monkeypatch):
    group = children.Children()
    stubborn = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    child = group.start("c", [sys.executable, "-S", "-c", stubborn], {}, str(tmp_path / "log"), talks=True)
    assert child.process.stdout.readline() == b"1\n"
    sleep, asked = time.sleep, []

    def interrupted(seconds):
        asked.append(seconds)
        if len(asked) == 1:
            raise KeyboardInterrupt
        sleep(seconds)
    monkeypatch.setattr(children.time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        group.stop()
    assert not child.is_alive and child.process.stdout.closed


@pytest.mark.parametrize("share, period, quota", [(0.25, 10000, 2500), (0.1, 10000, 1000), (0.05, 20000, 1000),
                                                  (0.03, 33334, 1000), (0.001, 1000000, 1000)])
def test_a_small_quota_has_a_longer_period(share, period, quota):
    assert children.quota_of(share) == (period, quota)
    with pytest.raises(TestbedError, match="0.001 is its least"):
        children.quota_of(0.0009)


def test_a_shifted_or_slowed_or_written_trace_is_the_same_trace(tmp_path):
    trace = Trace([0.0, 1.0, 2.5], [1e6, 3e6, 2e6], 4.0)
    for t in (0.2, 1.7, 3.1, 5.0):
        assert trace.shifted(2.0).rate(t) == trace.rate(t + 2.0)
        assert trace.slowed(4.0).rate(4.0 * t) == trace.rate(t) / 4.0
    assert trace.slowed(4.0).carried(16.0) == pytest.approx(trace.carried(4.0))
    trace.write(str(tmp_path / "t.csv"))
    assert Trace.read(str(tmp_path / "t.csv")).rate(1.7) == 3e6
    with pytest.raises(ValueError, match="positive"):
        trace.slowed(0.0)


@pytest.mark.parametrize("name", ["indoors", "outdoors", "steps", "constant:4"])
def test_named_traces(name):
    found, slowed = open_trace(name), open_trace(name, 10.0)
    assert 2e6 < found.mean < 20e6 and slowed.mean == pytest.approx(found.mean / 10.0)
    assert "slowed 10 x" in slowed.label
    with pytest.raises(ValueError, match="number"):
        open_trace("constant:fast")


def test_models_by_name_and_shape():
    assert frames.parse_model("resnet101@1x64x64x3") == ("resnet101", (1, 64, 64, 3))
    assert time_scale_of("torchvision:vgg19_bn@1x3x64x64", 880.0) == pytest.approx(10.0)
    with pytest.raises(TestbedError, match="--time-scale"):
        time_scale_of("resnet18", 1.0)


def test_numbers_have_errors_and_decisions_differ_or_not():
    numbers, classes = torch.tensor([1.0, 2.0]), torch.arange(10).to(torch.uint8)
    other = classes.clone()
    other[3] = 0
    assert frames.error([numbers * 1.001, classes], [numbers, classes]) == pytest.approx(1e-3, rel=1e-3)
    assert frames.error([numbers, other], [numbers, classes]) == pytest.approx(0.1)
    for wrong in ([numbers], [numbers, classes[:3]]):
        with pytest.raises(ValueError):
            frames.error(wrong, [numbers, classes])


def test_blocks_share_the_seconds():
    assert block_length(60.0, 0.1, 20.0) == (3, 20.0)
    count, length = block_length(60.0, 2.0)
    assert count * length == pytest.approx(60.0) and length >= 15.0
    assert block_length(1.0, 0.1) == (1, 1.0)


_CHANGED = {"mean_ms": 60.0, "energy_j": 0.5, "best_ms": 90.0, "best_j": 0.6}


def _frame(strategy, latency, **other):
    return dict(dict(strategy=strategy, segment=0, robot=0, latency_ms=latency, inference_ms=latency,
                     predicted_ms=100.0, outcome="split", reason="", energy_j=1.0, bandwidth_MBps=4.0, bytes_up=10 ** 6,
                     bytes_down=10 ** 3, rel_error=-1.0, trace_s=0.0, parts={"robot_compute": 5.0}), **other)


def test_figures_of_a_cell_and_its_report(tmp_path):
    blocks = Blocks(frames=[
        _frame("local", 200.0, outcome="local", bytes_up=0), _frame("intra_dp", 90.0), _frame("intra_dp", 110.0),
        _frame("intra_dp", 500.0, outcome="takeover"), _frame("intra_dp", 100.0, parts={"robot_compute": 0.0},
                                                              rel_error=1e-6)],
        lost={"intra_dp": 1}, robot_s={"intra_dp": 3.0}, wall_s={"intra_dp": 10.0}, weights="random (none given)")
    cell = summarise(blocks, Setting("net", str(tmp_path)), open_trace("constant:4"), ["local", "intra_dp"], 1.0, True)
    cell.update(bound_ms=50.0, bound_j=0.4, ablation={name: dict(_CHANGED) for name in CHANGES})
    own = cell["strategies"]["intra_dp"]
    assert (own["share_split"], own["share_offload"], own["share_takeover"]) == (0.5, 0.25, 0.25)
    assert own["measured_over_predicted"]["median"] == pytest.approx(1.0) and own["max_rel_error"] == 1e-6
    assert (own["frames_lost"], own["cpu_share"], own["mean_ms"]) == (1, 0.3, 200.0)
    assert cell["strategies"]["local"]["cpu_share"] is None
    cell["estimator"] = estimator_trial.figures([], [])
    assert bench.verdict([cell]) == ["net on constant 4 MB/s, local: no result was compared with the unsplit model's",
                                     "net on constant 4 MB/s, intra_dp: 1 frames were not answered"]
    assert len(table(cell)) > 4
    found = comparison(cell)
    assert (found["best"], found["latency"], found["energy"], found["bound"]) == ("local", 1.0, 1.0, 0.25)
    assert found["p95"] == pytest.approx(own["p95_ms"] / 200.0)
    assert "latency 1.00" in summary([cell, cell])[-3] and comparison(dict(cell, robots=2)) is None
    cell["timelines"] = {"intra_dp": {"frame": 3, "plan": "offload", "predicted": [], "measured": [
        {"lane": "uplink", "start_s": 0.0, "stop_s": 0.05, "label": ""}]}}
    with open(write_report([cell], str(tmp_path / "m.md"), ["--seconds", "5", "--out", "x"])) as file:
        text = file.read()
    assert (tmp_path / "m_gantt.png").exists()
    assert "Lower bounds" in text and "50 ms, 0.40 J" in text and "`scripts/bench --seconds 5`" in text
    for what in ("latency", "energy", "bandwidth", "predicted"):
        assert (tmp_path / "m_{}.png".format(what)).exists()


def test_the_bandwidth_is_that_of_the_pieces_played(tmp_path):
    trace = NamedTrace(Trace([0.0, 10.0, 20.0], [10e6, 2e6, 6e6], 30.0), "t")
    blocks = Blocks(frames=[_frame("local", 200.0)], pieces=[(0.0, 5.0), (15.0, 10.0)], weights="random (none given)")
    cell = summarise(blocks, Setting("net", str(tmp_path)), trace, ["local"], 1.0, True)
    assert (cell["mean_bandwidth_MBps"], cell["trace_mean_MBps"]) == (pytest.approx(6.0), pytest.approx(6.0))
    assert "link 6.00 MB/s on average on the pieces played;" in campaign_report._conditions(cell)
    blocks.pieces = [(15.0, 10.0)]
    cell = summarise(blocks, Setting("net", str(tmp_path)), trace, ["local"], 1.0, True)
    assert "link 4.00 MB/s on average on the pieces played (the whole trace's mean: 6.00);" in \
        campaign_report._conditions(cell)
    del cell["trace_mean_MBps"]  # as earlier runs wrote it
    assert "over the whole trace" in campaign_report._conditions(cell)


def test_a_report_of_earlier_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench.shutil, "which", lambda name: name)
    blocks = Blocks(frames=[_frame("local", 200.0, outcome="local", bytes_up=0), _frame("intra_dp", 100.0)])
    cell = summarise(blocks, Setting("net", str(tmp_path)), open_trace("constant:4"), ["local", "intra_dp"], 1.0, True)
    cell.update(bound_ms=50.0, bound_j=0.4, ablation={name: dict(_CHANGED) for name in CHANGES})
    cell.update(estimator=estimator_trial.figures([], []), command="scripts/bench --models net")
    (tmp_path / "one.json").write_text(json.dumps(cell))
    (tmp_path / "two.json").write_text(json.dumps(
        [dict(cell, codec="png"), dict(cell, codec="lz4"), dict(cell, robots=4)]))
    report = str(tmp_path / "r.md")
    slow = json.loads((tmp_path / "one.json").read_text())
    slow["strategies"]["intra_dp"]["mean_ms"], slow["trace"] = 190.0, "outdoors"
    (tmp_path / "slow.json").write_text(json.dumps(slow))
    points = [dict(when=w, trace_s=w, up=4e6, truth=4e6, source="traffic", strategy="intra_dp", segment=0, robot=0)
              for w in (0.1, 0.2)]
    (tmp_path / "whole.json").write_text(json.dumps(dict(
        cell, trace="indoors", strategies={"intra_dp": cell["strategies"]["intra_dp"]}, seconds=1100.0,
        estimator=estimator_trial.figures(points, []))))
    assert bench.main(["--from", "{0}/one.json,{0}/two.json,{0}/slow.json,{0}/whole.json".format(tmp_path),
                       "--report", report]) == 0
    with open(report) as file:
        text = file.read()
    assert "| net | outdoors | raw | 200 | 0.95 | 0.67 |" in text, "what keeps it above the aim"
    assert text.count("| raw | 200 | ") == 1, "the others are below"
    assert "energy above 0.85" in text and "| net | outdoors | raw | 1 | 1.00 | 0.83 |" in text
    assert "fastest other's" in text and "measured over predicted 1.00 to 1.00 in the median" in text
    assert "scripts/bench --models net" in text and "Several robots" in text and "latency 0.62" in text
    assert "| net | indoors | 1 | 2 | 0.0% | 0.0% | 0.0%, 0.0% | -, - | 0 | - | - | - |" in text, "the estimate"
    assert "1100 s: 1 frames, 0 lost; measured over predicted 1.00 in the median, 1.00 at 95 %" in text
    (tmp_path / "bad.json").write_text("{")
    assert bench.main(["--from", str(tmp_path / "bad.json"), "--report", report]) == 1
    assert "bad.json" in capsys.readouterr().err


def test_images_are_frames_of_the_models_size_and_tensors_are_random():
    class Model:
        class Spec:
            shape, dtype = (1, 48, 64, 3), "uint8"
        input_specs = (Spec,)
    found, what = frames.make_inputs(Model, 3, 0)
    assert [tuple(x.shape) for x in found] == [(1, 48, 64, 3)] * 3 and "images of" in what
    Model.Spec.shape = GRID.shape
    found, what = frames.make_inputs(Model, 3, 0)
    assert len(found) == 3 and found[0].dtype == torch.uint8 and "points" in what
    for volume in found:
        assert tuple(volume.shape) == GRID.shape and 100 < int(volume.sum()) < 0.05 * volume.numel()
    assert not torch.equal(found[0], found[1])
    found, what = frames.make_inputs(Model, 1, 0, is_random=True)
    assert what == "random uint8 tensors" and int(found[0].sum()) > 0.4 * found[0].numel()
    Model.Spec.shape, Model.Spec.dtype = (2, 5), "float32"
    found, what = frames.make_inputs(Model, 2, 0)
    assert found[0].dtype == torch.float32 and not torch.equal(found[0], found[1])


def test_the_relays_air_tells_what_the_kernels_tells():
    relayed = testbed.RelayedAir(None)
    assert all(hasattr(relayed, name) for name in vars(shaping.Air) if not name.startswith("_"))
    assert relayed.changes(0) == []
    now = time.monotonic()
    relayed._traces, relayed._began = [Trace([0.0, 2.0], [5e6, 1e6], 4.0)], now - 7.0
    found = relayed.changes(0)
    assert [rate for _, rate in found] == [5e6, 1e6, 5e6, 1e6]
    assert [when - now for when, _ in found] == pytest.approx([-7.0, -5.0, -3.0, -1.0], abs=1e-6)
    assert all(relayed.truth(0, when) == rate for when, rate in found)


def test_an_own_csv_file_is_taken_as_it_is(tmp_path):
    model = "mobilenet_v3_small@1x64x64x3"
    tiling = Tiling(prepare(frames.record_whole(frames.load(model, 0))).graph)
    times = tuple(1.0 / rule.rows for rule in tiling.rules)
    here = Profile(tiling.graph.hash, "here", (0.0,) * len(times), times)
    profile_tool.write_csv(str(tmp_path / "own.csv"), tiling, here, here.scaled(0.1))
    robot, server, words = make_profiles(str(tmp_path / "own.csv"), model, 0, str(tmp_path / "r"), str(tmp_path / "s"))
    assert "own.csv" in words and "whole frame {:.0f} and".format(len(times)) in words
    assert os.path.dirname(robot) == str(tmp_path / "r") and os.path.dirname(server) == str(tmp_path / "s")


def test_short_labels_say_what_was_made_or_slowed():
    assert model_name("torchvision:net@1x2") == model_name("net") == "net"
    assert trace_name("indoors (recorded)") == "indoors" and trace_name("constant 4 MB/s") == "constant 4 MB/s"
    assert trace_name("outdoors (made, seed 3: the recorded one is not here), slowed 8.1 x in time and bandwidth") == \
        "outdoors (made), 8.1 x slower"


def test_frames_that_nobody_compared_break_a_promise(tmp_path):
    blocks = Blocks(frames=[_frame("local", 200.0, outcome="local", bytes_up=0, rel_error=-1.0)])
    cell = summarise(blocks, Setting("net", str(tmp_path)), open_trace("constant:4"), ["local"], 1.0, True)
    assert ["compared" in line for line in bench.verdict([cell])] == [True]


def test_dina_has_a_table_and_does_not_take_part_in_the_means(tmp_path):
    names = ["local", "offload", "dina", "intra_dp"]
    blocks = Blocks(frames=[_frame(name, 100.0 + k) for k, name in enumerate(names)])
    cells = []
    for chosen in (["local", "offload", "intra_dp"], ["dina", "offload"], ["dina", "intra_dp"]):
        cell = summarise(blocks, Setting("net", str(tmp_path)), open_trace("constant:4"), chosen, 1.0, True)
        cell.update(bound_ms=None, bound_j=None, ablation={}, estimator=estimator_trial.figures([], []))
        cells.append(cell)
    other = dict(cells[0], trace="outdoors")
    added = overhead.result({overhead.ADDED: [2.0, 3.0, 2.5], "inference": [9.0, 9.0, 9.0]}, (640, 960), "overhead")
    with open(write_report([*cells, other], str(tmp_path / "m.md"), [], [added])) as file:
        text = file.read()
    assert "gathers at every layer" in text and "| net | constant 4 MB/s | raw | 1 | 102 | 0% | 101 | - |" in text
    assert text.count("(local)") == 4, "two rows, each with the best and the thriftiest"
    assert "640x960" in text and "2.5 ms more from the image" in text and "(median of 3" in text


def test_what_is_not_emulated_has_a_place_of_its_own(tmp_path):
    blocks = Blocks(frames=[_frame("local", 200.0), _frame("intra_dp", 100.0)])
    cell = summarise(blocks, Setting("net", str(tmp_path)), open_trace("constant:4"), ["local", "intra_dp"], 1.0, True)
    cell.update(bound_ms=None, bound_j=None, ablation={}, estimator=estimator_trial.figures([], []), emulated="a file")
    real = json.loads(json.dumps(dict(cell, emulated="", trace="slow")))
    real["strategies"]["intra_dp"]["mean_ms"] = 20.0
    with open(write_report([cell, real, dict(cell, trace="outdoors")], str(tmp_path / "m.md"), [])) as file:
        means, _, own = file.read().partition("## Not emulated")
    assert "latency 0.50" in means and "| net | slow |" not in means
    assert "| net | slow | raw | 200 (local) | 20 |" in own
    assert "in emulated cells of values" in means and "in those that are not emulated of the results" in means
    with open(write_report([real, dict(real, trace="outdoors")], str(tmp_path / "n.md"), [])) as file:
        text = file.read()
    assert "## Not emulated" not in text and "latency 0.10" in text and "results: of the results as they" in text


def test_without_root_it_says_so(monkeypatch):
    monkeypatch.setattr(namespaces.os, "geteuid", lambda: 1000)
    assert "root" in namespaces.missing()
