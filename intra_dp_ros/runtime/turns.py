"""Who may use the server's processor: the frame that is due first.

A processor that several frames use at the same time makes all of them late.  Frames take turns instead, by earliest
deadline (Liu and Layland, 1973): a frame is due when its robot expects it.  The turn changes between operators, so a
long frame does not hold up a short one that is due sooner.  Deadlines are moments, so none waits for ever: whatever
begins later is due later, but for what robots expect of a frame.

Threading: anyone; one condition covers who waits.
"""
import itertools
import threading
from typing import Callable, Iterator, List, Tuple

_LOOK_S = 0.05  # a waiting frame looks so often whether it is still wanted


class Turns:
    """The processor's turns.

    Args:
        slots: frames that may compute at the same time.

    Raises:
        ValueError: fewer than one slot.
    """

    def __init__(self, slots: int = 1) -> None:
        if slots < 1:
            raise ValueError("turns: at least one frame must be able to compute, not {}".format(slots))
        self.slots = slots
        self._free = slots
        self._numbers: Iterator[int] = itertools.count()
        self._waiting: List[Tuple[float, int]] = []  # deadline, number: first come, first served among equals
        self._change = threading.Condition()

    def turn(self, deadline: float, is_wanted: Callable[[], bool] = lambda: True) -> "Turn":
        """A frame's claim; nothing is taken yet.

        Args:
            deadline: monotonic [s].
            is_wanted: asked while it waits; False: it gives up.
        """
        return Turn(self, deadline, is_wanted)

    def take(self, deadline: float, is_wanted: Callable[[], bool]) -> bool:
        """Wait for a slot; False: not wanted any more."""
        with self._change:
            ticket = (deadline, next(self._numbers))
            self._waiting.append(ticket)
            self._waiting.sort()
            try:
                while ticket not in self._waiting[:self._free]:
                    self._change.wait(_LOOK_S)
                    if not is_wanted():
                        return False
                self._free -= 1
                return True
            finally:
                self._waiting.remove(ticket)
                self._change.notify_all()

    def give_back(self) -> None:
        """A slot is free again."""
        with self._change:
            self._free += 1
            self._change.notify_all()

    def is_awaited(self, deadline: float) -> bool:
        """Whether a frame waits that is due before this moment."""
        with self._change:
            return bool(self._waiting) and self._waiting[0][0] < deadline


class Turn:
    """One frame's use of the processor; one thread uses it.

    Attributes:
        is_held: whether the frame may compute now.
    """

    def __init__(self, turns: Turns, deadline: float, is_wanted: Callable[[], bool]) -> None:
        self._turns, self._deadline, self._is_wanted = turns, deadline, is_wanted
        self.is_held = False

    def take(self) -> bool:
        """Wait until the frame may compute; False: it is not wanted any more."""
        self.is_held = self._turns.take(self._deadline, self._is_wanted)
        return self.is_held

    @property
    def should_pass(self) -> bool:
        """Whether a frame waits that is due sooner."""
        return self._turns.is_awaited(self._deadline)

    def release(self) -> None:
        """Done for now; nothing where the turn is not held."""
        if self.is_held:
            self.is_held = False
            self._turns.give_back()
