"""Serialised bytes are read exactly or refused; a link outlives a restart of the ROS master."""
import io
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
import xmlrpc.client

import pytest

pytest.importorskip("rospy")
pytest.importorskip("intra_dp_ros.msg", reason="the workspace is not built: scripts/run /usr/bin/python3 -m pytest")

from intra_dp_ros.ros.conversions import MAX_ACKS, MessageError, acks_to_msg, tile_to_msg  # noqa: E402
from intra_dp_ros.ros.subscriptions import read  # noqa: E402
from intra_dp_ros.ros.topics import LINK_TOPICS, robot_topic, server_service  # noqa: E402
from intra_dp_ros.wire.messages import Ack  # noqa: E402
from intra_dp_ros.wire.session import SessionError  # noqa: E402
from intra_dp_ros.wire.tile import probe_tile  # noqa: E402

TILE = probe_tile("robot", 3, 1000)


def serialised(msg):
    out = io.BytesIO()
    msg.serialize(out)
    return out.getvalue()


def test_good_bytes():
    assert read("up", serialised(tile_to_msg(TILE))) == (TILE,)
    acks = (Ack("robot", 1, 2, 3, 4, 5.0), Ack("robot", 1, 2, 4, 5, 5.5, False, "why", 1.0))
    for several in (acks, acks[:1], ()):
        assert read("ack_up", serialised(acks_to_msg(several))) == several


def test_every_truncation_is_refused():
    data = serialised(tile_to_msg(TILE))
    for length in range(0, len(data), 7):
        with pytest.raises(MessageError):
            read("up", data[:length])


def test_lying_lengths_are_refused():
    data = bytearray(serialised(tile_to_msg(TILE)))
    data[-1004:-1000] = struct.pack("<I", 5000000)
    with pytest.raises(MessageError):
        read("up", bytes(data))
    with pytest.raises(MessageError, match="add up"):
        read("up", serialised(tile_to_msg(TILE)) + b"x")
    with pytest.raises(MessageError):
        read("heartbeat_up", serialised(tile_to_msg(TILE)))


def test_acknowledgements_that_cannot_be_are_refused():
    data = serialised(acks_to_msg([Ack("robot", 1, 2, 3, 4, 5.0)] * 2))
    for broken in (*(data[:length] for length in range(len(data))), data + b"x", struct.pack("<I", 3) + data[4:],
                   struct.pack("<I", 1) + data[4:], struct.pack("<I", 2 ** 32 - 1) + data[4:]):
        with pytest.raises(MessageError):
            read("ack_up", broken)
    with pytest.raises(MessageError, match="at most 64"):
        read("ack_up", serialised(acks_to_msg([Ack("robot", 1, 2, 3, 4, 5.0)] * (MAX_ACKS + 1))))


def test_names():
    assert robot_topic("/intra_dp", "robot", "up") == "/intra_dp/robot/up"
    assert robot_topic("/intra_dp/", "robot", "bandwidth") == "/intra_dp/robot/bandwidth"
    assert server_service("/intra_dp", "put_blob") == "/intra_dp/server/put_blob"
    with pytest.raises(SessionError):
        robot_topic("/intra_dp", "robot/../x", "up")
    with pytest.raises(ValueError, match="sideways"):
        robot_topic("/intra_dp", "robot", "sideways")


NODE = """
import time, rospy
from std_srvs.srv import Trigger
from intra_dp_ros.ros.topic_link import TopicLink
rospy.init_node("node_under_test", disable_signals=True)
robot, server = TopicLink("robot", "/x", "robot", 0.4), TopicLink("server", "/x", "robot", 0.4)
rospy.Service("~a_service", Trigger, lambda _: None)
print("ready", flush=True)
time.sleep(60)
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def system_state(uri):
    """Topics published, topics subscribed and services of the node; empty while the master does not answer."""
    try:
        state = xmlrpc.client.ServerProxy(uri).getSystemState("/test")[2]
    except OSError:
        return [set(), set(), set()]
    return [{name for name, nodes in part if "/node_under_test" in nodes} for part in state]


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.skipif(shutil.which("rosmaster") is None, reason="rosmaster is not installed")
def test_a_new_master_learns_of_the_node(tmp_path):
    port = free_port()
    uri = "http://127.0.0.1:{}".format(port)
    environment = dict(os.environ, ROS_MASTER_URI=uri, ROS_IP="127.0.0.1", ROS_LOG_DIR=str(tmp_path))
    quiet = dict(env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    processes = []
    try:
        processes.append(subprocess.Popen(["rosmaster", "--core", "-p", str(port)], **quiet))
        processes.append(subprocess.Popen([sys.executable, "-c", NODE], **quiet))
        topics = {"/x/robot/" + name for name in LINK_TOPICS}
        probe = {"/x/robot/probe"}

        def known():
            published, subscribed, services = system_state(uri)
            return (topics - probe <= published and topics <= subscribed
                    and "/node_under_test/a_service" in services)
        assert wait_for(known), system_state(uri)
        time.sleep(1.0)  # the node has seen this master
        processes[0].kill()
        processes[0].wait(10)
        processes[0] = subprocess.Popen(["rosmaster", "--core", "-p", str(port)], **quiet)
        assert wait_for(known), system_state(uri)
    finally:
        for process in processes:
            process.kill()
            process.wait(10)
