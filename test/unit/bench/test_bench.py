"""The bench's options, what it keeps of a run that fails, and its exit codes."""
import signal

import pytest

from intra_dp_ros.bench import bench


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
