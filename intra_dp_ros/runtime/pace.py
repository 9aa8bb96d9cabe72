"""A slower processor, emulated: after every operator step the thread sleeps as long as that one would still compute.

Emulation only: it stretches compute, not memory or codecs, and every output that uses it says so.  It goes by the
thread's own processor time, so that other processes of this machine (the server's, in a demo) are not stretched too.
"""
import time

_SHORTEST_SLEEP_S = 0.001  # shorter ones overshoot; they are collected first


class Pace:
    """Makes the calling thread's computing `slowdown` times slower.

    Args:
        slowdown: >= 1; 1 does nothing.

    Raises:
        ValueError: a smaller slowdown.
    """

    def __init__(self, slowdown: float = 1.0) -> None:
        if not slowdown >= 1.0:
            raise ValueError("slowdown must be at least 1, got {}".format(slowdown))
        self.slowdown = slowdown
        self._since = time.thread_time()
        self._debt = 0.0  # [s] still to be slept; negative after a late wake-up

    def start(self) -> None:
        """Computing begins now, on this thread."""
        if self.slowdown != 1.0:
            self._since = time.thread_time()

    def __call__(self) -> None:
        """A step is done."""
        if self.slowdown == 1.0:
            return
        now = time.thread_time()
        self._debt += (now - self._since) * (self.slowdown - 1.0)
        self._since = now
        if self._debt >= _SHORTEST_SLEEP_S:
            self._sleep()

    def finish(self) -> None:
        """Computing that began with `start` is over: sleep off what is left."""
        self()
        if self._debt > 0.0:
            self._sleep()

    def _sleep(self) -> None:
        began = time.perf_counter()
        time.sleep(self._debt)
        self._debt -= time.perf_counter() - began
