"""The bandwidth monitor: tells the robot's node what the link carries, from its traffic or from small probes.

Threading: link threads call the `_on_` methods; one thread probes and publishes.  Estimator and schedule lock for
themselves.
"""
import threading
import time
from dataclasses import dataclass, replace
from typing import Any, Dict, Tuple

import rospy
from dynamic_reconfigure.server import Server as Reconfigure

from intra_dp_ros.cfg import BandwidthMonitorConfig
from intra_dp_ros.msg import BandwidthEstimate, TensorTile
from intra_dp_ros.ros import conversions, params
from intra_dp_ros.ros.diagnostics import OK, WARN, Diagnostics
from intra_dp_ros.ros.logs import show_logs
from intra_dp_ros.ros.subscriptions import Subscriptions
from intra_dp_ros.ros.topics import BANDWIDTH, LINK_TOPICS, robot_topic
from intra_dp_ros.runtime.bandwidth import BandwidthEstimator
from intra_dp_ros.runtime.probing import ProbeSchedule
from intra_dp_ros.runtime.pulse import round_trip
from intra_dp_ros.wire.messages import Ack, Heartbeat, Message
from intra_dp_ros.wire.session import check_robot_id
from intra_dp_ros.wire.tile import probe_tile

_SILENCE_S = 1.0
_LONGEST_TRIP_S = 10.0  # a longer one means that this node does not run on the robot


@dataclass(frozen=True)
class MonitorParams:
    """The node's parameters."""

    robot_id: str
    ns: str
    probe_budget: float  # share of the link that probes may take, 0..1
    rate_hz: float  # of estimates [Hz]


class BandwidthMonitorNode:
    """Publishes what one robot's link carries; runs on the robot.

    Subscribes:
        <ns>/<robot>/ack_up, ack_down (TileAcks): when tiles arrived, at the server and at the robot.
        <ns>/<robot>/heartbeat_down (Heartbeat): round trips.
    Publishes:
        <ns>/<robot>/bandwidth (BandwidthEstimate), ~rate_hz.
        <ns>/<robot>/probe (TensorTile): a few tiles of noise when the link has been idle for 0.2 s; at most once a
            second when there were no frames for 5 s.
        /diagnostics (diagnostic_msgs/DiagnosticArray), 1 Hz.
    Parameters:
        ~robot_id (string, robot), ~ns (string, /intra_dp): as the robot's node.
        ~probe_budget (double, 0.02): share of the link that probes may take, 0..1; one train of 16 kB a second is
            sent however slow the link is; 0: no probes at all.
        ~rate_hz (double, 10) [Hz]: of the estimates.
        Both can be changed with dynamic_reconfigure.
    """

    def __init__(self, settings: MonitorParams) -> None:
        self._settings = settings
        self._estimator = BandwidthEstimator(settings.robot_id)
        self._schedule = ProbeSchedule(settings.probe_budget)
        self._probed_bytes = 0
        self._closed = threading.Event()

    def setup(self) -> None:
        """Make the topics, begin to measure."""
        ns, robot_id = self._settings.ns, self._settings.robot_id
        self._estimates = rospy.Publisher(robot_topic(ns, robot_id, BANDWIDTH), BandwidthEstimate, queue_size=2)
        self._probes = rospy.Publisher(robot_topic(ns, robot_id, "probe"), TensorTile,
                                       queue_size=LINK_TOPICS["probe"].queue_size)
        # Apart: what the robot itself sends says nothing about the link's being alive.
        self._remote = Subscriptions(ns, robot_id, ["ack_up", "heartbeat_down"], self._on_remote, _SILENCE_S)
        self._local = Subscriptions(ns, robot_id, ["ack_down"], self._on_ack_down, _SILENCE_S)
        Reconfigure(BandwidthMonitorConfig, self._reconfigure)
        Diagnostics("intra_dp bandwidth monitor", robot_id, self._diagnose)
        threading.Thread(target=self._run, name="bandwidth", daemon=True).start()

    def _reconfigure(self, config: Any, _: int) -> Any:
        self._schedule.allow(config.probe_budget)
        self._settings = replace(self._settings, probe_budget=config.probe_budget, rate_hz=config.rate_hz)
        return config

    def close(self) -> None:
        """Stop."""
        self._closed.set()
        self._remote.close()
        self._local.close()

    def _on_remote(self, message: Message) -> None:
        if message.robot_id != self._settings.robot_id:
            return
        now = time.monotonic()
        if isinstance(message, Heartbeat):
            trip = round_trip(message, now)
            if trip is not None and trip.seconds < _LONGEST_TRIP_S:
                self._estimator.on_rtt(trip.seconds, trip.offset)
        elif isinstance(message, Ack):
            self._estimator.on_ack("up", message)
            if message.frame == 0:
                self._schedule.on_ack(message.sequence)
            else:
                self._schedule.on_traffic(now)

    def _on_ack_down(self, message: Message) -> None:
        if isinstance(message, Ack) and message.robot_id == self._settings.robot_id:
            self._estimator.on_ack("down", message)
            self._schedule.on_traffic(time.monotonic())

    def _run(self) -> None:
        due = time.monotonic()
        while not self._closed.wait(max(0.0, due - time.monotonic())):
            period = 1.0 / self._settings.rate_hz
            due = max(due, time.monotonic() - period) + period
            sample = self._estimator.sample()
            stamp = rospy.Time.now()
            try:
                self._estimates.publish(conversions.bandwidth_to_msg(replace(sample, stamp=(stamp.secs, stamp.nsecs))))
                if self._probes.get_num_connections():
                    self._probe()
            except rospy.ROSException:
                return  # the node is shutting down

    def _probe(self) -> None:
        now = time.monotonic()
        tiles = [replace(probe_tile(self._settings.robot_id, sequence, nbytes), sent=now)
                 for sequence, nbytes in self._schedule.due(now, self._estimator.sample())]
        for msg in [conversions.tile_to_msg(tile) for tile in tiles]:  # made first: the train is to leave in one go
            self._probes.publish(msg)
            self._probed_bytes += len(msg.data)

    def _diagnose(self) -> Tuple[int, str, Dict[str, Any]]:
        sample = self._estimator.sample()
        values = {"up [MB/s]": sample.up / 1e6, "down [MB/s]": sample.down / 1e6, "rtt [ms]": sample.rtt * 1e3,
                  "age [s]": sample.age, "confidence": sample.confidence, "source": sample.source,
                  "probes sent [kB]": self._probed_bytes / 1e3, "messages not readable":
                  self._remote.unreadable + self._local.unreadable}
        if sample.confidence > 0:
            return OK, "{:.1f} MB/s up, from {}".format(sample.up / 1e6, sample.source), values
        if self._probes.get_num_connections() == 0:
            return WARN, "the bandwidth is unknown: no server listens to the probes yet", values
        return WARN, "the bandwidth is unknown: probes are not acknowledged", values


def main() -> None:
    """Read the parameters, measure until shut down."""
    rospy.init_node("bandwidth_monitor")
    show_logs()
    try:
        settings = MonitorParams(
            robot_id=check_robot_id(params.read("~robot_id", "robot")), ns=params.read("~ns", "/intra_dp"),
            probe_budget=params.read("~probe_budget", 0.02, at_least=0.0, at_most=1.0),
            rate_hz=params.read("~rate_hz", 10.0, at_least=0.1, at_most=1000.0))
    except ValueError as error:
        rospy.logfatal("bandwidth monitor: %s", error)
        raise SystemExit(1)
    node = BandwidthMonitorNode(settings)
    rospy.on_shutdown(node.close)
    node.setup()
    rospy.loginfo("bandwidth monitor of robot %s: probes on %s, estimates on %s", settings.robot_id,
                  rospy.resolve_name(robot_topic(settings.ns, settings.robot_id, "probe")),
                  rospy.resolve_name(robot_topic(settings.ns, settings.robot_id, BANDWIDTH)))
    rospy.spin()
