"""The emulated air between robot and server, for demos and tests on one machine: relays a link at a trace's bandwidth.

Threading: rospy's threads put messages into lanes, one lane per topic; each lane's thread publishes.  All lanes share
one shaper, which locks for itself.  Service threads cut, restore and restart; another thread reports the bandwidth.
"""
import threading
import time
from dataclasses import dataclass
from typing import Any, Dict

import rospy
from std_msgs.msg import Float64
from std_srvs.srv import SetBool, SetBoolResponse, Trigger, TriggerResponse

from intra_dp_ros.ros import params
from intra_dp_ros.ros.raw import raw_class
from intra_dp_ros.ros.topics import LINK_TOPICS, ROBOT, robot_topic
from intra_dp_ros.wire.lane import Lane
from intra_dp_ros.wire.session import check_robot_id
from intra_dp_ros.wire.shaper import Trace, TraceShaper

_BUFFER_BYTES = 2 ** 24
_REPORT_S = 0.1


@dataclass(frozen=True)
class ShaperParams:
    """The node's parameters."""

    robot_id: str
    from_ns: str  # the robot's side of the air
    to_ns: str  # the server's side of the air
    trace: Trace  # bandwidth over time [byte/s]
    half_duplex: bool  # both directions share it
    delay_s: float  # one way, beyond the time on the air [s]


class ShaperNode:
    """Relays all topics of one robot's link between two namespaces, as slowly as a wireless link would.

    Subscribes, and publishes in the other namespace (types as in `TopicLink`):
        <from_ns>/<robot>/up, probe, plan, heartbeat_up, ack_down -> <to_ns>/<robot>/...
        <to_ns>/<robot>/down, heartbeat_down, ack_up -> <from_ns>/<robot>/...
    Publishes:
        ~true_bandwidth (std_msgs/Float64) [10^6 byte/s], 10 Hz: for reports; nothing that decides may use it.
    Services:
        ~cut (std_srvs/SetBool): true: silence both ways, messages are lost; false: the link is back.
        ~restart (std_srvs/Trigger): the trace begins again now, `~start_at` into it.
    Parameters:
        ~robot_id (string, robot).
        ~from_ns (string, /air), ~to_ns (string, /intra_dp): must differ.
        ~trace (string, ''): CSV file with the columns t_s [s] and MBps [10^6 byte/s], repeated for ever.
        ~constant_MBps (double, 0): constant bandwidth instead of the trace [10^6 byte/s]; 0: the trace.
        ~scale (double, 1): factor on the trace's bandwidth.
        ~start_at (double, 0) [s]: where `~restart` begins; read then.
        ~half_duplex (bool, true): both directions share the air, as Wi-Fi has it.
        ~delay_ms (double, 1): one-way delay beyond the time on the air [ms].
    """

    def __init__(self, settings: ShaperParams) -> None:
        self._settings = settings
        self._shaper = TraceShaper(settings.trace, settings.half_duplex, settings.delay_s, time.monotonic())
        self._lanes: Dict[str, Lane] = {}
        self._cut = False
        self._closed = threading.Event()

    def setup(self) -> None:
        """Make the topics and services, begin to relay."""
        settings = self._settings
        self._bandwidth = rospy.Publisher("~true_bandwidth", Float64, queue_size=10)
        for name, topic in LINK_TOPICS.items():
            source, sink = settings.from_ns, settings.to_ns
            if topic.sender != ROBOT:
                source, sink = sink, source
            raw = raw_class(topic.cls)
            publisher = rospy.Publisher(robot_topic(sink, settings.robot_id, name), raw, queue_size=topic.queue_size)
            lane = Lane(publisher.publish, "air_" + name, self._shaper, "up" if topic.sender == ROBOT else "down")
            self._lanes[name] = lane
            rospy.Subscriber(robot_topic(source, settings.robot_id, name), raw, _put, lane,
                             buff_size=_BUFFER_BYTES, tcp_nodelay=True)
        rospy.Service("~cut", SetBool, self._on_cut)
        rospy.Service("~restart", Trigger, self._on_restart)
        threading.Thread(target=self._report, name="true_bandwidth", daemon=True).start()

    def close(self) -> None:
        """Stop; what is in the air is lost."""
        self._closed.set()
        for lane in self._lanes.values():
            lane.close()

    def _on_cut(self, request: Any) -> SetBoolResponse:
        self._cut = request.data
        for lane in self._lanes.values():
            if request.data:
                lane.cut()
            else:
                lane.restore()
        return SetBoolResponse(True, "the link is silent" if request.data else "the link is back")

    def _on_restart(self, _: Any) -> TriggerResponse:
        self._shaper.restart(time.monotonic() - params.read("~start_at", 0.0, at_least=0.0))
        return TriggerResponse(True, "the trace has begun again")

    def _report(self) -> None:
        while not self._closed.wait(_REPORT_S):
            rate = 0.0 if self._cut else self._shaper.rate(time.monotonic())
            try:
                self._bandwidth.publish(Float64(rate / 1e6))
            except rospy.ROSException:
                return  # the node is shutting down


def _put(raw: Any, lane: Lane) -> None:
    lane.put(raw, len(raw._buff))


def _read_params() -> ShaperParams:
    """
    Raises:
        ValueError: a parameter that cannot be used, or a file that is no trace.
        OSError: the trace cannot be read.
    """
    from_ns, to_ns = params.read("~from_ns", "/air"), params.read("~to_ns", "/intra_dp")
    if from_ns.strip("/") == to_ns.strip("/"):
        raise params.ParameterError("parameters ~from_ns and ~to_ns are both {!r}, expected two namespaces: the shaper "
                                    "would relay to itself".format(from_ns))
    constant, path = params.read("~constant_MBps", 0.0, at_least=0.0), params.read("~trace", "")
    scale = params.read("~scale", 1.0, at_least=0.0)
    if constant == 0.0 and not path:
        raise params.ParameterError("neither ~trace nor ~constant_MBps is set: one of them says how fast the link is")
    return ShaperParams(
        robot_id=check_robot_id(params.read("~robot_id", "robot")), from_ns=from_ns, to_ns=to_ns,
        trace=Trace.constant(constant * 1e6) if constant else Trace.read(path, scale),
        half_duplex=params.read("~half_duplex", True),
        delay_s=params.read("~delay_ms", 1.0, at_least=0.0) / 1e3)


def main() -> None:
    """Read the parameters, relay until shut down."""
    rospy.init_node("shaper")
    try:
        settings = _read_params()
    except (ValueError, OSError) as error:
        rospy.logfatal("shaper: %s", error)
        raise SystemExit(1)
    node = ShaperNode(settings)
    rospy.on_shutdown(node.close)
    node.setup()
    rospy.loginfo("emulated air of robot %s between %s and %s: mean %.1f MB/s, %s duplex, %.1f ms one way",
                  settings.robot_id, settings.from_ns, settings.to_ns,
                  settings.trace.carried(settings.trace.period) / settings.trace.period / 1e6,
                  "half" if settings.half_duplex else "full", settings.delay_s * 1e3)
    rospy.spin()
