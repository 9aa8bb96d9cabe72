"""The board's power from its INA3221 monitors (Jetson: hwmon in sysfs), and what a frame took of it.

Threading: one thread samples; `energy` may be called from any thread.  One lock covers the samples.
"""
import collections
import glob
import logging
import os
import threading
import time
from typing import Callable, Deque, List, Optional, Tuple

from intra_dp_ros.loss.energy import PowerModel

_LOG = logging.getLogger(__name__)
_ROOT = "/sys/class/hwmon"
_CHANNELS = (1, 2, 3)  # of an INA3221; further ones are sums of shunt voltages
_WHOLE_BOARD = ("VDD_IN", "POM_5V_IN")  # the rail that feeds all others, where the board measures it
_PERIOD_S = 0.05  # between samples: reading takes about a millisecond a rail
_KEPT = 1200  # samples: a minute


class Rails:
    """Rails to be added up: the one that feeds the board where it is measured, else all of them.

    Attributes:
        names: labels of the rails.
    """

    def __init__(self, found: List[Tuple[str, str, str]]) -> None:
        whole = [rail for rail in found if rail[0] in _WHOLE_BOARD]
        self._rails = whole[:1] or found
        self.names = tuple(rail[0] for rail in self._rails)

    @staticmethod
    def find(root: str = _ROOT) -> Optional["Rails"]:
        """What this machine measures; None: nothing that can be read."""
        found = []
        for folder in sorted(glob.glob(os.path.join(root, "hwmon*"))):
            try:
                if _read(os.path.join(folder, "name")) != "ina3221":
                    continue
                for channel in _CHANNELS:
                    label = os.path.join(folder, "in{}_label".format(channel))
                    volts, amps = (os.path.join(folder, form.format(channel)) for form in ("in{}_input",
                                                                                           "curr{}_input"))
                    if os.path.exists(volts) and os.path.exists(amps):
                        found.append((_read(label) if os.path.exists(label) else volts, volts, amps))
            except OSError:
                continue
        rails = Rails(found) if found else None
        try:
            if rails is not None:
                rails.power_w()
        except (OSError, ValueError):
            return None
        return rails

    def power_w(self) -> float:
        """Now [W].

        Raises:
            OSError, ValueError: a rail cannot be read.
        """
        return sum(int(_read(volts)) * int(_read(amps)) for _, volts, amps in self._rails) * 1e-6  # mV, mA


class EnergyMeter:
    """Integrates a power over time.

    Args:
        power_w: the power now [W]; when it cannot be read any more, the last value goes on.
        clock: monotonic [s].
    """

    def __init__(self, power_w: Callable[[], float], clock: Callable[[], float] = time.monotonic) -> None:
        self._power_w = power_w
        self._clock = clock
        self._lock = threading.Lock()
        self._samples: Deque[Tuple[float, float, float]] = collections.deque(maxlen=_KEPT)  # time, power, energy since
        self._closed = threading.Event()
        self.sample()

    def start(self) -> None:
        """Sample in the background until `close`."""
        threading.Thread(target=self._run, name="energy", daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._closed.set()

    def sample(self) -> None:
        """Read the power once."""
        try:
            power = self._power_w()
        except (OSError, ValueError):
            power = self._samples[-1][1] if self._samples else 0.0
        now = self._clock()
        with self._lock:
            energy = 0.0
            if self._samples:
                before, last, energy = self._samples[-1]
                energy += 0.5 * (last + power) * (now - before)
            self._samples.append((now, power, energy))

    def energy(self, begin: float, end: float) -> float:
        """Between two times on the clock, of the last minute [J]."""
        with self._lock:
            samples = list(self._samples)
        return _at(samples, end) - _at(samples, begin)

    def _run(self) -> None:
        while not self._closed.wait(_PERIOD_S):
            self.sample()


class FrameEnergy:
    """The energy of frames: measured where the board measures it, else from the power of each state.

    Args:
        power: of the states.
        rails: of this board; None: there are none, or they are not those of the robot that is emulated.

    Attributes:
        source: "rails" or "model".
    """

    def __init__(self, power: PowerModel, rails: Optional[Rails]) -> None:
        self._power = power
        self._meter = None if rails is None else EnergyMeter(rails.power_w)
        self.source = "model" if rails is None else "rails"
        if self._meter is not None:
            self._meter.start()
        _LOG.info("energy from %s", "the power model" if rails is None else "the rails " + ", ".join(rails.names))

    def of(self, busy_s: float, radio_s: float, began: float, done: float) -> float:
        """Of one frame [J].

        Args:
            busy_s, radio_s: computing; sending while not computing [s].
            began, done: monotonic [s].
        """
        if self._meter is not None:
            return self._meter.energy(began, done)
        return float(self._power.energy(busy_s, radio_s, max(done - began, busy_s + radio_s)))

    def close(self) -> None:
        """Stop measuring."""
        if self._meter is not None:
            self._meter.close()


def _at(samples: List[Tuple[float, float, float]], when: float) -> float:
    """Energy up to a time [J]; between samples in proportion, beyond them at the nearest one's power."""
    if when <= samples[0][0]:
        return samples[0][2] - samples[0][1] * (samples[0][0] - when)
    for (begin, _, low), (end, _, high) in zip(reversed(samples[:-1]), reversed(samples[1:])):
        if begin <= when <= end:
            return low + (high - low) * (when - begin) / max(end - begin, 1e-9)
    return samples[-1][2] + samples[-1][1] * (when - samples[-1][0])


def _read(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read().strip()
