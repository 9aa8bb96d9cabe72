"""A node's state on /diagnostics, once a second (REP-107).

Threading: one thread asks and publishes; what it asks locks for itself.
"""
import logging
import threading
from typing import Any, Callable, Dict, Tuple

import rospy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

_LOG = logging.getLogger(__name__)
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
_PERIOD_S = 1.0

#: Level (OK, WARN or ERROR), a sentence, further values.
State = Tuple[int, str, Dict[str, Any]]


def status_msg(name: str, hardware_id: str, state: State) -> DiagnosticStatus:
    """A state as a message."""
    level, message, values = state
    return DiagnosticStatus(level=level, name=name, hardware_id=hardware_id, message=message,
                            values=[KeyValue(key=str(key), value=_text(value)) for key, value in values.items()])


class Diagnostics:
    """Publishes the state of one node at 1 Hz until the node shuts down; wall clock, also while /clock stands still.

    Args:
        name: of the component.
        hardware_id: which one it is, e.g. the robot's id.
        state: asked every second.
    """

    def __init__(self, name: str, hardware_id: str, state: Callable[[], State]) -> None:
        self._name = name
        self._hardware_id = hardware_id
        self._state = state
        self._closed = threading.Event()
        self._publisher = rospy.Publisher("/diagnostics", DiagnosticArray, queue_size=10)
        rospy.on_shutdown(self.close)
        threading.Thread(target=self._run, name="diagnostics", daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.wait(_PERIOD_S):
            try:
                state = self._state()
            except Exception as error:  # that the state cannot be told is a state
                _LOG.exception("the diagnostics of %s failed", self._name)
                state = ERROR, "cannot tell: {!r}".format(error), {}
            array = DiagnosticArray(status=[status_msg(self._name, self._hardware_id, state)])
            array.header.stamp = rospy.Time.now()
            try:
                self._publisher.publish(array)
            except rospy.ROSException:
                return  # the node is shutting down


def _text(value: Any) -> str:
    return "{:.6g}".format(value) if isinstance(value, float) else str(value)
