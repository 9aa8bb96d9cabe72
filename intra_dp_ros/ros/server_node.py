"""The server's node."""
import json
import logging
from typing import Any, Dict, Tuple

import rospy
import torch

from intra_dp_ros.bench.emulated import from_file
from intra_dp_ros.graph.graph import GraphError
from intra_dp_ros.ros import conversions, params
from intra_dp_ros.ros.diagnostics import Diagnostics
from intra_dp_ros.ros.logs import show_logs
from intra_dp_ros.ros.progress import ProgressLog
from intra_dp_ros.ros.topic_link import TopicLink
from intra_dp_ros.ros.topics import server_service
from intra_dp_ros.runtime.limits import Limits
from intra_dp_ros.runtime.machine import keep_freed_memory, switch_threads_fast, use_threads
from intra_dp_ros.runtime.server import Server
from intra_dp_ros.srv import GetStatus, GetStatusResponse, OpenSession, PutBlob
from intra_dp_ros.wire.messages import BlobReply, OpenReply


class ServerNode:
    """Computes the server's part of every robot's frames; knows no model: robots bring theirs.

    Services (`<ns>` is /intra_dp unless `~ns` says otherwise):
        <ns>/server/open_session (OpenSession), <ns>/server/put_blob (PutBlob), <ns>/server/get_status (GetStatus).
    Topics, for every robot that has opened a session:
        subscribes <ns>/<robot>/up, probe (TensorTile), plan (PlanInfo), heartbeat_up (Heartbeat), ack_down (TileAcks);
        publishes <ns>/<robot>/down (TensorTile), heartbeat_down (Heartbeat), ack_up (TileAcks).
        publishes /diagnostics (diagnostic_msgs/DiagnosticArray), 1 Hz.
    Parameters:
        ~ns (string, /intra_dp): namespace of the services and topics.
        ~device (string, cpu): torch device, e.g. cuda:0.
        ~threads (int, 0): torch threads; 0: torch's default.
        ~folder (string, ~/.cache/intra_dp_ros/server): graphs, weights, profiles.
        ~store_gb (double, 8): the most that weights may take on disk [10^9 byte].
        ~max_robots (int, 16): sessions at once.
        ~emulate (string, ''): for benches: computing is replaced by waits of the times in this file.
    """

    def __init__(self, ns: str, device: str, folder: str, limits: Limits, emulate: str = "") -> None:
        self._progress = ProgressLog()
        self.server = Server(folder, lambda robot_id: TopicLink("server", ns, robot_id), device, limits,
                             self._progress, from_file(emulate) if emulate else None)
        rospy.Service(server_service(ns, "open_session"), OpenSession, self._open)
        rospy.Service(server_service(ns, "put_blob"), PutBlob, self._put, buff_size=1 << 20)
        rospy.Service(server_service(ns, "get_status"), GetStatus, self._status)
        Diagnostics("intra_dp server", device, self._diagnose)

    def _open(self, request: Any) -> Any:
        try:
            reply = self.server.open(conversions.open_request_from_srv(request))
        except conversions.MessageError as error:
            reply = OpenReply(False, str(error))
        return conversions.open_reply_to_srv(reply)

    def _put(self, request: Any) -> Any:
        try:
            reply = self.server.put(conversions.blob_request_from_srv(request))
        except conversions.MessageError as error:
            reply = BlobReply(False, str(error))
        return conversions.blob_reply_to_srv(reply)

    def _status(self, _: Any) -> GetStatusResponse:
        return GetStatusResponse("BUSY" if self.server.is_busy else "READY", json.dumps(self.server.status()))

    def _diagnose(self) -> Tuple[int, str, Dict[str, Any]]:
        status = self.server.status()
        count = len(status["robots"])
        values = {"device": status["device"], "doing": self._progress.line}
        values.update({"graph " + name: state for name, state in status["graphs"].items()})
        values.update({"frames of " + name: robot["frames"] for name, robot in status["robots"].items()})
        return 0, "{} robot{}".format(count, "" if count == 1 else "s"), values


def main() -> None:
    """Read the parameters, serve until shut down."""
    logging.getLogger("intra_dp_ros").setLevel(logging.INFO)
    keep_freed_memory()  # before there are threads, which would have heaps of their own
    rospy.init_node("intra_dp_server")
    show_logs()
    try:
        use_threads(params.read("~threads", 0, at_least=0))
        switch_threads_fast()
        device = params.read("~device", "cpu")
        if torch.device(device).type == "cuda" and not torch.cuda.is_available():
            raise GraphError("~device is {!r}, but torch {} sees no CUDA: install torch with CUDA or use cpu".format(
                device, torch.__version__))
        ns, folder = params.read("~ns", "/intra_dp"), params.read("~folder", "~/.cache/intra_dp_ros/server")
        node = ServerNode(ns, device, folder, Limits(
            store_bytes=int(params.read("~store_gb", 8.0, at_least=0.001) * 1e9),
            robots=params.read("~max_robots", 16, at_least=1)), params.read("~emulate", ""))
    except (ValueError, RuntimeError, OSError) as error:
        rospy.logfatal("server: %s", error)
        raise SystemExit(1)
    rospy.loginfo("server ready: device %s, torch %s, %d threads, cache %s, services %s", device, torch.__version__,
                  torch.get_num_threads(), folder, server_service(ns, "*"))
    rospy.on_shutdown(node.server.close)
    rospy.spin()
