"""Annotated images and a short video that browsers play."""
import contextlib
import os
from typing import Iterator, List, Sequence, Tuple

import cv2
import numpy as np

from intra_dp_ros.apps.people import PersonDetection, draw
from intra_dp_ros.bench.record import FrameSample

#: (file extension, fourcc, what it is), best first.  Browsers play WebM and not MJPEG; OpenCV always writes MJPEG.
FORMATS: Tuple[Tuple[str, str, str], ...] = (
    (".webm", "VP80", "WebM VP8"),
    (".webm", "VP90", "WebM VP9"),
    (".avi", "MJPG", "AVI MJPEG"),
)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LINE = 22  # [pixel] height of a line of the caption at an image width of 640


class VideoError(OSError):
    """No video can be written; the message names the file and the remedy."""


def caption_of(sample: FrameSample) -> str:
    """Two lines that say what a frame is."""
    link = "link {:.1f} MB/s".format(sample.bandwidth_MBps) if sample.bandwidth_MBps > 0.0 else "link unknown"
    outcome = ", robot took over" if sample.outcome == "takeover" else ""
    return "{}  frame {}  {:.0f} ms{}  {}\nplan: {}".format(
        sample.strategy, sample.frame, sample.latency_ms, outcome, link, sample.plan or "none")


def annotate(rgb: np.ndarray, people: Sequence[PersonDetection], caption: str, ids: Sequence[int] = ()) -> np.ndarray:
    """A copy of the image with the people drawn in and the caption in a bar below it.

    Args:
        rgb: uint8 `[H, W, 3]`.
        people: with coordinates in pixels of this image.
        caption: one or more lines of ASCII; too long lines are cut, the last one goes on in a line that is always kept
            for it: all pictures of a video are of one size.
        ids: who the people are, see `draw`.

    Returns:
        uint8 `[H + bar, W, 3]` with even height and width, as video codecs need them.
    """
    image = draw(rgb, people, ids)
    width = image.shape[1]
    scale = max(0.5, width / 640.0)
    *lines, last = caption.split("\n")
    lines += _two_lines(last, width - int(16 * scale), 0.5 * scale)
    step = int(round(_LINE * scale))
    bar = np.full((step * len(lines) + int(10 * scale), width, 3), 24, np.uint8)
    for i, line in enumerate(lines):
        cv2.putText(bar, _cut(line, width - int(16 * scale), 0.5 * scale), (int(8 * scale), step * (i + 1)), _FONT,
                    0.5 * scale, (255, 255, 255), max(1, int(round(scale))), cv2.LINE_AA)
    out = np.concatenate((image, bar))
    return cv2.copyMakeBorder(out, 0, out.shape[0] % 2, 0, out.shape[1] % 2, cv2.BORDER_REPLICATE)


def _two_lines(line: str, width: int, scale: float) -> List[str]:
    """The line, broken between words where it is too long."""
    first, words = "", line.split(" ")
    while words and cv2.getTextSize((first + " " + words[0]).strip(), _FONT, scale, 1)[0][0] <= width:
        first = (first + " " + words.pop(0)).strip()
    return [first, "  " + " ".join(words)] if first and words else [line, ""]


def _cut(line: str, width: int, scale: float) -> str:
    """The line, shortened until it is at most `width` pixels long."""
    if cv2.getTextSize(line, _FONT, scale, 1)[0][0] <= width:
        return line
    while line and cv2.getTextSize(line + "...", _FONT, scale, 1)[0][0] > width:
        line = line[:-1]
    return line + "..."


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what OpenCV's FFmpeg says past Python: that it writes another tag for VP8 than it was asked for."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class VideoWriter:
    """Writes a video in the first of FORMATS that this OpenCV can encode *and* read back.

    Args:
        stem: path without extension.
        size: `(height, width)` of the images [pixel]; both even.
        fps: images per second.

    Attributes:
        path: of the file.
        format: what it is, e.g. "WebM VP8".

    Raises:
        ValueError: odd or non-positive size, or `fps` not positive.
        VideoError: none of the formats can be written.
    """

    def __init__(self, stem: str, size: Tuple[int, int], fps: float) -> None:
        if min(size) < 2 or size[0] % 2 or size[1] % 2:
            raise ValueError("a video needs an even height and width, got {}x{}".format(*size))
        if not fps > 0.0:
            raise ValueError("fps must be positive, got {}".format(fps))
        self.size, self.fps = (int(size[0]), int(size[1])), float(fps)
        for extension, fourcc, name in FORMATS:
            if self._works(stem + ".probe" + extension, fourcc):
                self.path, self.format = stem + extension, name
                self._writer = self._open(self.path, fourcc)
                return
        raise VideoError("this OpenCV writes none of {} to {}: install its FFmpeg support, check the directory".format(
            ", ".join(name for _, _, name in FORMATS), stem))

    def _open(self, path: str, fourcc: str) -> "cv2.VideoWriter":
        with _quiet():
            return cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*fourcc), self.fps, (self.size[1], self.size[0]))

    def _works(self, path: str, fourcc: str) -> bool:
        """isOpened() alone is not enough: encoders that fail at the first image exist."""
        writer = self._open(path, fourcc)
        try:
            if not writer.isOpened():
                return False
            for _ in range(2):
                writer.write(np.zeros(self.size + (3,), np.uint8))
            writer.release()
            capture = cv2.VideoCapture(path)
            ok, image = capture.read()
            capture.release()
            return bool(ok) and image.shape[:2] == self.size
        finally:
            writer.release()
            if os.path.exists(path):
                os.remove(path)

    def write(self, rgb: np.ndarray) -> None:
        """Add an image, uint8 `[height, width, 3]`; one of another size is scaled to this video's."""
        if rgb.shape[:2] != self.size:
            rgb = cv2.resize(rgb, (self.size[1], self.size[0]), interpolation=cv2.INTER_AREA)
        self._writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Finish the file."""
        self._writer.release()

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
