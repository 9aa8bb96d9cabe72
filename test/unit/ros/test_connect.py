"""A program's way to the server: its namespace is a parameter, and what is wrong does not stop the program."""
import logging
import os
import shutil
import socket
import subprocess
import sys

import pytest

rospy = pytest.importorskip("rospy")
pytest.importorskip("intra_dp_ros.msg")

from intra_dp_ros.ros import connect  # noqa: E402

#: As a program whose model runs as IntraDP; it listens to what it says itself.
PROGRAM = """
import logging, os, time
import rosgraph
from intra_dp_ros.ros import connect
for _ in range(200):
    if rosgraph.is_master_online():
        break
    time.sleep(0.05)
link, _ = connect.connect("rover")
import rospy
from rosgraph_msgs.msg import Log
heard = []
rospy.Subscriber("/rosout", Log, lambda line: heard.append((line.name, line.msg)))
end = time.monotonic() + 20.0
while not heard and time.monotonic() < end:
    logging.getLogger("intra_dp_ros.runtime.client").info("heard of")
    time.sleep(0.1)
print(heard[0], sorted(name for name, _ in rospy.get_published_topics() if "rover" in name), flush=True)
os._exit(0)
"""


@pytest.fixture
def node(monkeypatch):
    """This process as a node with parameters, and the namespaces that its ends are made in."""
    monkeypatch.setattr(rospy.core, "is_initialized", lambda: True)
    monkeypatch.setattr(rospy, "resolve_name", lambda name: name.replace("~", "/program/"))
    monkeypatch.setattr(connect, "show_logs", lambda: None)
    monkeypatch.setattr(connect, "TopicLink", lambda side, ns, robot_id: (side, ns, robot_id))
    monkeypatch.setattr(connect, "RosControl", lambda ns: ns)
    connect.warn_once.cache_clear()
    given = {}
    monkeypatch.setattr(rospy, "get_param", given.get)
    yield given
    connect.warn_once.cache_clear()


def test_the_namespace_is_a_parameter(node):
    assert connect.connect("rover") == (("robot", "/intra_dp", "rover"), "/intra_dp")
    node.update({"~intra_dp_ns": "/lab/intra_dp", "~ns": "the program's own"})
    assert connect.connect("rover") == (("robot", "/lab/intra_dp", "rover"), "/lab/intra_dp")


def test_a_namespace_that_is_none(node, caplog):
    node["~intra_dp_ns"] = 3
    assert connect.connect("rover") is None and connect.connect("rover") is None
    assert [r.levelno for r in caplog.records] == [logging.WARNING]
    assert "/program/intra_dp_ns is 3, expected a text" in caplog.text


def test_a_master_that_is_gone(node, monkeypatch, caplog):
    def refuse(*_):
        raise ConnectionRefusedError("nobody there")
    monkeypatch.setattr(rospy, "get_param", refuse)
    assert connect.connect("rover") is None
    assert "does not answer: the model runs on this machine alone" in caplog.text


@pytest.mark.skipif(shutil.which("rosmaster") is None, reason="rosmaster is not installed")
def test_a_program_becomes_a_node_that_is_heard(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = dict(os.environ, ROS_MASTER_URI="http://127.0.0.1:{}".format(port), ROS_IP="127.0.0.1",
                       ROS_LOG_DIR=str(tmp_path))
    master = subprocess.Popen(["rosmaster", "--core", "-p", str(port)], env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        done = subprocess.run([sys.executable, "-c", PROGRAM, "_intra_dp_ns:=/lab"], env=environment, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    finally:
        master.kill()
        master.wait(10)
    assert done.returncode == 0, done.stderr
    shown, said = done.stdout.splitlines()[0], done.stdout.splitlines()[-1]
    assert shown.startswith("[INFO]") and shown.endswith(": heard of")
    assert "('/intra_dp_client_" in said and "'heard of')" in said and "'/lab/rover/up'" in said
