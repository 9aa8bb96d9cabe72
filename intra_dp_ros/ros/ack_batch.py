"""Acknowledgements of small tiles travel together: a message for each would cost both ends more than the tile itself.

What a message costs is threads that wake and wait for the interpreter; sixteen tiles of 5 kB, each acknowledged on its
own, took a server 2 ms longer than with four acknowledgements in a message.  Every one keeps its own times.

Threading: `put` may be called from any thread.  One thread sends what was held back long enough.  One lock covers what
is held and its sending, so that acknowledgements stay in order.
"""
import threading
from typing import Callable, List, Sequence

from intra_dp_ros.ros.conversions import MAX_ACKS
from intra_dp_ros.wire.messages import Ack

#: Held back at most this long [s] ...
HOLD_S = 0.002
#: ... or until they acknowledge so much: large tiles at once [byte].
ENOUGH_BYTES = 24 * 1024


class AckBatch:
    """Args: send: called with acknowledgements that travel in one message, in order; must not block."""

    def __init__(self, send: Callable[[Sequence[Ack]], None]) -> None:
        self._send = send
        self._change = threading.Condition()
        self._held: List[Ack] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="acks", daemon=True)
        self._thread.start()

    def put(self, ack: Ack) -> None:
        """Acknowledge a tile, soon; one that was refused at once."""
        with self._change:
            self._held.append(ack)
            if (not ack.accepted or sum(a.bytes for a in self._held) >= ENOUGH_BYTES or len(self._held) >= MAX_ACKS):
                self._flush()
            elif len(self._held) == 1:
                self._change.notify_all()

    def close(self) -> None:
        """Stop; what is held is dropped."""
        with self._change:
            self._closed.set()
            self._change.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=2.0)

    def _run(self) -> None:
        while True:
            with self._change:
                while not self._held and not self._closed.is_set():
                    self._change.wait()
            if self._closed.wait(HOLD_S):
                return
            with self._change:
                self._flush()

    def _flush(self) -> None:
        held, self._held = self._held, []
        if held:
            self._send(held)
