"""The bench's options, what it keeps of a run that fails, and its exit codes."""
import json
import os
import signal

import pytest

from intra_dp_ros.bench import bench
from intra_dp_ros.bench.campaign import Blocks
from intra_dp_ros.bench.namespaces import TestbedError
from intra_dp_ros.bench.testbed import Setting
from intra_dp_ros.bench.traces import open_trace


def test_options_are_checked(monkeypatch, capsys):
    monkeypatch.setattr(bench.shutil, "which", lambda name: name)
    options = bench.parse(["--quick", "--out", "x"])
    assert options.quick and options.models.startswith("mobilenet") and options.out == "x"
    assert bench.parse(["--estimator", "--seconds", "7"]).seconds == 7.0
    for wrong, words in (
            (["--strategies", "magic"], "magic"), (["--robot-speed", "2"], "at most 1"),
            (["--robots", "0"], "1 and 16"),
            (["--time-scale", "-1"], "positive"), (["--time-scale", "inf"], "positive"),
            (["--seconds", "inf"], "finite and above 0, got inf"), (["--seconds", "0"], "above 0"),
            (["--seconds", "nan"], "above 0"), (["--block", "-1"], "not below 0"),
            (["--server-MBps", "0"], "above 0"),
            (["--slowed-by", "quota", "--robot-speed", "0.0001"], "least"),
            (["--trace", "constant:4,outdors"], "outdors"), (["--trace", "constant:fast"], "number of MB/s"),
            (["--models", "mobilenet_v3_smal"], "did you mean 'mobilenet_v3_small'"),
            (["--models", "kapao-style,zoo:net"], "zoo:net"), (["--models", "kapao-style@1xcat"], "not a shape"),
            (["--models", "kapao-style,resnet18", "--time-scale", "auto"], "no published time of 'resnet18'"),
            (["--models", "resnet18", "--emulate", "published"], "no published operator times"),
            (["--emulate", "4"], "two factors"), (["--emulate", "4,-1"], "two factors"),
            (["--emulate", "none.csv"], "none.csv"), (["--emulate", "none.yaml"], "none.yaml")):
        with pytest.raises(SystemExit):
            bench.parse(wrong)
        assert words in capsys.readouterr().err, wrong
    good = ["--models", "torchvision:resnet18,kapao-style:raw,module:a.b:make@1x3", "--trace", "steps,falls:12:0.5",
            "--block", "0"]
    assert bench.parse([*good, "--emulate", "4,0.125"]).block == 0.0
    assert bench.parse(["--from", "x.json", "--models", "gone"]).earlier, "a report needs no models"


@pytest.mark.parametrize("before", [signal.SIG_IGN, signal.SIG_DFL])
def test_under_nohup_the_terminal_may_go(monkeypatch, before):
    kept = {signal.SIGHUP: before}
    monkeypatch.setattr(signal, "getsignal", lambda sign: kept.get(sign, signal.SIG_DFL))
    monkeypatch.setattr(signal, "signal", kept.__setitem__)
    bench._heed_signals()
    assert (kept[signal.SIGHUP] == signal.SIG_IGN) is (before == signal.SIG_IGN)
    assert callable(kept[signal.SIGTERM]) and kept[signal.SIGINT] is signal.default_int_handler


def test_broken_promises_have_an_exit_code_of_their_own():
    """Whoever measures again until no frame is lost would choose."""
    assert bench.exit_code([], []) == 0 and bench.exit_code([], ["a frame was lost"]) == bench.BROKEN == 3
    assert bench.exit_code(["no report"], ["a frame was lost"]) == bench.FAILED == 1


def test_only_folders_that_a_bench_has_made_are_deleted(tmp_path):
    own, old, empty, link = (str(tmp_path / name) for name in ("own", "old", "empty", "link"))
    for _ in range(2):
        bench.make_fresh(own)
        assert len(os.listdir(own)) == 1, "what was measured before is gone"
        (tmp_path / "own" / "rest").write_text("x")
    for folder in (os.path.join(old, "cache"), empty):
        os.makedirs(folder)
    (tmp_path / "old" / "server.log").write_text("")
    for folder in (old, empty):
        bench.make_fresh(folder)
    os.symlink(own, link)
    (tmp_path / "file").write_text("x")
    (tmp_path / "work" / "cache").mkdir(parents=True)
    for name in ("link", "file", "work"):
        with pytest.raises(TestbedError, match="{} is in the way".format(name)):
            bench.make_fresh(str(tmp_path / name))
        assert (tmp_path / name).exists()


def _run(tmp_path, monkeypatch, *arguments):
    monkeypatch.setattr(bench.shutil, "which", lambda name: name)
    options = bench.parse(["--trace", "constant:4", "--models", "kapao-style", "--strategies", "local", "--out",
                           str(tmp_path), *arguments])
    run = bench.Bench(options, True)
    setting = Setting("kapao-style", str(tmp_path))
    frame = dict(strategy="local", segment=0, robot=0, latency_ms=200.0, inference_ms=200.0, predicted_ms=100.0,
                 outcome="local", reason="", energy_j=1.0, bandwidth_MBps=4.0, bytes_up=0, bytes_down=0,
                 rel_error=1e-7, trace_s=0.0, parts={"robot_compute": 5.0})
    blocks = Blocks(frames=[frame], weights="random (none given)")
    trace = open_trace("constant:4")
    return run, options, (run._cell(setting, blocks, trace, ["local"], 1.0, ""), setting, blocks, trace)


def test_what_was_measured_is_kept_before_bounds_are_computed(tmp_path, monkeypatch):
    class Missing:
        def __init__(self, *_):
            raise FileNotFoundError("no operator times")
    monkeypatch.setattr(bench, "CellModel", Missing)
    run, options, measured = _run(tmp_path, monkeypatch)
    with pytest.raises(FileNotFoundError):
        run.finish(*measured)
    assert len(run.cells) == 1
    with open(str(tmp_path / "constant_4_MB_s.raw.json")) as file:
        kept = json.load(file)
    assert kept["frames"] == measured[2].frames and kept["cell"]["bound_ms"] is None
    assert bench._keep(run, options) == [] and (tmp_path / "measured.md").exists()


def test_bounds_are_in_the_raw_data_too(tmp_path, monkeypatch):
    class Model:
        def __init__(self, *_):
            pass

        def bounds(self, *_):
            return {"bound_ms": 50.0, "bound_j": 0.5}
    monkeypatch.setattr(bench, "CellModel", Model)
    run, _, measured = _run(tmp_path, monkeypatch)
    run.finish(*measured)
    with open(str(tmp_path / "constant_4_MB_s.raw.json")) as file:
        assert json.load(file)["cell"]["bound_ms"] == run.cells[0]["bound_ms"] == 50.0


@pytest.mark.parametrize("bad, good", [("--json", "--report"), ("--report", "--json")])
def test_figures_and_report_do_not_wait_for_each_other(tmp_path, monkeypatch, bad, good):
    kept = tmp_path / "kept"
    run, options, measured = _run(tmp_path, monkeypatch, "--no-bound", bad, str(tmp_path / "gone" / "x"), good,
                                  str(kept))
    run.finish(*measured)
    (failed,) = bench._keep(run, options)
    assert "gone" in failed and kept.exists()


@pytest.mark.parametrize("option", ["--out", "--json", "--report"])
def test_a_file_in_the_place_of_a_folder_is_told_at_once(tmp_path, monkeypatch, capsys, option):
    monkeypatch.setattr(bench.shutil, "which", lambda name: name)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # these tests go on afterwards
    monkeypatch.setattr(bench.Bench, "run", lambda self: pytest.fail("nodes would start"))
    (tmp_path / "file").write_text("x")
    arguments = ["--relay", "--trace", "constant:4", "--models", "kapao-style", "--out", str(tmp_path / "out"),
                 option, str(tmp_path / "file" / "x")]
    assert bench.main(arguments) == bench.FAILED
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_a_file_that_is_a_folder_is_told_at_once(tmp_path, monkeypatch):
    _, options, _ = _run(tmp_path, monkeypatch, "--json", str(tmp_path))
    with pytest.raises(OSError, match="is a folder"):
        bench._make_folders(options)


def test_the_relay_has_one_trace_and_one_robot(tmp_path, monkeypatch):
    for wrong in (["--trace", "indoors,outdoors"], ["--time-scale", "auto"], ["--robots", "1,2"]):
        _, options, _ = _run(tmp_path, monkeypatch, *wrong)
        with pytest.raises(TestbedError, match="root"):
            bench.Bench(options, False).run()
