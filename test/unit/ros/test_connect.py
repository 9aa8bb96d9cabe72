"""A program's way to the server: its namespace is a parameter, and what is wrong does not stop the program."""
import logging

import pytest

rospy = pytest.importorskip("rospy")
pytest.importorskip("intra_dp_ros.msg")

from intra_dp_ros.ros import connect  # noqa: E402


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
