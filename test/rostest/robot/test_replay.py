#!/usr/bin/env python3
"""A replayed bag through robot, emulated link and server: every image answered, exactly, stamps kept."""
import os
import subprocess
import sys
import tempfile
import time
import unittest

import numpy as np
import rospy
import rostest

from intra_dp_ros.bench.bag import synthetic_image
from intra_dp_ros.ros.bag_writer import write_bag

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import IMAGES, Harness  # noqa: E402

COUNT, PERIOD_S = 8, 1.0


class TestReplay(unittest.TestCase):
    """In the order of their names, on one set of nodes."""

    @classmethod
    def setUpClass(cls):
        cls.harness = Harness()
        cls.harness.wait_for_robot()
        for number in range(100, 103):  # the first frames of any program are slow
            cls.harness.ask(number)

    def setUp(self):
        del self.harness.people[:], self.harness.stats[:]

    def test_a_bag(self):
        with tempfile.TemporaryDirectory() as folder:
            bag = os.path.join(folder, "images.bag")
            write_bag(bag, ((i * PERIOD_S, synthetic_image(i)) for i in range(COUNT)), IMAGES, "from_the_bag")
            subprocess.run(["rosbag", "play", "--quiet", "--wait-for-subscribers", bag], check=True, timeout=90,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            self.harness.until(lambda: len(self.harness.stats) >= COUNT, "all answers")
        people, stats = self.harness.people, self.harness.stats
        stamps = [m.header.stamp.to_sec() for m in people]
        self.assertEqual(len(stamps), COUNT)
        np.testing.assert_allclose(np.diff(stamps), PERIOD_S, atol=1e-6)
        self.assertEqual(stamps, [m.header.stamp.to_sec() for m in stats])
        self.assertEqual({m.header.frame_id for m in people}, {"from_the_bag"})
        self.assertEqual({(m.width, m.height) for m in people}, {(768, 576)})
        for message in stats:
            self.assertGreaterEqual(message.rel_error, 0.0)
            self.assertLessEqual(message.rel_error, 1e-4)
            self.assertGreater(message.latency, message.inference)
        self.assertIn(1, [m.outcome for m in stats], [m.reason for m in stats])

    def test_b_newest_frame_wins(self):
        shown = []
        for number in range(40):
            shown.append(self.harness.show(number))
            time.sleep(0.02)
        self.harness.until(lambda: shown[-1] in self.harness.answered(), "the answer to the newest image")
        answered = self.harness.answered()
        self.assertLess(len(answered), len(shown))
        self.assertEqual(answered, sorted(set(answered)), "answers in the order of the images, each once")

    def test_c_bad_images(self):
        self.harness.show(1, encoding="rgb9")
        self.harness.until(lambda: any("rgb9" in what for what in self.harness.status()["bad"]),
                           "a word on the encoding")
        self.harness.show(2, np.zeros((0, 0, 3), np.uint8))
        self.harness.until(lambda: len(self.harness.status()["bad"]) == 2, "a word on the empty image")
        self.harness.ask(3)
        self.assertEqual(len(self.harness.people), 1)


if __name__ == "__main__":
    rospy.init_node("harness")
    rostest.rosrun("intra_dp_ros", "replay", TestReplay)
