"""A launch of one's own leaves nothing behind, also nodes that do not listen."""
import contextlib
import subprocess
import sys

import psutil
import pytest

pytest.importorskip("intra_dp_ros.msg")

from intra_dp_ros.ros import own_master  # noqa: E402
from intra_dp_ros.ros.demo import Demo, parse  # noqa: E402

#: As roslaunch has them: nodes in process groups of their own.
LAUNCH = """
import signal, subprocess, sys, time
{0}
node = subprocess.Popen([sys.executable, "-c", "import signal, time; {0}; time.sleep(60)"], start_new_session=True)
{1}
"""

#: Asks its node to end, or is struck before it could.
ORDERLY = """
try:
    print(node.pid, flush=True)
    time.sleep(60)
finally:
    node.send_signal(signal.SIGINT)
    node.wait()
"""
HASTY = """
print(node.pid, flush=True)
time.sleep(60)
"""
DEAF = "signal.signal(signal.SIGINT, signal.SIG_IGN)"


@contextlib.contextmanager
def launched(master, deafness, end):
    """A launch of this master's, and its node; neither is left."""
    process = subprocess.Popen([sys.executable, "-c", LAUNCH.format(deafness, end)], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, start_new_session=True)
    node = psutil.Process(int(process.stdout.readline()))
    master._process = process
    try:
        yield process, node
    finally:
        for each in (process, node):
            if psutil.pid_exists(each.pid):
                psutil.Process(each.pid).kill()
        process.stdout.close()


def assert_gone(node):
    psutil.wait_procs([node], timeout=10.0)
    assert not node.is_running() or node.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("deafness, end", [("pass", ORDERLY), (DEAF, ORDERLY), ("pass", HASTY)],
                         ids=["asked", "killed", "left behind"])
def test_nothing_is_left(monkeypatch, tmp_path, deafness, end):
    monkeypatch.setattr(own_master, "_STOP_S", 1.0 if deafness == DEAF else 30.0)
    master = own_master.OwnMaster("none.launch", (), str(tmp_path / "log"))
    master.stop()  # nothing was started
    with launched(master, deafness, end) as (process, node):
        master.stop()
        process.wait(timeout=10.0)
        assert_gone(node)


def test_nothing_is_left_by_a_launch_that_was_killed(tmp_path):
    master = own_master.OwnMaster("none.launch", (), str(tmp_path / "log"))
    with launched(master, "pass", HASTY) as (process, node):
        master.check()
        process.kill()
        process.wait(timeout=10.0)
        master.stop()
        assert_gone(node)


def test_an_interrupted_start_stops_what_was_started(monkeypatch, tmp_path):
    stopped = []

    def start(*_):
        raise KeyboardInterrupt
    monkeypatch.setattr(own_master.OwnMaster, "start", start)
    monkeypatch.setattr(own_master.OwnMaster, "stop", lambda self: stopped.append(self))
    with pytest.raises(KeyboardInterrupt):
        Demo(parse(["--out", str(tmp_path)])).run()
    assert len(stopped) == 1
