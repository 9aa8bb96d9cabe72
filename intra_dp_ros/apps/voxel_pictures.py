"""Volumes drawn: the colours of the classes, and views from above; numpy, and OpenCV for the captions."""
from typing import Tuple

import cv2
import numpy as np

from intra_dp_ros.apps.voxels import GRID, Grid, volume

#: SemanticKITTI's colours of `voxels.CLASSES`, uint8 `[20, 3]` RGB; class 0 is the background.
COLOURS = np.array([
    (24, 24, 28), (100, 150, 245), (100, 230, 245), (30, 60, 150), (80, 30, 180), (0, 0, 255), (255, 30, 30),
    (255, 40, 200), (150, 30, 90), (255, 0, 255), (255, 150, 255), (75, 0, 75), (175, 0, 75), (255, 200, 0),
    (255, 120, 50), (0, 175, 0), (135, 60, 0), (150, 240, 80), (255, 240, 150), (255, 0, 0)], np.uint8)
BACKGROUND = tuple(COLOURS[0].tolist())
_DARKEST = 0.45  # of a class' colour, on the lowest cells
_BAR, _GAP = 26, 6  # of the captions, between two views [pixel]
_LEAST_SIDE = 384  # of a view [pixel]


def class_colours(classes: np.ndarray) -> np.ndarray:
    """uint8 `[..., 3]` RGB of class numbers; those beyond the table begin again at its first class."""
    last = len(COLOURS) - 1
    return COLOURS[np.where(classes > last, (classes.astype(np.int64) - 1) % last + 1, classes)]


def top_view(array: np.ndarray, grid: Grid = GRID) -> np.ndarray:
    """A volume from above: the highest cell that is not 0 of every column, the lower the darker.

    Args:
        array: occupancy (drawn by height) or classes, as the network takes and gives them.

    Returns:
        uint8 `[X, Y, 3]` RGB, x upwards, y to the left, as on a map of a robot that looks up.

    Raises:
        ValueError: a volume of another shape.
    """
    cells = volume(array, grid)
    levels = cells.shape[1]
    height = levels - 1 - (cells[:, ::-1] > 0).argmax(1)
    top = np.take_along_axis(cells, height[:, None], 1)[:, 0]
    is_occupancy = array.ndim == 5
    if is_occupancy:
        colour = cv2.applyColorMap((height * (255 // max(1, levels - 1))).astype(np.uint8), cv2.COLORMAP_JET)[..., ::-1]
    else:
        shade = _DARKEST + (1.0 - _DARKEST) * height / max(1, levels - 1)
        colour = (class_colours(top) * shade[..., None]).astype(np.uint8)
    view = np.where((top > 0)[..., None], colour, COLOURS[0])
    return np.ascontiguousarray(view[::-1, ::-1])


def before_after(occupancy: np.ndarray, classes: np.ndarray, captions: Tuple[str, str], grid: Grid = GRID
                 ) -> np.ndarray:
    """The cloud's cells and the completed volume side by side, each with a line above: uint8 `[H, W, 3]` RGB.

    Raises:
        ValueError: volumes of another shape.
    """
    views = []
    for array, caption in zip((occupancy, classes), captions):
        view = top_view(array, grid)
        factor = max(1, -(-_LEAST_SIDE // max(view.shape[:2])))
        views.append(titled(view.repeat(factor, 0).repeat(factor, 1), caption))
    gap = np.full((views[0].shape[0], _GAP, 3), 255, np.uint8)
    picture = np.concatenate([views[0], gap, views[1]], 1)
    return picture[:picture.shape[0] // 2 * 2, :picture.shape[1] // 2 * 2]


def titled(picture: np.ndarray, caption: str) -> np.ndarray:
    """A picture, uint8 RGB, with a line of text above it."""
    bar = np.full((_BAR, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(bar, caption, (6, _BAR - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([bar, picture])
