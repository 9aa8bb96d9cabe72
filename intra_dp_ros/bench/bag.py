"""Camera images for a bag or a demo, from a video file, or synthetic where there is none."""
from dataclasses import dataclass
from typing import Iterator, Sequence, Tuple

import cv2
import numpy as np

from intra_dp_ros.apps.assets import asset_path

VIDEO, SYNTHETIC = "video", "synthetic"
_FALLBACK_FPS = 10.0  # for files that do not say theirs
_SYNTHETIC_SIZE = (576, 768)  # height, width [pixel]
_SYNTHETIC_FRAMES = 200  # before the pattern repeats


@dataclass(frozen=True)
class FrameSource:
    """Where images come from."""

    kind: str  # VIDEO or SYNTHETIC
    path: str  # of the video; empty for synthetic
    height: int  # [pixel]
    width: int
    fps: float  # of the source [1/s]
    count: int  # images in the source

    @property
    def label(self) -> str:
        """For messages."""
        return self.path if self.kind == VIDEO else "synthetic moving pattern (no people in it)"

    def frames(self, fps: float, seconds: float) -> Iterator[Tuple[float, np.ndarray]]:
        """(time [s], uint8 RGB `[height, width, 3]`) at `fps`; the source's images are skipped or repeated to keep its
        speed, and it starts again at its end.

        Raises:
            ValueError: `fps` is not positive.
            OSError: the video cannot be decoded.
        """
        if fps <= 0.0:
            raise ValueError("fps must be positive, got {}".format(fps))
        wanted = [int(i / fps * self.fps + 1e-6) for i in range(int(round(seconds * fps)))]
        images = self._video(wanted) if self.kind == VIDEO else (synthetic_image(i) for i in wanted)
        for i, image in enumerate(images):
            yield i / fps, image

    def _video(self, wanted: Sequence[int]) -> Iterator[np.ndarray]:
        """The images of these rising numbers.  Reads on instead of seeking, which many containers do wrongly."""
        capture, position, image = cv2.VideoCapture(self.path), -1, None
        start = 0  # number of the first image of this turn through the file
        try:
            for number in wanted:
                while position < number:
                    ok, found = capture.read()
                    if not ok:
                        if position < start:
                            raise OSError("cannot decode an image of {}".format(self.path))
                        capture.release()
                        capture, start = cv2.VideoCapture(self.path), position + 1
                        continue
                    image, position = found, position + 1
                yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        finally:
            capture.release()


def open_source(path: str = "") -> FrameSource:
    """A video file, by default the pedestrians in the cache; a synthetic pattern where that is not there.

    Raises:
        OSError: a path was given that is no readable video.
    """
    found = path or asset_path("vtest.avi")
    if not found:
        return FrameSource(SYNTHETIC, "", _SYNTHETIC_SIZE[0], _SYNTHETIC_SIZE[1], _FALLBACK_FPS, _SYNTHETIC_FRAMES)
    capture = cv2.VideoCapture(found)
    try:
        ok, image = capture.read()
        if not ok:
            raise OSError("{} is no video that OpenCV can read".format(found))
        fps, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        return FrameSource(VIDEO, found, image.shape[0], image.shape[1], float(fps) if fps > 0.0 else _FALLBACK_FPS,
                           int(count))
    finally:
        capture.release()


def synthetic_image(number: int) -> np.ndarray:
    """A gradient with moving blocks and the word SYNTHETIC: uint8 RGB `[576, 768, 3]`, the same for the same number."""
    height, width = _SYNTHETIC_SIZE
    step = number % _SYNTHETIC_FRAMES
    out = np.empty((height, width, 3), np.uint8)
    out[..., 0] = np.linspace(40, 160, width, dtype=np.uint8)[None, :]
    out[..., 1] = np.linspace(60, 140, height, dtype=np.uint8)[:, None]
    out[..., 2] = 90
    for i in range(5):
        x = int((width - 60) * (0.5 + 0.5 * np.sin(2 * np.pi * (step * (i + 1) / _SYNTHETIC_FRAMES + i / 5.0))))
        y = 60 + i * 95
        cv2.rectangle(out, (x, y), (x + 40, y + 80), (255 - 40 * i, 50 * i, 200), -1)
    cv2.putText(out, "SYNTHETIC", (20, height - 20), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (255, 255, 255), 2, cv2.LINE_AA)
    return out
