"""Finds whatever there is of the types that a `Board` reads, and subscribes to it.

Threading: rospy's threads hand messages to the board; `look` is called by one thread at a time.
"""
import time
from typing import Any, Callable, Dict, List

import rospy
from diagnostic_msgs.msg import DiagnosticArray

from intra_dp_ros.msg import BandwidthEstimate, Heartbeat, InferenceStats
from intra_dp_ros.ros.board import Board
from intra_dp_ros.ros.master import Master
from intra_dp_ros.ros.registration import keep_registered

_SERVER_STATUS = "/server/get_status"


class Watcher:
    """Subscribes to statistics, bandwidths, heartbeats and diagnostics of everybody; the node must be initialised.

    Args:
        board: is told.

    Attributes:
        server_services: names of the servers' GetStatus services.
    """

    def __init__(self, board: Board) -> None:
        self.server_services: List[str] = []
        self._board = board
        self._master = Master(timeout_s=2.0)
        self._known: Dict[str, rospy.Subscriber] = {}
        keep_registered()
        self._subscribe("/diagnostics", DiagnosticArray, board.on_diagnostics)

    def look(self) -> None:
        """Find new topics.

        Raises:
            MasterError, OSError: the master does not answer.
        """
        pictures: Dict[str, List[str]] = {}
        topics, services = self._master.registered()
        for topic, (kind, nodes) in topics.items():
            if kind == "intra_dp_ros/InferenceStats":
                self._subscribe(topic, InferenceStats, self._board.on_stats)
            elif kind == "intra_dp_ros/BandwidthEstimate":
                self._subscribe(topic, BandwidthEstimate, self._board.on_bandwidth)
            elif kind == "intra_dp_ros/Heartbeat" and topic.endswith("/heartbeat_down"):
                self._subscribe(topic, Heartbeat, self._board.on_heartbeat)
            elif kind == "sensor_msgs/Image":
                for node in nodes:
                    pictures.setdefault(node, []).append(topic)
        self._board.on_pictures(pictures)
        self.server_services = sorted(name for name in services if name.endswith(_SERVER_STATUS))

    def _subscribe(self, topic: str, cls: type, handle: Callable[[Any, float], None]) -> None:
        if topic not in self._known:
            self._known[topic] = rospy.Subscriber(topic, cls, lambda msg: handle(msg, time.monotonic()),
                                                  queue_size=100, tcp_nodelay=True)
