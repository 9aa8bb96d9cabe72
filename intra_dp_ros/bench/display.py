"""A screen that nobody sees, for pictures of programs with a window: Xvfb, and what it shows as an array."""
import os
import shutil
import subprocess
import tempfile
from typing import Tuple

import numpy as np


class DisplayError(RuntimeError):
    """There is no such screen; the message says what to do."""


class Display:
    """A screen of one's own; programs find it by the environment variable DISPLAY = `name`.

    Args:
        size: width, height [pixel].

    Raises:
        DisplayError: Xvfb is missing or does not start.
    """

    def __init__(self, size: Tuple[int, int]) -> None:
        if shutil.which("Xvfb") is None:
            raise DisplayError("there is no Xvfb: install the package xvfb")
        self._folder = tempfile.mkdtemp(prefix="display_")
        read, write = os.pipe()
        self._process = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", "{}x{}x24".format(*size), "-fbdir", self._folder,
             "-nocursor", "-nolisten", "tcp", "-noreset"],  # with its last window closed a screen would begin anew
            pass_fds=[write], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as pipe:
            number = pipe.readline().strip()  # empty when it has ended
        if not number:
            self.close()
            raise DisplayError("Xvfb does not start: is /tmp/.X11-unix there and writable?")
        self.name = ":" + number

    def picture(self) -> np.ndarray:
        """What is shown, uint8 `[H, W, 3]` RGB."""
        return from_xwd(np.fromfile(os.path.join(self._folder, "Xvfb_screen0"), np.uint8))

    def close(self) -> None:
        """End it, and with it all that shows something there."""
        self._process.terminate()
        self._process.wait(timeout=10.0)
        shutil.rmtree(self._folder, ignore_errors=True)


def from_xwd(data: np.ndarray) -> np.ndarray:
    """An X window dump of 24 bits a pixel in 4 bytes, blue first, as uint8 `[H, W, 3]` RGB.

    Raises:
        ValueError: it is of another kind.
    """
    header = data[:100].view(">u4")
    size, version, kind, depth, width, height = header[:6].tolist()
    little, bits, stride, colours = header[7] == 0, int(header[11]), int(header[12]), int(header[19])
    if (version, kind, depth, bits, little) != (7, 2, 24, 32, True):
        raise ValueError("an X window dump of version {}, format {}, {} bits in {}".format(version, kind, depth, bits))
    begin = size + 12 * colours
    rows = data[begin:begin + stride * height].reshape(height, stride)
    return np.ascontiguousarray(rows[:, :4 * width].reshape(height, width, 4)[..., 2::-1])
