"""The ROS master and other nodes, asked with a timeout; and this node's registrations made again after a restart.

rospy's own calls to the master have no timeout and hold its topic lock: with the link down they hang for minutes.
"""
import http.client
import xmlrpc.client
from typing import Any, Dict, List, Sequence, Tuple
from xml.parsers.expat import ExpatError

import rosgraph
import rospy
from rospy.impl.registration import get_service_manager, get_topic_manager


class MasterError(RuntimeError):
    """The master did not answer."""


#: What a call of XML-RPC raises when the other side is gone, ends in mid-sentence, or is another program.
RPC_ERRORS = (OSError, ValueError, TypeError, http.client.HTTPException, xmlrpc.client.Error, ExpatError)


class TimedTransport(xmlrpc.client.Transport):
    """XML-RPC with a timeout [s]."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self._timeout_s = timeout_s

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(host, timeout=self._timeout_s)  # a new one each time: an old one may be dead


class Master:
    """One caller's view of the master; not thread-safe.

    Args:
        timeout_s: of every request [s].
    """

    def __init__(self, timeout_s: float = 0.5) -> None:
        self._timeout_s = timeout_s
        self._name = rospy.get_name()

    def pid(self) -> int:
        """The master's process; another one after a restart.

        Raises:
            MasterError: it does not answer.
        """
        return self._ask(rosgraph.get_master_uri(), "getPid")

    def node_pid(self, node: str) -> int:
        """A node's process; another one when it was started again.

        Raises:
            MasterError: the master does not know it, or it does not answer.
        """
        return self._ask(self._ask(rosgraph.get_master_uri(), "lookupNode", node), "getPid")

    def live_publishers(self, topics: Sequence[str]) -> List[str]:
        """Those of `topics` that have a publisher whose node answers; this node counts as answering.

        Raises:
            MasterError: the master does not answer.
        """
        published = self._ask(rosgraph.get_master_uri(), "getSystemState")[0]
        nodes = {topic: names for topic, names in published if topic in topics}
        answers: Dict[str, bool] = {}
        for name in {name for names in nodes.values() for name in names}:
            answers[name] = name == self._name or self._answers(name)
        return [topic for topic in topics if any(answers[name] for name in nodes.get(topic, ()))]

    def registered(self) -> Tuple[Dict[str, Tuple[str, List[str]]], List[str]]:
        """Topic -> (type, names of the nodes that publish it), and the names of all services.

        Raises:
            MasterError: the master does not answer.
        """
        kinds = dict(self._ask(rosgraph.get_master_uri(), "getTopicTypes"))
        published, _, services = self._ask(rosgraph.get_master_uri(), "getSystemState")
        return {topic: (kinds.get(topic, ""), nodes) for topic, nodes in published}, [name for name, _ in services]

    def register_again(self) -> None:
        """Tell a new master of all topics and services of this node; established connections are not touched.

        Raises:
            MasterError: it does not answer.
        """
        master, own = rosgraph.get_master_uri(), rospy.get_node_uri()
        topics = get_topic_manager()
        for name, kind in topics.get_publications():
            self._ask(master, "registerPublisher", name, kind, own)
        for name, kind in topics.get_subscriptions():
            self._ask(master, "registerSubscriber", name, kind, own)
        for name, uri in get_service_manager().get_services():
            self._ask(master, "registerService", name, uri, own)

    def _answers(self, node: str) -> bool:
        try:
            self.node_pid(node)
        except MasterError:
            return False
        return True

    def _ask(self, uri: str, method: str, *arguments: Any) -> Any:
        try:
            proxy = xmlrpc.client.ServerProxy(uri, transport=TimedTransport(self._timeout_s))
            code, message, value = getattr(proxy, method)(self._name, *arguments)
        except RPC_ERRORS as error:
            raise MasterError("{} of {} failed: {!r}".format(method, uri, error)) from None
        if code != 1:
            raise MasterError("{} of {}: {}".format(method, uri, message))
        return value
