#!/usr/bin/env python3
"""A robot whose server never comes answers every image by itself and says what it waits for."""
import os
import sys
import unittest

import rospy
import rostest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Harness, Lines  # noqa: E402


class TestNoServer(unittest.TestCase):

    def test_every_image_is_answered(self):
        harness, lines = Harness(), Lines()
        harness.wait_for_robot(split=False)
        for number in range(6):
            stats = harness.ask(number)
            self.assertEqual((stats.outcome, stats.bytes_up), (stats.OUTCOME_LOCAL, 0))
        self.assertEqual([m.frame for m in harness.people], list(range(1, 7)))
        harness.until(lambda: "open_session" in harness.status()["problem"], "a word on what the robot waits for")
        self.assertEqual(harness.status()["state"], "CONNECTING")
        harness.until(lambda: lines.of("/intra_dp_robot", "frames are computed on the robot", "open_session"),
                      "the same on /rosout")


if __name__ == "__main__":
    rospy.init_node("harness")
    rostest.rosrun("intra_dp_ros", "no_server", TestNoServer)
