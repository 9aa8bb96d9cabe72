"""The node behind the web page."""
import threading
from typing import Any, Dict

import rospy

from intra_dp_ros.ros import params
from intra_dp_ros.ros.board import Board
from intra_dp_ros.ros.master import MasterError
from intra_dp_ros.ros.watcher import Watcher
from intra_dp_ros.ros.web.guard import Guard

_LOOK_S = 2.0  # between looks for new topics


class Dashboard:
    """A page that shows all robots and servers of a ROS master, and changes robots' strategies.

    Subscribes:
        /diagnostics (diagnostic_msgs/DiagnosticArray), every topic of type InferenceStats or BandwidthEstimate, every
        .../heartbeat_down (Heartbeat); images (sensor_msgs/Image) of a robot's node only while a page shows them.
    Calls:
        ~get_status, ~set_strategy of robots' nodes; <ns>/server/get_status of servers; of robots that a page shows.
    Parameters:
        ~address (string, 127.0.0.1): to listen on; 0.0.0.0: all.
        ~port (int, 8088): 0: any that is free.  The node sets ~url (string) to where the page is.
        ~allow_control (bool; true on a loopback address, else false): whether the page may change strategies.
        ~fps (double, 5) [Hz]: of the pictures, at most.
        ~quality (int, 80): of their JPEGs, 10..95.
        ~history (double, 120) [s]: that the charts go back.

    Attributes:
        port: that is listened on.
        url: of the page.

    Raises:
        OSError: it cannot listen there.
    """

    def __init__(self, settings: Dict[str, Any]) -> None:
        # Here, because main() tells what to install when it is missing.
        from intra_dp_ros.ros.web import hub, pictures, server, services
        self._board = Board(settings["history"])
        self._hub = hub.Hub(self._board, settings["history"], settings["allow_control"], services.set_strategy)
        self._web = server.WebServer(self._hub, settings["address"], settings["port"])
        self._watcher = Watcher(self._board)
        self._pictures = pictures.Pictures(settings["fps"], settings["quality"], self._hub.picture, self._hub.problem)
        self._details = services.DetailsPoller(self._board.node_of, lambda: self._watcher.server_services,
                                               self._hub.details)
        self._hub.want_pictures, self._hub.want_details = self._pictures.want, self._details.want
        self._closed = threading.Event()
        self.port = self._web.port
        self.url = "http://{}:{}/".format(
            "[{}]".format(settings["address"]) if ":" in settings["address"] else settings["address"], self.port)

    def start(self) -> None:
        """Serve the page."""
        self._web.start()
        threading.Thread(target=self._look, name="look", daemon=True).start()

    def close(self) -> None:
        """Stop, free the port."""
        self._closed.set()
        self._web.stop()
        self._pictures.close()
        self._details.close()

    def _look(self) -> None:
        while True:
            try:
                self._watcher.look()
            except (MasterError, OSError) as error:
                rospy.logwarn_throttle(30.0, "the ROS master does not answer, new robots are not seen: {}".format(
                    error))
            except Exception as error:  # the page lives longer than any one look
                rospy.logwarn_throttle(30.0, "looking for robots failed, and is tried again: {!r}".format(error))
            if self._closed.wait(_LOOK_S):
                return


def read_settings() -> Dict[str, Any]:
    """The node's parameters by name.

    Raises:
        ParameterError: one of them cannot be used.
    """
    address = params.read("~address", "127.0.0.1")
    return {"address": address, "port": params.read("~port", 8088, at_least=0, at_most=65535),
            "allow_control": params.read("~allow_control", Guard(address).is_loopback),
            "fps": params.read("~fps", 5.0, at_least=0.1, at_most=60.0),
            "quality": params.read("~quality", 80, at_least=10, at_most=95),
            "history": params.read("~history", 120.0, at_least=10.0, at_most=3600.0)}


def main() -> None:
    """Read the parameters, serve the page until shut down."""
    rospy.init_node("dashboard")
    try:
        settings = read_settings()
        node = Dashboard(settings)
    except ModuleNotFoundError as error:
        if error.name != "tornado":
            raise
        rospy.logfatal("dashboard: Tornado is missing: sudo apt install python3-tornado")
        raise SystemExit(1)
    except (ValueError, OSError) as error:
        rospy.logfatal("dashboard: %s", error)
        raise SystemExit(1)
    rospy.on_shutdown(node.close)
    node.start()
    rospy.set_param("~url", node.url)
    control = "strategies can be changed" if settings["allow_control"] else "strategies cannot be changed"
    rospy.loginfo("web page on %s, %s there", node.url, control)
    if not Guard(settings["address"]).is_loopback:
        rospy.logwarn("whoever reaches port %d of this machine sees the robots' pictures%s: there is no password",
                      node.port, " and can change their strategies" if settings["allow_control"] else "")
    rospy.spin()
