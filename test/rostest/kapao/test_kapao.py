#!/usr/bin/env python3
"""The KAPAO node as its users see it: a replayed bag, bad input, and what a follower subscribes to."""
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

import cv2
import dynamic_reconfigure.client
import numpy as np
import rospy
import rostest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PointStamped, PoseStamped
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from visualization_msgs.msg import Marker, MarkerArray

from intra_dp_ros.apps.assets import asset_path
from intra_dp_ros.apps.loaders.zoo import FETCH
from intra_dp_ros.apps.models import DEFAULT_MODEL, load_model
from intra_dp_ros.apps.pipeline import ImageModel
from intra_dp_ros.bench.bag import open_source
from intra_dp_ros.bench.depth_scene import camera_for, depth_image
from intra_dp_ros.msg import People
from intra_dp_ros.ros import bag_writer, conversions
from intra_dp_ros.runtime.machine import use_threads
from intra_dp_ros.srv import GetStatus

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "robot"))
from harness import Harness, Lines  # noqa: E402

RGB, DEPTH, INFO = "/camera/rgb/image_raw", "/camera/depth/image_raw", "/camera/depth/camera_info"
FRAME_ID = "camera_rgb_optical_frame"
COUNT, PERIOD_S = 6, 1.0
needs_people = unittest.skipIf(None in (asset_path("vtest.avi"), asset_path("movenet-multipose.bin")),
                               "video or weights are not in the cache: " + FETCH)


class TestKapao(unittest.TestCase):
    """In the order of their names, on one set of nodes: transforms come with the bag only."""

    @classmethod
    def setUpClass(cls):
        use_threads(1)
        cls.lines = Lines()
        cls.harness = Harness(RGB, "/kapao_node")
        cls.frames = list(open_source().frames(5.0, COUNT / 5.0))
        cls.model = ImageModel(load_model(DEFAULT_MODEL))
        cls.camera = camera_for(*cls.frames[0][1].shape[:2])
        cls.got = {name: [] for name in ("point", "pose", "markers", "goal", "diagnostics")}
        for name, topic, kind in (("point", "/person_point", PointStamped), ("pose", "/kapao_pose", Image),
                                  ("markers", "/people_markers", MarkerArray),
                                  ("goal", "/move_base_simple/goal", PoseStamped),
                                  ("diagnostics", "/diagnostics", DiagnosticArray)):
            rospy.Subscriber(topic, kind, cls.got[name].append, queue_size=100)
        cls.jpeg = rospy.Publisher(RGB + "/compressed", CompressedImage, queue_size=5)
        cls.harness.wait_for_robot()
        for number in range(100, 103):  # the first frames of any program are slow
            cls.harness.ask(number)

    def setUp(self):
        for answers in (self.harness.people, self.harness.stats, *self.got.values()):
            del answers[:]

    def assert_one_line(self, *words, node="/kapao_node"):
        """However often something is wrong, it is said once."""
        self.harness.until(lambda: self.lines.of(node, *words), "a line on {}".format(words))
        self.assertEqual(len(self.lines.of(node, *words)), 1, self.lines.of(node))

    def bad(self):
        return list(self.harness.status()["bad"])

    def count(self, words, times):
        """Wait until a problem was counted so often."""
        self.harness.until(lambda: sum(n for line, n in self.harness.status()["bad"].items() if words in line) == times,
                           "word {} on {}".format(times, words))

    def show_both(self, depth):
        """One image and its depth image; the stamp [s]."""
        stamp = rospy.Time.now()
        for publisher, pixels in ((self.depth, depth), (self.harness.camera, self.frames[0][1])):
            message = bag_writer.image_message(pixels, FRAME_ID)
            message.header.stamp = stamp
            publisher.publish(message)
        return stamp.to_sec()

    def until_answered(self, stamp):
        self.harness.until(lambda: stamp in self.harness.answered(), "the answer")

    def test_a_colour_alone(self):
        for number in range(3):
            self.harness.ask(number)
            time.sleep(0.5)
        said = [line for line in self.bad() if "nobody publishes /camera/depth/image_raw" in line]
        self.assertEqual(len(said), 1, self.bad())
        self.assertIn("camera/depth/image_raw:=", said[0])
        self.assertEqual(self.got["point"], [])
        self.harness.until(lambda: len(self.got["pose"]) == 3, "overlays")

    def test_b_bad_colour(self):
        for number in range(3):
            self.harness.show(10 + number, encoding="rgb9")
            self.count("rgb9", 1 + number)
            self.harness.show(20 + number, np.zeros((0, 0, 3), np.uint8))
            self.count("0x0", 1 + number)
        self.harness.ask(30)
        self.assert_one_line("encoding 'rgb9' is not supported; supported are: rgb8")
        self.assert_one_line("a rgb8 image of 0x0 has no pixels")

    @needs_people
    def test_c_depth_without_what_it_needs(self):
        """No camera_info, depth of another size, then all there but no transform: a line each, people all the same."""
        cls = type(self)
        cls.depth = rospy.Publisher(DEPTH, Image, queue_size=5)
        self.harness.until(lambda: self.depth.get_num_connections() >= 2, "the subscriptions to depth")
        good = depth_image(self.camera, self.model.unsplit(self.frames[0][1]))
        end = time.monotonic() + 20.0
        while not any("no camera_info on {}".format(INFO) in line for line in self.bad()):
            self.assertLess(time.monotonic(), end, self.bad())
            self.until_answered(self.show_both(good))
        info = rospy.Publisher(INFO, CameraInfo, queue_size=5, latch=True)
        info.publish(bag_writer.info_message(self.camera, FRAME_ID))
        self.harness.until(lambda: info.get_num_connections() >= 2, "the subscriptions to camera_info")
        self.assert_one_line("no camera_info on {}".format(INFO), "camera/depth/camera_info:=")
        for number in range(2):
            self.until_answered(self.show_both(good[::2, ::2].copy()))
            self.count("384x288 for a colour image of 768x576", 1 + number)
        self.assert_one_line("384x288 for a colour image of 768x576: register depth to colour")
        self.assertEqual(self.got["point"], [])
        stamp = self.show_both(good)
        self.until_answered(stamp)
        self.harness.until(lambda: self.got["point"], "the point")
        self.assertEqual(self.got["point"][0].header.frame_id, FRAME_ID)
        self.assertEqual(self.got["point"][0].header.stamp.to_sec(), stamp)
        self.assertEqual(len([line for line in self.bad() if "'map'" in line]), 1, self.bad())
        self.assert_one_line("person_point is in the camera's frame", "'map'")
        self.harness.until(lambda: stamp in [m.header.stamp.to_sec() for m in self.harness.stats], "the statistics")

    @needs_people
    def test_d_bag(self):
        """Real pedestrians, synthetic depth: exact people, a point where they stand, all stamped as the image."""
        with tempfile.TemporaryDirectory() as folder:
            bag = os.path.join(folder, "rgbd.bag")
            frames = [(i * PERIOD_S, rgb) for i, (_, rgb) in enumerate(self.frames)]
            count = bag_writer.write_messages(bag, bag_writer.rgbd_messages(frames, RGB, FRAME_ID))
            self.assertEqual(count, COUNT)
            subprocess.run(["rosbag", "play", "--quiet", "--wait-for-subscribers", bag], check=True, timeout=90,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            self.harness.until(lambda: len(self.harness.stats) >= COUNT, "all answers")
        stamps = [m.header.stamp for m in self.harness.people]
        self.assertEqual(len(stamps), COUNT)
        self.harness.until(lambda: len(self.got["pose"]) >= COUNT, "all overlays")
        self.assertEqual([m.header.stamp for m in self.got["pose"]], stamps)
        self.assertLessEqual({m.header.stamp for m in self.got["point"]}, set(stamps))
        self.assertGreaterEqual(len(self.got["point"]), COUNT - 2, "the one who is followed may be out of sight")
        self.assertEqual({(m.encoding, m.width, m.height, m.header.frame_id) for m in self.got["pose"]},
                         {("rgb8", 768, 576, FRAME_ID)})
        self.assertTrue(any(m.outcome == m.OUTCOME_SPLIT for m in self.harness.stats))
        self.assertLessEqual(max(m.rel_error for m in self.harness.stats), 1e-4)
        for (_, rgb), message in zip(self.frames, self.harness.people):
            self.check_people(message, self.model.unsplit(rgb))
        self.check_points()
        self.assertEqual(self.got["goal"], [], "goals are off unless asked for")

    def check_people(self, message, expected):
        """The very people of the unsplit model."""
        self.assertEqual(len(message.people), len(expected))
        for person, other in zip(message.people, expected):
            np.testing.assert_allclose((person.x_min, person.y_min, person.x_max, person.y_max), other.box, atol=0.05)
            self.assertAlmostEqual(person.score, other.score, delta=1e-4)
            np.testing.assert_allclose([(k.x, k.y, k.score) for k in person.keypoints],
                                       [(k.x, k.y, k.score) for k in other.keypoints], atol=0.05)
            self.assertGreater(person.track_id, 0)

    def check_points(self):
        """One person is followed through the bag, and stands where their feet are on the floor."""
        ids = [{p.track_id for p in m.people} for m in self.harness.people]
        self.assertTrue(set.intersection(*ids), "nobody kept their number: {}".format(ids))
        for point in self.got["point"]:
            self.assertEqual(point.header.frame_id, "map")
            message = next(m for m in self.harness.people if m.header.stamp == point.header.stamp)
            pitch, feet = self.camera.pitch, [float(round(p.y_max)) for p in message.people]
            ahead = [self.camera.floor_depth(row) * (np.cos(pitch) - np.sin(pitch) * self.camera.intrinsics.ray(
                0.0, row)[1]) for row in feet]
            self.assertLess(min(abs(point.point.x - x) / x for x in ahead), 0.05, "{} of {}".format(point.point, ahead))
        shown = [m.markers for m in self.got["markers"]]
        self.assertEqual({m[0].action for m in shown}, {Marker.DELETEALL})
        placed = [m for m in shown if {one.ns for one in m[1:]} >= {"person", "label"}]
        self.assertGreaterEqual(len(placed), COUNT - 2, "depth may come too late on a busy machine")
        self.assertEqual({one.header.frame_id for m in shown for one in m}, {FRAME_ID})

    def test_e_jpeg(self):
        """The camera's own JPEG travels after a change of the codec, and is decoded on the server."""
        done, data = cv2.imencode(".jpg", np.ascontiguousarray(self.frames[2][1][:, :, ::-1]))
        self.assertTrue(done)
        client = dynamic_reconfigure.client.Client("/kapao_node", timeout=20.0)
        self.assertEqual(client.update_configuration({"strategy": "offload", "input_codec": "source"})["input_codec"],
                         "source")
        self.assertEqual(client.update_configuration({"input_codec": "zip"})["input_codec"], "source")
        self.harness.until(lambda: self.jpeg.get_num_connections() >= 2, "the subscriptions to JPEG images")
        expected = self.model.unsplit(conversions.image_from_compressed(CompressedImage(data=data.tobytes())))
        for number in range(4998, 5040):
            message = CompressedImage(format="jpeg", data=data.tobytes())
            message.header.stamp, message.header.frame_id = rospy.Time(number), FRAME_ID
            self.jpeg.publish(message)
            if number < 5000:
                time.sleep(1.1)  # depth has stopped: after a second colour goes on alone
                continue
            self.until_answered(float(number))
            self.harness.until(lambda: len(self.harness.stats) == len(self.harness.people), "the statistics")
            self.check_people(self.harness.people[-1], expected)
            stats = self.harness.stats[-1]
            self.assertLessEqual(stats.rel_error, 1e-4)
            if stats.outcome == stats.OUTCOME_SPLIT and stats.bytes_up < len(data) + 100:
                return
        self.fail("no frame travelled as its JPEG of {} bytes: {}".format(len(data), self.harness.stats[-1]))

    @needs_people
    def test_f_follower(self):
        """With ~publish_goal: at the set distance from the person, on the floor, in front of the robot."""
        status = json.loads(rospy.ServiceProxy("/follower/kapao_node/get_status", GetStatus)().json)
        self.assertEqual(status["answered"], 0, "nobody listened")
        self.assertGreater(status["ignored"], COUNT)
        goals, points, people = [], [], []
        rospy.Subscriber("/follower/move_base_simple/goal", PoseStamped, goals.append, queue_size=10)
        rospy.Subscriber("/follower/person_point", PointStamped, points.append, queue_size=10)
        rospy.Subscriber("/follower/people", People, people.append, queue_size=10)
        good = depth_image(self.camera, self.model.unsplit(self.frames[0][1]))
        self.harness.until(lambda: self.show_both(good) and time.sleep(0.5) is None and goals, "a goal")
        goal = goals[0]
        point = next(p for p in points if p.header.stamp == goal.header.stamp)
        self.assertEqual((goal.header.frame_id, point.header.frame_id, goal.pose.position.z), ("map", "map", 0.0))
        ahead = np.array([point.point.x - goal.pose.position.x, point.point.y - goal.pose.position.y])
        self.assertAlmostEqual(float(np.hypot(*ahead)), 2.0, places=3)
        yaw = 2.0 * np.arctan2(goal.pose.orientation.z, goal.pose.orientation.w)
        np.testing.assert_allclose((np.cos(yaw), np.sin(yaw)), ahead / 2.0, atol=1e-3)

    def test_g_without_a_model(self):
        """Nodes without a checkout, and with another network's weights, live and say why, once a second."""
        def said(node):
            return [s for array in list(self.got["diagnostics"]) for s in array.status
                    if s.name.startswith(node + "/kapao_node") and s.level == 2]
        for node, words in (("without", "needs a checkout of KAPAO"), ("misled", "does not fit the model")):
            self.harness.until(lambda: len(said(node)) >= 2, "diagnostics of the node " + node)
            self.assertIn(words, said(node)[0].message)
            self.assert_one_line(words, node="/{}/kapao_node".format(node))
        values = {v.key: v.value for array in list(self.got["diagnostics"]) for s in array.status
                  if s.name.startswith("kapao_node") for v in s.values}
        for key in ("state", "rate [Hz]", "median latency [ms]", "predicted inference [ms]", "uplink [MB/s]",
                    "energy per frame [J]", "up per frame [kB]", "inputs skipped for newer ones", "last fallback",
                    "device"):
            self.assertIn(key, values)

    def test_h_top(self):
        """The terminal view knows them all."""
        shown = subprocess.run(["rosrun", "intra_dp_ros", "top", "--count", "3"], check=True, timeout=60,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout.decode()
        last = shown[shown.rindex("ROBOT"):]
        self.assertRegex(last, r"(?m)^robot +SPLIT ")
        self.assertRegex(last, r"(?m)^without +no model")
        self.assertRegex(last, r"(?m)^server intra_dp_server on cpu: ")


if __name__ == "__main__":
    rospy.init_node("harness")
    rostest.rosrun("intra_dp_ros", "kapao", TestKapao)
