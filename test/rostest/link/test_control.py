#!/usr/bin/env python3
"""The server's services over real ROS: answers come through, and a server that is not there or hangs is told apart."""
import socket
import threading
import time
import unittest

import rospy
import rostest

from intra_dp_ros.ros import conversions
from intra_dp_ros.ros.control import RosControl
from intra_dp_ros.ros.service_call import ServiceConnection, ServiceError
from intra_dp_ros.srv import OpenSession, PutBlob
from intra_dp_ros.wire.link import ControlError
from intra_dp_ros.wire.messages import BlobReply, BlobRequest, OpenReply, OpenRequest

OPEN = OpenRequest("robot", "ab" * 32, "{}")
BLOB = BlobRequest("robot", "cd" * 32, 5, 100000, bytes(range(256)) * 300)


class TestControl(unittest.TestCase):

    def test_requests_and_replies(self):
        asked = []

        def serve(request, convert, reply):
            asked.append(convert(request))
            return reply
        opened = OpenReply(True, "", 2 ** 64 - 1, False, ("a", "b"), (0, 2 ** 40), "{}")
        put = BlobReply(True, "", 76805)
        services = [
            rospy.Service("/here/server/open_session", OpenSession, lambda request: serve(
                request, conversions.open_request_from_srv, conversions.open_reply_to_srv(opened))),
            rospy.Service("/here/server/put_blob", PutBlob, lambda request: serve(
                request, conversions.blob_request_from_srv, conversions.blob_reply_to_srv(put)))]
        try:
            control = RosControl("/here")
            self.assertEqual(control.open(OPEN), opened)
            self.assertEqual(control.put(BLOB), put)
        finally:
            for service in services:
                service.shutdown()
        self.assertEqual(asked, [OPEN, BLOB])

    def test_no_server(self):
        with self.assertRaisesRegex(ControlError, "no service /nowhere/server/open_session.*server.launch"):
            RosControl("/nowhere", wait_s=0.5).open(OPEN)

    def test_a_failing_server(self):
        def fail(_):
            raise RuntimeError("out of luck")
        service = rospy.Service("/failing/server/open_session", OpenSession, fail)
        try:
            with self.assertRaisesRegex(ControlError, "/failing/server/open_session failed.*out of luck"):
                RosControl("/failing").open(OPEN)
        finally:
            service.shutdown()

    def test_a_hanging_server(self):
        go_on = threading.Event()
        service = rospy.Service("/hanging/server/put_blob", PutBlob,
                                lambda _: go_on.wait(30.0) and conversions.blob_reply_to_srv(BlobReply(True)))
        try:
            control = RosControl("/hanging", call_s=0.3)
            for _ in range(6):
                with self.assertRaisesRegex(ControlError, "/hanging/server/put_blob did not answer within 0.3 s"):
                    control.put(BLOB)
            go_on.set()
            self.assertEqual(control.put(BLOB), BlobReply(True))
        finally:
            go_on.set()
            service.shutdown()

    def test_another_server_takes_over(self):
        control = RosControl("/again")
        for received in (7, 8):
            service = rospy.Service("/again/server/put_blob", PutBlob, lambda _, n=received:
                                    conversions.blob_reply_to_srv(BlobReply(True, "", n)))
            self.assertEqual(control.put(BLOB).received, received)
            service.shutdown()
            control._forget(control._put)  # as a restart of the server would

    def test_somebody_else_at_the_address(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(1)
            began = time.monotonic()
            with self.assertRaisesRegex(ServiceError, "did not answer"):
                ServiceConnection("/silent", PutBlob, silent.getsockname(), 1.0, 0.3)
            self.assertLess(time.monotonic() - began, 10.0)

    def test_a_link_that_dies_while_a_request_is_sent(self):
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen(1)

            def answer_once():
                peer, _ = listening.accept()
                peer.sendall(b"\x08\0\0\0\x04\0\0\0a=bc")  # a header, then nothing more is read
                over.wait(30.0)
                peer.close()
            over = threading.Event()
            thread = threading.Thread(target=answer_once, daemon=True)
            thread.start()
            try:
                connection = ServiceConnection("/dead", PutBlob, listening.getsockname(), 1.0, 0.3)
                request = conversions.blob_request_to_srv(BlobRequest("robot", "cd" * 32, 0, 1 << 25, bytes(1 << 25)))
                with self.assertRaisesRegex(ServiceError, "nothing arrives"):
                    connection.call(request, 30.0)
            finally:
                over.set()
                thread.join(10.0)


if __name__ == "__main__":
    rospy.init_node("control_under_test")
    rostest.rosrun("intra_dp_ros", "control", TestControl)
