"""A camera and an audience for a robot node under test."""
import json
import os
import signal
import threading
import time
import xmlrpc.client

import numpy as np
import rosgraph
import rosnode
import rospy
from rosgraph_msgs.msg import Log
from sensor_msgs.msg import Image

from intra_dp_ros.bench.bag import synthetic_image
from intra_dp_ros.msg import InferenceStats, People
from intra_dp_ros.srv import GetStatus

IMAGES = "/camera/color/image_raw"
FRAME_ID = "camera_under_test"
READY_S = 120.0
ANSWER_S = 20.0


class Lines:
    """What nodes log from now on, and the last line of each before.

    rospy latches that last line: who subscribes in the very moment it is said gets it twice, with one stamp.
    """

    def __init__(self):
        self._heard = {}
        rospy.Subscriber("/rosout", Log, self._keep, queue_size=1000)

    def _keep(self, line):
        self._heard[line.name, line.header.stamp, line.msg] = line

    def of(self, node, *words):
        """The warnings and errors of a node in which all words stand."""
        return [m.msg for m in list(self._heard.values()) if m.name == node and m.level >= Log.WARN
                and all(word in m.msg for word in words)]


class Harness:
    """Publishes images, keeps the answers when it `listens`.  One lock covers the answers."""

    def __init__(self, images=IMAGES, node="/intra_dp_robot", listens=True):
        self._lock = threading.Lock()
        self.people = []
        self.stats = []
        self.camera = rospy.Publisher(images, Image, queue_size=50)
        self._status = rospy.ServiceProxy(node + "/get_status", GetStatus)
        self._audience = [
            rospy.Subscriber("/people", People, self._keep, self.people, queue_size=100),
            rospy.Subscriber("/stats", InferenceStats, self._keep, self.stats, queue_size=100)] if listens else []

    def _keep(self, msg, where):
        with self._lock:
            where.append(msg)

    def status(self):
        return json.loads(self._status().json)

    def until(self, condition, what, seconds=ANSWER_S):
        """Wait for a condition; a test that waits too long fails and says for what."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end or rospy.is_shutdown():
                raise AssertionError("{} did not happen within {:.0f} s; the robot says {}".format(
                    what, seconds, self._last_words()))
            time.sleep(0.02)

    def _last_words(self):
        try:
            return {k: v for k, v in self.status().items() if k != "recent"}
        except rospy.ServiceException as error:
            return str(error)

    def wait_for_robot(self, split=True):
        """Until the robot listens, and runs frames together with the server when `split`."""
        rospy.wait_for_service(self._status.resolved_name, timeout=READY_S)
        self.until(lambda: self.camera.get_num_connections() > 0, "the robot's subscription", READY_S)
        self.until(lambda: all(a.get_num_connections() > 0 for a in self._audience), "listening to the robot", READY_S)
        if split:
            self.until(self.is_split, "splitting", READY_S)

    def is_split(self):
        status = self.status()
        return status["state"] == "SPLIT" and status["ready"][status["strategy"]] and status["uplink_MBps"] > 0

    def show(self, number, rgb=None, encoding="rgb8"):
        """Publish an image; its stamp [s]."""
        rgb = synthetic_image(number) if rgb is None else rgb
        message = Image(height=rgb.shape[0], width=rgb.shape[1], encoding=encoding, step=rgb.shape[1] * 3,
                        data=np.ascontiguousarray(rgb).tobytes())
        message.header.stamp = rospy.Time(1000 + number)
        message.header.frame_id = FRAME_ID
        self.camera.publish(message)
        return message.header.stamp.to_sec()

    def answered(self):
        """Stamps of the answers so far, in their order [s]."""
        with self._lock:
            return [m.header.stamp.to_sec() for m in self.people]

    def ask(self, number):
        """Publish an image and wait for its answer and its statistics."""
        stamp = self.show(number)
        self.until(lambda: any(m.header.stamp.to_sec() == stamp for m in list(self.stats)),
                   "the answer to image {}".format(number))
        assert self.answered().count(stamp) == 1, "image {} was answered {} times".format(
            number, self.answered().count(stamp))
        return next(m for m in self.stats if m.header.stamp.to_sec() == stamp)


def kill(node):
    """kill -9 a node's process, as a crash would."""
    uri = rosnode.get_api_uri(rosgraph.Master("/harness"), node, skip_cache=True)
    os.kill(xmlrpc.client.ServerProxy(uri).getPid("/harness")[2], signal.SIGKILL)
