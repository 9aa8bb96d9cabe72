"""The server's services as the robot's connection uses them: with timeouts that hold.

Threading: `open` and `put` are called from one thread; every call runs in a thread of its own, because neither rospy
nor the operating system bounds it.  A call that is given up leaves its thread behind; `_MOST_LEFT` of
them are allowed.
"""
import threading
from typing import Any, Callable, Dict, List, Type

import rosgraph
import rospy

from intra_dp_ros.ros import conversions
from intra_dp_ros.ros.topics import server_service
from intra_dp_ros.srv import OpenSession, PutBlob
from intra_dp_ros.wire.link import Control, ControlError
from intra_dp_ros.wire.messages import BlobReply, BlobRequest, OpenReply, OpenRequest

_MOST_LEFT = 4  # threads of calls that were given up


class RosControl(Control):
    """The services `<ns>/server/open_session` and `<ns>/server/put_blob`.

    Args:
        ns: namespace of the server's services.
        wait_s: for the service to exist [s].
        call_s: for its answer [s]; a piece of a weight takes a while on a slow link.
    """

    def __init__(self, ns: str, wait_s: float = 2.0, call_s: float = 15.0) -> None:
        self._wait_s = wait_s
        self._call_s = call_s
        self._open = server_service(ns, "open_session")
        self._put = server_service(ns, "put_blob")
        self._left: List[threading.Thread] = []

    def open(self, request: OpenRequest) -> OpenReply:
        return self._ask(self._open, OpenSession, conversions.open_request_to_srv(request),
                         conversions.open_reply_from_srv)

    def put(self, request: BlobRequest) -> BlobReply:
        return self._ask(self._put, PutBlob, conversions.blob_request_to_srv(request),
                         conversions.blob_reply_from_srv)

    def _ask(self, name: str, service: Type[Any], request: Any, convert: Callable[[Any], Any]) -> Any:
        self._left = [t for t in self._left if t.is_alive()]
        if len(self._left) >= _MOST_LEFT:
            raise ControlError("service {}: {} earlier calls still hang; check the network to the server".format(
                name, len(self._left)))
        outcome: Dict[str, Any] = {}
        found = threading.Event()
        thread = threading.Thread(target=self._call, args=(name, service, request, outcome, found),
                                  name="service_call", daemon=True)
        thread.start()
        # rospy's own timeout covers only a part of the waiting: the master itself may be out of reach
        if found.wait(self._wait_s + 0.5):
            thread.join(self._call_s)
        if "error" in outcome:
            raise ControlError(outcome["error"])
        if "response" not in outcome:
            self._left.append(thread)
            raise ControlError("service {} did not answer within {:g} s: check the network and the server's log".format(
                name, self._call_s if found.is_set() else self._wait_s))
        try:
            return convert(outcome["response"])
        except conversions.MessageError as error:
            raise ControlError("service {} answered nonsense: {}".format(name, error)) from None

    def _call(self, name: str, service: Type[Any], request: Any, outcome: Dict[str, Any],
              found: threading.Event) -> None:
        try:
            rospy.wait_for_service(name, timeout=self._wait_s)
            found.set()
            outcome["response"] = rospy.ServiceProxy(name, service)(request)
        except rospy.ServiceException as error:
            outcome["error"] = "service {} failed: {}; see the server's log".format(name, error)
        except rospy.ROSException:
            outcome["error"] = ("there is no service {} on the ROS master {}: start the server (roslaunch intra_dp_ros "
                                "server.launch) and give both sides the same ns".format(
                                    name, rosgraph.get_master_uri()))
        except Exception as error:  # whatever the network makes of it, the robot is told
            outcome["error"] = "service {} cannot be called: {!r}".format(name, error)
        finally:
            found.set()
