#!/usr/bin/env python3
"""The web page in a real browser, with a real robot and server: shows them, wakes the robot, changes its strategy."""
import os
import subprocess
import sys
import threading
import unittest
from urllib.parse import urlsplit

import rospy
import rostest
from sensor_msgs.msg import Image

from intra_dp_ros.bench.browser import Browser, find_browser

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "robot"))
from harness import READY_S, Harness, kill  # noqa: E402

SOON_S = 30.0


@unittest.skipIf(find_browser() is None,
                 "there is no Chromium outside a snap: install the package chromium, or google-chrome")
class TestDashboard(unittest.TestCase):
    """In the order of their names, on one set of nodes and one page.  Nobody but the page looks at the robot."""

    @classmethod
    def setUpClass(cls):
        cls.harness = Harness(listens=False)
        cls.harness.wait_for_robot()
        cls.harness.until(lambda: rospy.has_param("/dashboard/url"), "the page's address", READY_S)
        cls.url = rospy.get_param("/dashboard/url")
        cls.browser = Browser()
        cls.done = threading.Event()
        threading.Thread(target=cls.film, daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        cls.done.set()
        cls.browser.close()

    @classmethod
    def film(cls):
        number = 0
        while not cls.done.wait(0.4):
            cls.harness.show(number % 20)
            number += 1

    def until(self, expression, what):
        self.browser.until(expression, what, SOON_S)

    def test_a_shows_everything(self):
        self.browser.open(self.url)
        self.until("document.querySelector('tr.robot[data-robot=robot] .pill').textContent == 'SPLIT'", "the state")
        self.until("document.getElementById('picture').naturalWidth == 768", "the picture, at its size")
        self.until("document.querySelectorAll('#gantt rect.measured.c-server').length > 0", "the server's lane")
        self.until("document.querySelectorAll('#gantt rect.measured.c-uplink').length > 0", "the uplink's lane")
        self.until("document.querySelectorAll('#gantt rect.predicted').length > 0", "the prediction")
        for name in ("s-inference", "s-predicted"):
            self.until("(document.querySelector('#latency path.{}') || 0) && document.querySelector('#latency path.{}')"
                       ".getTotalLength() > 5".format(name, name), "the line " + name)
        self.until("(document.querySelector('#bandwidth path.s-up') || 0) && "
                   "document.querySelector('#bandwidth path.s-up').getTotalLength() > 5", "the bandwidth")
        self.until("document.getElementById('servers').textContent.includes('intra_dp_server')", "the server")
        self.until("document.getElementById('last').textContent.includes('offload')", "the plan")

    def test_b_changes_the_strategy(self):
        button = "document.querySelector('#strategies button[data-strategy={}]')"
        self.until(button.format("offload") + ".ariaPressed == 'true'", "the strategy that holds")
        self.browser.evaluate(button.format("local") + ".click()")
        self.until("document.getElementById('answer').className == 'good'", "the answer")
        self.assertEqual(self.harness.status()["strategy"], "local")
        self.until(button.format("local") + ".ariaPressed == 'true'", "the new strategy")
        self.until("document.querySelectorAll('#gantt rect.measured.c-robot').length > 0 && "
                   "!document.querySelector('#gantt rect.c-server')", "a local frame")

    def test_c_says_what_is_refused(self):
        self.browser.evaluate("send({strategy: {robot: 'robot', strategy: 'nonsense'}})")
        self.until("document.getElementById('answer').className == 'bad' && "
                   "document.getElementById('answer').textContent.includes('nonsense')", "the robot's refusal")
        self.assertEqual(self.harness.status()["strategy"], "local")

    def test_ca_an_old_picture_says_its_age(self):
        age, is_pale = self.browser.evaluate("pictureAt = performance.now() - 60000, showPictureAge(), "
                                             "[document.getElementById('picture-age').textContent, "
                                             "document.getElementById('picture').classList.contains('old')]")
        self.assertEqual((age, is_pale), ("60 s old", True))
        self.until("document.getElementById('picture-age').textContent == '' && "
                   "!document.getElementById('picture').classList.contains('old')", "a new picture")

    def test_d_robot_rests_when_nobody_looks(self):
        overlay = rospy.Publisher("/overlay", Image, queue_size=1)  # counts who listens
        self.harness.until(lambda: overlay.get_num_connections() > 0, "the page's subscription")
        self.browser.open("about:blank")
        self.harness.until(lambda: overlay.get_num_connections() == 0, "its end")
        before = self.harness.status()["ignored"]
        self.harness.until(lambda: self.harness.status()["ignored"] > before + 2, "images that nobody wants answered")
        self.browser.open(self.url)
        self.harness.until(lambda: overlay.get_num_connections() > 0, "the subscription again")
        self.until("document.querySelectorAll('tr.robot').length == 1", "the robot again")

    def test_e_comes_back(self):
        port = urlsplit(self.url).port
        kill("/dashboard")
        self.until("document.getElementById('connection').textContent.includes('trying again')", "a word on the loss")
        with open(os.devnull, "wb") as nowhere, subprocess.Popen(
                ["rosrun", "intra_dp_ros", "dashboard_node", "__name:=dashboard2", "_port:={}".format(port)],
                stdout=nowhere, stderr=nowhere, start_new_session=True) as again:
            try:
                self.until("document.getElementById('connection').textContent == 'live'", "the connection again")
                self.until("document.querySelectorAll('tr.robot').length == 1", "the robot again")
            finally:
                os.killpg(again.pid, 15)

    def test_f_nothing_from_elsewhere(self):
        hosts = {urlsplit(url).hostname for url in self.browser.requests if not url.startswith(("blob:", "about:"))}
        self.assertEqual(hosts, {"127.0.0.1"})
        # What the loss of the connection in the test before says is no error of the page.
        errors = [error for error in self.browser.errors if "ERR_CONNECTION_REFUSED" not in error]
        self.assertEqual(errors, [])


if __name__ == "__main__":
    rospy.init_node("harness")
    rostest.rosrun("intra_dp_ros", "dashboard", TestDashboard)
