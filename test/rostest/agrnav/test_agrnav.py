#!/usr/bin/env python3
"""The completion node as its users see it: scans of a real lidar from a bag, bad input, what AGRNav's planner gets."""
import os
import subprocess
import sys
import tempfile
import time
import unittest

import numpy as np
import rospy
import rostest
import torch
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import Image, LaserScan, PointCloud2
from std_msgs.msg import Float64MultiArray, Header
from visualization_msgs.msg import Marker, MarkerArray

from intra_dp_ros.apps.models import load_model
from intra_dp_ros.apps.voxels import Grid, points_of, predicted, voxelise
from intra_dp_ros.bench.clouds import open_clouds
from intra_dp_ros.msg import InferenceStats, OccupiedSpace
from intra_dp_ros.ros.bag_writer import write_messages
from intra_dp_ros.ros.cloud_bag import CLOUD_TOPIC, cloud_messages
from intra_dp_ros.ros.frames import Frames
from intra_dp_ros.ros.point_clouds import cloud_to_msg, points_from_cloud
from intra_dp_ros.runtime.machine import use_threads
from intra_dp_ros.srv import SetStrategy

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "robot"))
from harness import READY_S, Harness, Lines  # noqa: E402

GRID = Grid((64, 64, 32), 0.4, (-12.8, -12.8, -0.4))  # of coarse.yaml
COUNT, PERIOD_S = 4, 2.0


class TestAgrnav(unittest.TestCase):
    """In the order of their names, on one set of nodes; at first nobody listens to them."""

    @classmethod
    def setUpClass(cls):
        use_threads(1)
        cls.source = open_clouds()
        cls.module = load_model("sconet-style", shape=GRID.shape).module
        cls.frames = Frames()
        cls.lines = Lines()
        cls.harness = Harness("/no_images", "/completion_node", False)
        cls.harness.camera = rospy.Publisher(CLOUD_TOPIC, PointCloud2, queue_size=50)
        cls.harness.wait_for_robot(split=False)
        cls.got = {}

    def subscribe(self):
        """As planner, rviz and whoever else."""
        for topic, kind in (("/sconet_pred", PointCloud2), ("/non_intersection_coordinates", Float64MultiArray),
                            ("/occupied_space", OccupiedSpace), ("/completed_cloud", PointCloud2),
                            ("/completion_markers", MarkerArray), ("/top_view", Image), ("/stats", InferenceStats),
                            (CLOUD_TOPIC, PointCloud2), ("/diagnostics", DiagnosticArray)):
            self.got[topic] = []
            rospy.Subscriber(topic, kind, self.got[topic].append, queue_size=100, buff_size=2 ** 24)

    def setUp(self):
        for messages in self.got.values():
            del messages[:]

    def show(self, number, frame_id="world", points=None):
        """Publish a cloud; its stamp."""
        points = self.source.points if points is None else points
        message = cloud_to_msg(points, Header(stamp=rospy.Time(1000 + number), frame_id=frame_id))
        self.harness.camera.publish(message)
        return message.header.stamp

    def until_answered(self, stamp):
        self.harness.until(lambda: any(m.header.stamp == stamp for m in list(self.got["/stats"])), "the answer")

    def said(self, publish, *words):
        """What is wrong is counted each time and logged once."""
        for times in (1, 2):
            publish()
            self.harness.until(lambda: sum(n for line, n in self.harness.status()["bad"].items() if all(
                w in line for w in words)) == times, "word {} on {}".format(times, words))
        self.assertEqual(len(self.lines.of("/completion_node", *words)), 1, self.lines.of("/completion_node"))

    def test_a_nobody_listens(self):
        self.show(1)
        self.harness.until(lambda: self.harness.status()["ignored"] == 1, "the cloud to be ignored")
        self.assertEqual(self.harness.status()["answered"], 0)
        self.subscribe()
        self.harness.until(self.harness.is_split, "splitting", READY_S)
        self.until_answered(self.show(2))

    def test_b_bad_clouds(self):
        self.said(lambda: self.harness.camera.publish(PointCloud2(header=Header(frame_id="world"))), "no field x, y, z")
        self.said(lambda: self.show(3, points=self.source.points[:0]), "no points")
        self.said(lambda: self.show(4, points=self.source.points + 500.0), "is in the grid from (-12.8, -12.8, -0.4)",
                  "in world")
        self.said(lambda: self.show(5, "nowhere"), "no transform from 'nowhere' to 'world'")
        self.until_answered(self.show(6))
        found = list(dict.fromkeys((m.header.stamp.secs, m.width > 0) for m in self.got["/sconet_pred"]))
        self.assertEqual(found, [(1003, False), (1004, False), (1006, True)], "where nothing is seen nothing is kept")

    def test_c_bag(self):
        """Real scans through tf, offloaded and as the scheduler splits: the very classes of the unsplit model."""
        strategy = rospy.ServiceProxy("/completion_node/set_strategy", SetStrategy)
        for name in ("offload", "intra_dp"):
            self.assertTrue(strategy(name).accepted)
            self.harness.until(self.harness.is_split, "splitting", READY_S)
            self.setUp()
            self.replay()
            self.harness.until(lambda: len(self.got["/stats"]) == COUNT, "all answers")
            self.check_answers(name)

    def replay(self):
        with tempfile.TemporaryDirectory() as folder:
            bag = os.path.join(folder, "clouds.bag")
            clouds = self.source.clouds(1.0 / PERIOD_S, COUNT * PERIOD_S)
            self.assertEqual(write_messages(bag, cloud_messages(clouds)), COUNT)
            subprocess.run(["rosbag", "play", "--quiet", "--wait-for-subscribers", bag], check=True, timeout=90,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def check_answers(self, strategy):
        got = self.got
        for topic in ("/sconet_pred", "/non_intersection_coordinates", "/occupied_space"):
            self.harness.until(lambda: len(got[topic]) == COUNT, "all of {}".format(topic))
        stamps = [m.header.stamp for m in got[CLOUD_TOPIC]]
        self.assertEqual(len(stamps), COUNT)
        for topic in ("/sconet_pred", "/occupied_space"):
            self.assertEqual([m.header.stamp for m in got[topic]], stamps)
            self.assertEqual({m.header.frame_id for m in got[topic]}, {"world"})
        for cloud, added, triples, space in zip(got[CLOUD_TOPIC], got["/sconet_pred"],
                                                got["/non_intersection_coordinates"], got["/occupied_space"]):
            move = self.frames.find("world", cloud.header.frame_id, cloud.header.stamp)
            points = points_from_cloud(cloud)[0]
            points = points @ move.rotation.T.astype(np.float32) + move.translation.astype(np.float32)
            np.testing.assert_allclose(points, self.source.points, atol=1e-2)
            occupancy = voxelise(points, GRID)
            with torch.inference_mode():
                classes = self.module(torch.from_numpy(occupancy)).numpy()
            cells, kinds = predicted(occupancy, classes, GRID)
            self.assertGreater(len(cells), 100)
            planner = np.reshape(np.array(triples.data, dtype=np.int64), (-1, 3))  # as AGRNav's planner reads it
            np.testing.assert_array_equal(planner, cells)
            corners, intensity = points_from_cloud(added)
            np.testing.assert_allclose(corners, points_of(cells, GRID, centres=False), atol=1e-5)
            np.testing.assert_array_equal(intensity, kinds)
            self.assertEqual((space.seen, space.added), (int(occupancy.sum()), len(cells)))
            self.assertEqual(sum(space.class_cells), space.completed)
        stats = got["/stats"]
        self.assertEqual({m.rel_error for m in stats}, {0.0})
        split = [m for m in stats if m.outcome == m.OUTCOME_SPLIT]
        self.assertTrue(split, [m.reason for m in stats])
        if strategy == "offload":  # lossless and small both ways: raw, it is 131072 bytes
            self.assertLess(max(m.bytes_up for m in split), 131072 / 8)
            self.assertLess(max(m.bytes_down for m in split), 131072 / 1.5)
        self.check_pictures()

    def check_pictures(self):
        self.harness.until(lambda: all(self.got[t] for t in ("/completed_cloud", "/completion_markers", "/top_view")),
                           "pictures")
        space = self.got["/occupied_space"]
        cloud = self.got["/completed_cloud"][-1]
        self.assertEqual([f.name for f in cloud.fields], ["x", "y", "z", "rgb"])
        self.assertEqual(cloud.width, next(s.completed for s in space if s.header.stamp == cloud.header.stamp))
        self.assertEqual(self.got["/completion_markers"][-1].markers[0].action, Marker.DELETEALL)
        view = self.got["/top_view"][-1]
        self.assertEqual((view.encoding, view.header.frame_id), ("rgb8", "world"))

    def test_d_newest_cloud_wins(self):
        shown, skipped = [], self.harness.status()["skipped"]
        for number in range(100, 130):
            shown.append(self.show(number))
            time.sleep(0.05)
        self.until_answered(shown[-1])
        answered = [m.header.stamp for m in self.got["/stats"]]
        self.assertLess(len(answered), len(shown))
        self.assertEqual(answered, sorted(set(answered)), "answers in the order of the clouds, each once")
        skipped = self.harness.status()["skipped"] - skipped
        self.assertEqual(skipped, len(shown) - len(answered), "all others are counted")

    def test_e_laser_scan(self):
        found, stats = [], []
        rospy.Subscriber("/scanner/sconet_pred", PointCloud2, found.append, queue_size=10)
        rospy.Subscriber("/scanner/occupied_space", OccupiedSpace, stats.append, queue_size=10)
        scanner = rospy.Publisher("/scan", LaserScan, queue_size=5)
        self.harness.until(lambda: scanner.get_num_connections() > 0, "the subscription to scans", READY_S)
        scan = LaserScan(header=Header(stamp=rospy.Time(77), frame_id="laser"), angle_min=-3.1, angle_increment=0.005,
                         range_min=0.1, range_max=30.0, ranges=[11.0] * 1200 + [float("inf")] * 40)
        time.sleep(0.5)
        scanner.publish(scan)
        self.harness.until(lambda: found and stats, "the answer to the scan")
        self.assertEqual((found[0].header.stamp, found[0].header.frame_id), (scan.header.stamp, "laser"))
        self.assertGreater(stats[0].seen, 10)

    def test_f_weights_of_something_else(self):
        """Nodes with a file that holds no weights, and with another network's, live and say why, once a second."""
        def lines(node):
            return [s for array in list(self.got["/diagnostics"]) for s in array.status
                    if s.name.startswith(node + "/completion_node") and s.level == 2]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "kapao.pt")
            torch.save(load_model("kapao-style", size=(64, 64)).module.state_dict(), path)
            other = subprocess.Popen(["rosrun", "intra_dp_ros", "completion_node", "__ns:=/other", "_robot_id:=other",
                                      "_model:=sconet-style", "_weights:=" + path])
            try:
                for node, words in (("without", "is no state dict of tensors"),
                                    ("other", "does not fit model 'sconet-style': it has no tensor ")):
                    self.harness.until(lambda: len(lines(node)) >= 2, "diagnostics of the node " + node)
                    self.assertIn(words, lines(node)[0].message)
                    self.assertEqual(len(self.lines.of("/{}/completion_node".format(node), words)), 1)
                self.assertIsNone(other.poll())
            finally:
                other.terminate()
                other.wait(timeout=20)

    def test_g_status_names_what_was_found(self):
        status = self.harness.status()
        self.assertIn("occupied after completion", status["occupied space"])
        self.assertEqual(status["weights"], "random")


if __name__ == "__main__":
    rospy.init_node("harness")
    rostest.rosrun("intra_dp_ros", "agrnav", TestAgrnav)
