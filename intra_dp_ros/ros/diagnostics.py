"""A node's state on /diagnostics, once a second (REP-107), through diagnostic_updater.

Threading: one thread asks and publishes; what it asks locks for itself.
"""
import logging
import threading
from typing import Any, Callable, Dict, Tuple

import rospy
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import Updater

_LOG = logging.getLogger(__name__)
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
_PERIOD_S = 1.0

#: Level (OK, WARN or ERROR), a sentence, further values.
State = Tuple[int, str, Dict[str, Any]]


class Diagnostics:
    """Publishes the state of one node at 1 Hz until the node shuts down; wall clock, also while /clock stands still.

    Args:
        name: of the component; /diagnostics has it behind the node's name.
        hardware_id: which one it is, e.g. the robot's id.
        state: asked every second.
    """

    def __init__(self, name: str, hardware_id: str, state: Callable[[], State]) -> None:
        self._name = name
        self._state = state
        self._closed = threading.Event()
        self._updater = Updater()
        self._updater.setHardwareID(hardware_id)
        self._updater.add(name, self._fill)
        rospy.on_shutdown(self.close)
        threading.Thread(target=self._run, name="diagnostics", daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._closed.set()

    def _fill(self, status: Any) -> Any:
        try:
            level, message, values = self._state()
        except Exception as error:  # that the state cannot be told is a state
            _LOG.exception("the diagnostics of %s failed", self._name)
            level, message, values = ERROR, "cannot tell: {!r}".format(error), {}
        status.summary(level, message)
        for name, value in values.items():
            status.add(str(name), _text(value))
        return status

    def _run(self) -> None:
        while not self._closed.wait(_PERIOD_S):
            try:
                self._updater.force_update()  # `update` goes by ROS time, which a paused bag stops
            except rospy.ROSException:
                return  # the node is shutting down


def _text(value: Any) -> str:
    return "{:.6g}".format(value) if isinstance(value, float) else str(value)
