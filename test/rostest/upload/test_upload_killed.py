#!/usr/bin/env python3
"""A real server killed in the middle of an upload: the next one goes on where it stood."""
import hashlib
import os
import signal
import threading
import time
import unittest
import xmlrpc.client

import rosgraph
import rosnode
import rospy
import rostest
import torch

from intra_dp_ros.graph.blobs import Blobs
from intra_dp_ros.graph.constants import tensor_to_bytes
from intra_dp_ros.ros.control import RosControl
from intra_dp_ros.runtime.upload import Uploader

WAIT_S = 60.0
SIZES = (24 << 20, 5000, 3 << 20, 0)


class Slowly:
    """The real services, some milliseconds a piece slower, so that the kill falls into the upload."""

    def __init__(self):
        self.control = RosControl("/intra_dp")
        self.pieces = []  # (SHA-256, offset, bytes) that the server confirmed

    def put(self, request):
        time.sleep(0.05)
        reply = self.control.put(request)
        self.pieces.append((request.sha256, request.offset, len(request.data)))
        return reply


class TestUpload(unittest.TestCase):

    def until(self, condition, what):
        end = time.monotonic() + WAIT_S
        while not condition():
            self.assertLess(time.monotonic(), end, "{} took more than {:.0f} s".format(what, WAIT_S))
            time.sleep(0.01)

    def test_server_killed(self):
        tensors = [torch.randint(0, 256, (size,), dtype=torch.uint8) for size in SIZES]
        weights = {hashlib.sha256(tensor_to_bytes(t)).hexdigest(): t for t in tensors}
        blobs = Blobs(os.path.join(os.path.expanduser(rospy.get_param("~folder")), "blobs"), 1 << 40)
        rospy.wait_for_service("/intra_dp/server/put_blob", timeout=WAIT_S)
        wanted, services = threading.Event(), Slowly()
        wanted.set()
        uploader = Uploader("robot", weights, services, wanted)
        names = list(weights)
        try:
            uploader.want(names)
            self.until(lambda: len(services.pieces) >= 4, "the first pieces")
            uri = rosnode.get_api_uri(rosgraph.Master("/upload_test"), "/intra_dp_server", skip_cache=True)
            os.kill(xmlrpc.client.ServerProxy(uri).getPid("/upload_test")[2], signal.SIGKILL)
            kept, before = blobs.received(names[0]), len(services.pieces)
            self.assertGreater(kept, 0)
            self.until(lambda: uploader.holds(names), "the upload")
            after = [offset for name, offset, _ in services.pieces[before:] if name == names[0]]
            self.assertTrue(after and min(after) > 0, "the upload began anew")
            for name, tensor in weights.items():
                self.assertEqual(blobs.size(name), len(tensor))
            sent = len(services.pieces)
            uploader.want(names, [blobs.received(name) for name in names])  # as after a restart that asks too much
            self.until(lambda: uploader.holds(names), "the answer that all is there")
            self.assertEqual(sum(size for _, _, size in services.pieces[sent:]), 0)
        finally:
            uploader.close()
            for name in names:
                for path in (blobs.path(name), blobs.path(name) + ".part"):
                    if os.path.exists(path):
                        os.unlink(path)


if __name__ == "__main__":
    rospy.init_node("upload_under_test")
    rostest.rosrun("intra_dp_ros", "upload", TestUpload)
