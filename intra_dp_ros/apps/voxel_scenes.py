"""Points and cells as somebody above and behind the robot would see them; numpy, and OpenCV for captions."""
from typing import Sequence, Tuple

import cv2
import numpy as np

from intra_dp_ros.apps.voxel_pictures import BACKGROUND, titled

_EYE, _TARGET = (-16.0, -13.0, 12.0), (2.0, 1.0, 0.0)  # where the picture is seen from, and what is in its middle [m]
_FOCAL = 0.9  # of the picture's width: 58 degrees from left to right
_NEAREST_M = 0.5
_LARGEST = 12  # edge of a point [pixel]


def height_colours(z: np.ndarray, lowest: float, highest: float) -> np.ndarray:
    """Heights [m] `[N]` as uint8 `[N, 3]` RGB, blue for the lowest, red for the highest."""
    part = np.clip((z - lowest) / max(highest - lowest, 1e-6), 0.0, 1.0)
    grey = np.rint(255.0 * part).astype(np.uint8).reshape(-1, 1)
    return cv2.applyColorMap(grey, cv2.COLORMAP_JET)[:, 0, ::-1] if len(grey) else np.empty((0, 3), np.uint8)


def perspective(points: np.ndarray, colours: np.ndarray, edge: float, away: float = 1.0,
                size: Tuple[int, int] = (384, 512)) -> np.ndarray:
    """A picture of points; near ones hide far ones.

    Args:
        points: `[N, 3]` [m], x forward, y left, z up from where the robot stands.
        colours: uint8 `[N, 3]` RGB.
        edge: of a point [m]; it has at least a pixel.
        away: how far off it is seen from; 1 shows the published grid.
        size: of the picture: height, width [pixel].

    Returns:
        uint8 `[H, W, 3]` RGB.
    """
    height, width = size
    out = np.empty((height, width, 3), np.uint8)
    out[...] = BACKGROUND
    eye = np.multiply(_EYE, away)
    ahead = np.subtract(_TARGET, eye) / np.linalg.norm(np.subtract(_TARGET, eye))
    right = np.cross(ahead, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    seen = (np.asarray(points, np.float64) - eye) @ np.stack([right, np.cross(ahead, right), ahead], 1)
    near = seen[:, 2] > _NEAREST_M
    order = np.argsort(-seen[near, 2], kind="stable")  # far ones first: what is drawn later hides them
    seen, colours = seen[near][order], colours[near][order]
    scale = _FOCAL * width / seen[:, 2]
    column, row = (seen[:, 0] * scale + width / 2.0).astype(int), (seen[:, 1] * scale + height / 2.0).astype(int)
    edges = np.clip(np.ceil(edge * scale).astype(int), 1, _LARGEST)
    for pixels in np.unique(edges):  # of all that look as large, which are nearer than those before
        same = edges == pixels
        steps = np.arange(pixels) - pixels // 2
        rows = (row[same][:, None, None] + steps[:, None] + np.zeros_like(steps)).reshape(-1)
        columns = (column[same][:, None, None] + steps + np.zeros_like(steps)[:, None]).reshape(-1)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        out[rows[inside], columns[inside]] = colours[same].repeat(pixels * pixels, 0)[inside]
    return out


def two_rows(scenes: Sequence[np.ndarray], captions: Sequence[str], below: np.ndarray) -> np.ndarray:
    """Pictures of one size side by side, each with a line above, over another picture.

    Args:
        scenes: uint8 `[H, W, 3]` RGB.
        captions: as many.
        below: uint8 RGB, scaled to the width of those above.

    Returns:
        uint8 RGB, of even height and width.
    """
    above = np.concatenate([titled(scene, caption) for scene, caption in zip(scenes, captions)], 1)
    width = above.shape[1]
    height = int(round(below.shape[0] * width / below.shape[1]))
    picture = np.concatenate([above, cv2.resize(below, (width, height), interpolation=cv2.INTER_AREA)])
    return picture[:picture.shape[0] // 2 * 2, :picture.shape[1] // 2 * 2]
