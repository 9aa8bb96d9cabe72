"""A sensor that sends at its rate whatever becomes of it, and a witness of what the memory of nodes does meanwhile.

Threading: one thread a class; lists are only added to, and read when the thread has ended, or their last entry alone.
"""
import threading
import time
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import psutil
import rospy

from intra_dp_ros.bench.soak_record import Memory, Sent
from intra_dp_ros.ros.bag_writer import headers_of
from intra_dp_ros.ros.soak_inputs import Inputs, Moment

_QUEUE = 50  # messages that wait in a publisher: more than a node may fall behind by
_CONNECT_S = 60.0
_MEMORY_S = 0.5


class Sensor:
    """Publishes inputs; the node must have been initialised.

    Args:
        inputs: what it sends.
        rate_hz: how often.
    """

    def __init__(self, inputs: Inputs, rate_hz: float) -> None:
        self._inputs = inputs
        self._period_s = 1.0 / rate_hz
        self._next = 0  # moment
        self._last_stamp = 0
        self._closed = threading.Event()
        self._publishers: Dict[str, rospy.Publisher] = {
            topic: rospy.Publisher(topic, type(message), queue_size=_QUEUE)
            for topic, message in inputs.moments[0].items()}
        self._once = [(rospy.Publisher(topic, type(message), queue_size=1, latch=True), message)
                      for topic, message in inputs.once.items()]
        self._shown: Dict[int, Moment] = {}  # stamp -> what was sent

    def connect(self) -> None:
        """Send what is sent once, wait for the node's subscriptions.

        Raises:
            TimeoutError: nobody subscribes to a topic.
        """
        for publisher, message in self._once:
            for header in headers_of(message):
                header.stamp = rospy.Time.now()
            publisher.publish(message)
        end = time.monotonic() + _CONNECT_S
        for topic, publisher in self._publishers.items():
            while not publisher.get_num_connections():
                if time.monotonic() > end:
                    raise TimeoutError("nobody subscribes to {}".format(topic))
                time.sleep(0.05)

    def moment(self, stamp: int) -> Moment:
        """What was sent with a stamp [ns]."""
        return self._shown[stamp]

    def sent(self, stamp: int) -> bool:
        """Whether anything was sent with a stamp [ns]."""
        return stamp in self._shown

    def send(self) -> Tuple[int, float]:
        """One moment; its stamp [ns], and when it was published (monotonic [s])."""
        moment = self._inputs.moments[self._next % len(self._inputs.moments)]
        self._next += 1
        self._last_stamp = max(self._last_stamp + 1, rospy.Time.now().to_nsec())  # clocks may be set back
        stamp = rospy.Time(*divmod(self._last_stamp, 10 ** 9))
        self._shown[self._last_stamp] = moment
        now = time.monotonic()
        for topic, message in moment.items():
            for header in headers_of(message):
                header.stamp = stamp
            self._publishers[topic].publish(message)
        return self._last_stamp, now

    def run(self, seconds: float, began: float, sent: List[Sent]) -> threading.Thread:
        """Send for so long, on a thread of its own; a moment that is missed is left out, as a camera would.

        Args:
            began: what times in `sent` count from (monotonic [s]).
        """
        def work() -> None:
            due, end = began, began + seconds
            while due < end - 1e-6 and not self._closed.wait(max(0.0, due - time.monotonic())):
                stamp, when = self.send()
                sent.append(Sent(stamp, when - began))
                due += self._period_s * max(1, round((time.monotonic() - due) / self._period_s))
        thread = threading.Thread(target=work, name="sensor", daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        """Stop sending."""
        self._closed.set()


class MemoryWatch:
    """Samples the resident memory of processes, twice a second.

    Args:
        pids: of robot and server.
        began: what times count from (monotonic [s]).
    """

    def __init__(self, pids: Mapping[str, int], began: float) -> None:
        self.samples: List[Memory] = []
        self._pids = dict(pids)
        self._began = began
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)
        self._thread.start()

    def close(self) -> Sequence[Memory]:
        """Stop; all samples."""
        self._closed.set()
        self._thread.join()
        return self.samples

    def _run(self) -> None:
        known: Dict[str, Any] = {}
        while not self._closed.wait(_MEMORY_S):
            held = {}
            for name, pid in self._pids.items():
                try:
                    known[name] = known.get(name) or psutil.Process(pid)
                    held[name] = known[name].memory_info().rss / 1e6
                except psutil.Error:
                    held[name] = 0.0
            self.samples.append(Memory(time.monotonic() - self._began, held["robot"], held["server"]))
