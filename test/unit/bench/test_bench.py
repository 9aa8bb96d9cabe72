"""The bench's options, what it keeps of a run that fails, and its exit codes."""
import signal

import pytest

from intra_dp_ros.bench import bench


def test_options_are_checked(monkeypatch, capsys):
    monkeypatch.setattr(bench.shutil, "which", lambda name: name)
    options = bench.parse(["--quick", "--out", "x"])
    assert options.quick and options.models.startswith("mobilenet") and options.out == "x"
    assert bench.parse(["--estimator", "--seconds", "7"]).seconds == 7.0
    for wrong in (["--strategies", "magic"], ["--robot-speed", "2"], ["--robots", "0"], ["--time-scale", "-1"]):
        with pytest.raises(SystemExit):
            bench.parse(wrong)
    assert "magic" in capsys.readouterr().err


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
