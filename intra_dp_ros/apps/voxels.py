"""Point clouds as occupied voxels and back: what scene completion reads and writes.  Numpy only, in memory.

The grid is AGRNav's: 256 x 256 x 32 voxels of 0.1 m, its corner at (-10, -10, -0.1) m in the robot's frame.  Arrays
have the axes x, z, y, the heights in the middle: from above, the network sees a picture (x, y) with 32 channels.
"""
from dataclasses import dataclass
from typing import Dict, Tuple

import numpy as np


@dataclass(frozen=True)
class Grid:
    """Where voxels are."""

    size: Tuple[int, int, int] = (256, 256, 32)  # voxels along x, y, z
    origin: Tuple[float, float, float] = (-10.0, -10.0, -0.1)  # corner with the least x, y and z [m]
    cell: float = 0.1  # edge of a voxel [m]

    @property
    def shape(self) -> Tuple[int, int, int, int, int]:
        """Of the array that a network reads: 1, 1, x, z, y."""
        x, y, z = self.size
        return 1, 1, x, z, y


GRID = Grid()


def voxelise(points: np.ndarray, grid: Grid = GRID) -> np.ndarray:
    """Occupancy, uint8 0 or 1 of shape `grid.shape`.

    Args:
        points: (N, 3 or more): x, y, z [m]; points that are not finite or outside the grid are left out.

    Raises:
        ValueError: another shape.
    """
    if points.ndim != 2 or points.shape[1] < 3:
        raise ValueError("points have the shape (N, 3), not {}".format(points.shape))
    occupied = np.zeros(grid.shape, np.uint8)
    # Float32 halves the time; at 20 m its steps are 2 micrometres.
    scaled = (points[:, :3].astype(np.float32) - np.array(grid.origin, np.float32)) * np.float32(1.0 / grid.cell)
    with np.errstate(invalid="ignore"):  # comparisons with NaN are false, which is what is wanted
        inside = ((scaled >= 0) & (scaled < np.array(grid.size, np.float32))).all(axis=1)
    x, y, z = scaled[inside].astype(np.int32).T
    occupied[0, 0, x, z, y] = 1
    return occupied


def points_of(classes: np.ndarray, grid: Grid = GRID) -> np.ndarray:
    """Centres and classes of all voxels that are not empty (class 0): float32 (N, 4): x, y, z [m], class.

    Args:
        classes: uint8, of shape `grid.shape` or without its leading ones.
    """
    indices, values = _filled(classes, grid)
    centres = (indices + np.float32(0.5)) * np.float32(grid.cell) + np.array(grid.origin, np.float32)
    return np.concatenate([centres, values[:, None]], axis=1).astype(np.float32)


def new_indices(classes: np.ndarray, occupancy: np.ndarray, grid: Grid = GRID) -> np.ndarray:
    """Voxels that completion filled and no point had: what AGRNav's planner takes as ``non_intersection_coordinates``.

    Returns:
        (N, 3) float64: indices along x, y, z, ascending in the array's order (x, z, y): AGRNav takes the array's
        indices and exchanges the last two columns (``[0, 2, 1]``).
    """
    new = (classes.reshape(grid.shape) != 0) & (occupancy.reshape(grid.shape) == 0)
    return np.argwhere(new[0, 0])[:, [0, 2, 1]].astype(np.float64)


def statistics(classes: np.ndarray, occupancy: np.ndarray) -> Dict[str, float]:
    """Voxels occupied before and after, how many are new, and the share of the grid that is occupied after."""
    before, after = int(np.count_nonzero(occupancy)), int(np.count_nonzero(classes))
    new = int(np.count_nonzero((classes.reshape(-1) != 0) & (occupancy.reshape(-1) == 0)))
    return {"occupied_before": before, "occupied_after": after, "new": new,
            "occupied_share": after / max(1, classes.size)}


def from_above(volume: np.ndarray, grid: Grid = GRID) -> np.ndarray:
    """Per cell of the ground the highest voxel that is not empty, counted from 1; 0 where there is none: (x, y)."""
    filled = volume.reshape(grid.shape)[0, 0] != 0
    heights = np.arange(1, grid.size[2] + 1)[None, :, None]
    return (filled * heights).max(axis=1).astype(np.uint8)


def _filled(classes: np.ndarray, grid: Grid) -> Tuple[np.ndarray, np.ndarray]:
    volume = classes.reshape(grid.shape)[0, 0]
    x, z, y = np.nonzero(volume)
    return np.stack([x, y, z], axis=1).astype(np.float32), volume[x, z, y].astype(np.float32)
