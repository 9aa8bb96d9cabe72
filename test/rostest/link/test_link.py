#!/usr/bin/env python3
"""Both ends of a link over real topics and the emulated air: what is sent arrives, outages end, bandwidth is known."""
import statistics
import threading
import time
import unittest
from dataclasses import replace

import rospy
import rostest
from diagnostic_msgs.msg import DiagnosticArray
from std_msgs.msg import Float64
from std_srvs.srv import SetBool, Trigger

from intra_dp_ros.msg import BandwidthEstimate, TensorTile
from intra_dp_ros.ros.raw import raw_class, raw_message
from intra_dp_ros.ros.topic_link import TopicLink
from intra_dp_ros.ros.topics import robot_topic
from intra_dp_ros.wire.messages import Ack, Heartbeat, PlanMessage, Tile, serialised_bytes
from intra_dp_ros.wire.tile import probe_tile

SOON_S = 15.0  # generous: machines may be busy


class TestLink(unittest.TestCase):
    """In the order of their names, on one pair of links."""

    @classmethod
    def setUpClass(cls):
        cls.lock = threading.Lock()
        cls.at_server, cls.at_robot, cls.estimates, cls.true, cls.diagnostics = [], [], [], [], []
        cls.robot, cls.server = TopicLink("robot", "/air", "robot"), TopicLink("server", "/intra_dp", "robot")
        cls.robot.subscribe(cls.at_robot.append)
        cls.server.subscribe(cls.serve)
        rospy.Subscriber("/air/robot/bandwidth", BandwidthEstimate, cls.estimates.append, queue_size=10)
        rospy.Subscriber("/shaper/true_bandwidth", Float64, cls.true.append, queue_size=10)
        rospy.Subscriber("/diagnostics", DiagnosticArray, cls.diagnostics.append, queue_size=10)
        cls.sequence = 0
        cls.cut = rospy.ServiceProxy("/shaper/cut", SetBool)
        cls.cut.wait_for_service(SOON_S)
        cls.rate = rospy.get_param("~constant_MBps") * 1e6

    @classmethod
    def serve(cls, message):
        cls.at_server.append(message)
        if isinstance(message, Tile):
            cls.server.send(Ack("robot", message.session, message.frame, message.sequence, serialised_bytes(message),
                                time.monotonic()))

    @classmethod
    def tile(cls, nbytes=60000, frame=1):
        with cls.lock:
            cls.sequence += 1
            return replace(probe_tile("robot", cls.sequence, nbytes), session=5, frame=frame, tensor=3,
                           stamp=(7, 8), frame_id="camera", sent=time.monotonic())

    def until(self, condition, what, seconds=SOON_S):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                self.fail("{} did not happen within {:.0f} s; robot {}, server {}".format(
                    what, seconds, self.robot.stats(), self.server.stats()))
            time.sleep(0.02)

    def wait_for_link(self, seconds=SOON_S):
        """Send tiles until one is acknowledged."""
        acked = []
        end = time.monotonic() + seconds
        while not acked:
            self.assertLess(time.monotonic(), end, "no tile was acknowledged within {} s".format(seconds))
            tile = self.tile(5000)
            self.robot.send(tile)
            time.sleep(0.2)
            acked = [m for m in list(self.at_robot) if isinstance(m, Ack) and m.sequence == tile.sequence]

    def test_a_what_is_sent_arrives(self):
        self.wait_for_link()
        up = [self.tile(), PlanMessage("robot", 5, 2, "ab", "{}"), Ack("robot", 5, 1, 9, 100, 1.5, False, "why"),
              Heartbeat("robot", 5, 1, 2, 3.0, 4.0, 5.0, (1, 2), 0.5, stamp=(1, 2), frame_id="f")]
        down = [self.tile(200000), Heartbeat("robot", 5), Ack("robot", 5, 1, 9, 100, 1.5)]
        for message in up:
            self.robot.send(message)
        for message in down:
            self.server.send(message)
        for message in up:
            self.until(lambda: message in self.at_server, "arrival at the server of {!r:.60}".format(message))
        for message in down:
            self.until(lambda: message in self.at_robot, "arrival at the robot of {!r:.60}".format(message))
        with self.assertRaises(TypeError):
            self.server.send(up[1])

    def test_b_tiles_keep_their_order(self):
        tiles = [self.tile(30000, frame=2) for _ in range(40)]
        for tile in tiles:
            self.robot.send(tile)
        self.until(lambda: tiles[-1] in self.at_server, "the arrival of the last tile")
        came = [m.sequence for m in list(self.at_server) if isinstance(m, Tile) and m.frame == 2]
        self.assertEqual(came, [t.sequence for t in tiles])

    def test_c_malformed_messages_are_dropped(self):
        publisher = rospy.Publisher(robot_topic("/air", "robot", "up"), raw_class(TensorTile), queue_size=10)
        before = self.server.stats().dropped
        for garbage in (b"", b"\xff" * 300, b"\0" * 90):
            publisher.publish(raw_message(TensorTile, garbage))
        self.until(lambda: self.server.stats().dropped == before + 3, "dropping of three malformed messages")
        self.wait_for_link()

    def test_d_estimates_of_an_idle_link(self):
        time.sleep(3.5)  # what was measured from traffic is stale
        del self.estimates[:]
        self.until(lambda: sum(m.source == "probe" for m in self.estimates) >= 15, "estimates from probes")
        self.check_estimates("probe")

    def test_e_estimates_from_traffic(self):
        del self.estimates[:]
        end = time.monotonic() + SOON_S
        while sum(m.source == "traffic" for m in self.estimates) < 15:
            self.assertLess(time.monotonic(), end, "no estimates from traffic")
            tiles = [self.tile(frame=3) for _ in range(10)]
            for tile in tiles:
                self.robot.send(tile)
            self.until(lambda: tiles[-1] in self.at_server, "the arrival of the last tile")
        self.check_estimates("traffic")

    def check_estimates(self, source):
        estimates = [m for m in list(self.estimates) if m.source == source]
        up = statistics.median(m.up for m in estimates)
        print("{}: estimate {:.2f} MB/s, true {:.2f} MB/s".format(source, up / 1e6, self.rate / 1e6))
        self.assertTrue(self.rate / 2 < up < self.rate * 2, up)
        self.assertEqual({m.robot_id for m in estimates}, {"robot"})
        self.assertGreater(max(m.confidence for m in estimates), 0.4)

    def test_f_a_cut_silences_and_ends(self):
        self.until(lambda: self.true and self.true[-1].data == self.rate / 1e6, "the shaper's report")
        self.assertTrue(self.cut(True).success)
        self.until(lambda: self.true[-1].data == 0.0, "the report of silence")
        time.sleep(0.3)
        robot, server = len(self.at_robot), len(self.at_server)
        for _ in range(8):
            self.robot.send(self.tile(5000))
            self.server.send(Heartbeat("robot", 5))
            time.sleep(0.5)  # longer than a silence: the subscriptions are made anew meanwhile
        self.assertEqual((len(self.at_robot), len(self.at_server)), (robot, server))
        self.assertTrue(self.cut(False).success)
        self.wait_for_link(10.0)

    def test_g_dead_connections_are_made_anew(self):
        for link in (self.robot, self.server):
            for subscriber in link._subscriptions._subscribers.values():
                for connection in list(subscriber.impl.connections):
                    connection.close()  # the publisher stays registered: rospy itself does nothing
        self.wait_for_link(10.0)

    def test_h_restart_of_the_trace(self):
        self.assertTrue(rospy.ServiceProxy("/shaper/restart", Trigger)().success)
        self.wait_for_link()

    def test_i_diagnostics(self):
        self.until(lambda: self.diagnostics, "diagnostics")
        status = self.diagnostics[-1].status[0]
        self.assertEqual((status.name, status.hardware_id), ("bandwidth_monitor: intra_dp bandwidth monitor", "robot"))

    def test_j_a_closed_link_is_quiet(self):
        self.robot.close()
        received = self.robot.stats().received
        self.robot.send(self.tile())
        self.server.send(Heartbeat("robot", 5))
        time.sleep(1.0)
        self.assertEqual(self.robot.stats().received, received)
        self.robot.close()


if __name__ == "__main__":
    rospy.init_node("link_under_test")
    rostest.rosrun("intra_dp_ros", "link", TestLink)
