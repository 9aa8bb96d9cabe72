#!/usr/bin/env python3
"""kill -9 of the server and silence of the link in the middle of a frame: answered all the same, later split again."""
import os
import sys
import time
import unittest

import rospy
import rostest
from std_srvs.srv import SetBool

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import READY_S, Harness, kill  # noqa: E402


class TestServerKilled(unittest.TestCase):
    """In the order of their names, on one set of nodes; every frame is compared with the unsplit model."""

    @classmethod
    def setUpClass(cls):
        cls.harness = Harness()
        cls.harness.wait_for_robot()
        cls.number = 0

    def ask(self):
        type(self).number += 1
        stats = self.harness.ask(self.number)
        self.assertLessEqual(stats.rel_error, 1e-4)
        return stats

    def interrupted(self, interrupt, after_s=0.1):
        """The statistics of a frame in whose middle something happens."""
        self.assertEqual(self.ask().outcome, 1)
        type(self).number += 1
        stamp = self.harness.show(self.number)
        time.sleep(after_s)
        interrupt()
        self.harness.until(lambda: self.harness.stats[-1].header.stamp.to_sec() == stamp, "the interrupted answer")
        return self.harness.stats[-1]

    def test_a_silent_link(self):
        cut = rospy.ServiceProxy("/shaper/cut", SetBool)
        for seconds in (1.0, 10.0):
            stats = self.interrupted(lambda: cut(True))
            self.assertEqual(stats.outcome, stats.OUTCOME_TAKEOVER, stats.reason)
            self.assertIn("silent", stats.reason)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                self.ask()
            self.assertEqual(self.ask().outcome, 0)
            cut(False)
            back = time.monotonic()
            self.harness.until(self.harness.is_split, "splitting after the silence")
            print("silence of {:g} s: ready to split {:.2f} s after the link was back".format(
                seconds, time.monotonic() - back))
            self.harness.until(lambda: self.ask().outcome == 1, "a split frame after the silence")

    def test_b_server_killed(self):
        for after_s in (0.0, 0.05, 0.15, 0.3):  # before the first tile, while tiles arrive, while it computes
            stats = self.interrupted(lambda: kill("/intra_dp_server"), after_s)
            print("killed {:.2f} s into a frame: {}, {:.2f} s in all".format(after_s, stats.reason, stats.latency))
            self.assertEqual(stats.outcome, stats.OUTCOME_TAKEOVER, stats.reason)
            self.assertEqual(self.ask().outcome, 0)
            self.harness.until(self.harness.is_split, "splitting with the server that roslaunch started again", READY_S)
            self.harness.until(lambda: self.ask().outcome == 1, "a split frame with the new server")


if __name__ == "__main__":
    rospy.init_node("harness")
    rostest.rosrun("intra_dp_ros", "server_killed", TestServerKilled)
