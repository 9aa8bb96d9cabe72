"""Between point clouds and the volumes of scene completion; numpy only.

Axis order.  The network takes occupancies `[1, 1, X, Z, Y]` and gives classes `[1, X, Z, Y]`: x first (its rows, which
are what robot and server divide), the 32 vertical cells in the middle.  In this order the volumes of SemanticKITTI
reach SCONet (as in LMSCNet, Roldao et al., 2020, axes [x, y, z] are moved to [x, z, y]), so trained weights fit.
Everything else here speaks of cells in the order x, y, z.

The grid is AGRNav's: 256 x 256 x 32 cells of 0.1 m from (-10, -10, -0.1) on, x forward, y left, z up.
"""
from dataclasses import dataclass
from typing import Dict, Sequence, Tuple

import numpy as np

#: SemanticKITTI's classes by number; 0 is free space.
CLASSES: Tuple[str, ...] = (
    "empty", "car", "bicycle", "motorcycle", "truck", "other-vehicle", "person", "bicyclist", "motorcyclist", "road",
    "parking", "sidewalk", "other-ground", "building", "fence", "vegetation", "trunk", "terrain", "pole",
    "traffic-sign",
)


@dataclass(frozen=True)
class Grid:
    """Where the cells of a volume are."""

    cells: Tuple[int, int, int] = (256, 256, 32)  # along x, y, z
    size: float = 0.1  # edge of a cell [m]
    origin: Tuple[float, float, float] = (-10.0, -10.0, -0.1)  # lower corner of cell (0, 0, 0): x, y, z [m]

    def __post_init__(self) -> None:
        if len(self.cells) != 3 or min(self.cells) < 1:
            raise ValueError("a grid needs three positive numbers of cells (x, y, z), got {}".format(self.cells))
        if not (np.isfinite(self.size) and self.size > 0.0):
            raise ValueError("a cell needs a positive edge [m], got {}".format(self.size))
        if len(self.origin) != 3 or not np.all(np.isfinite(self.origin)):
            raise ValueError("a grid's origin needs three finite numbers (x, y, z) [m], got {}".format(self.origin))

    @property
    def shape(self) -> Tuple[int, int, int, int, int]:
        """Of the network's input: `[1, 1, X, Z, Y]`."""
        x, y, z = self.cells
        return 1, 1, x, z, y


GRID = Grid()


def voxelise(points: np.ndarray, grid: Grid = GRID) -> np.ndarray:
    """Which cells hold a point.

    Args:
        points: `[N, 3 or more]` of any float type, x, y, z [m] in the grid's frame first; points that are not finite
            and points outside the grid are left out.

    Returns:
        uint8 `[1, 1, X, Z, Y]`, 0 or 1.

    Raises:
        ValueError: not such an array.
    """
    if points.ndim != 2 or points.shape[1] < 3 or points.dtype.kind != "f":
        raise ValueError("points must be floats [N, 3 or more], got {} {}".format(points.dtype, list(points.shape)))
    out = np.zeros(grid.shape, np.uint8)
    strides = (grid.cells[1] * grid.cells[2], 1, grid.cells[1])  # of x, y, z in `out`
    index = np.zeros(len(points), np.int64)
    inside = np.ones(len(points), bool)
    for axis, (count, stride) in enumerate(zip(grid.cells, strides)):
        # float64: single precision would put points near the faces of far cells into their neighbours
        cell = np.floor((points[:, axis].astype(np.float64) - grid.origin[axis]) / grid.size)
        inside &= (cell >= 0) & (cell < count)  # not so for NaN
        index += np.where(inside, cell, 0).astype(np.int64) * stride
    out.reshape(-1)[index[inside]] = 1
    return out


def volume(array: np.ndarray, grid: Grid = GRID) -> np.ndarray:
    """An occupancy or class array as the network has it, without its leading dimensions of one: a view `[X, Z, Y]`.

    Raises:
        ValueError: not of the grid's shape.
    """
    shape = grid.shape[2:]
    if array.shape[-3:] != shape or array.size != np.prod(shape):
        raise ValueError("a volume of shape {}, expected [..., {}, {}, {}]".format(list(array.shape), *shape))
    return array.reshape(shape)


def cells_of(mask: np.ndarray) -> np.ndarray:
    """Cells that are set in a mask `[X, Z, Y]`: int64 `[N, 3]`, each x, y, z; x rises slowest, then z, then y."""
    y = mask.shape[2]
    flat = np.flatnonzero(mask)
    rest, column = np.divmod(flat, y)
    row, level = np.divmod(rest, mask.shape[1])
    return np.stack([row, column, level], 1)


def points_of(cells: np.ndarray, grid: Grid = GRID, centres: bool = True) -> np.ndarray:
    """Cells `[N, 3]` -> their centres, or lower corners, float32 `[N, 3]` [m] in the grid's frame."""
    return ((cells + (0.5 if centres else 0.0)) * grid.size + np.array(grid.origin)).astype(np.float32)


def predicted(occupancy: np.ndarray, classes: np.ndarray, grid: Grid = GRID) -> Tuple[np.ndarray, np.ndarray]:
    """What the network adds: cells that it calls occupied (class > 0) and that the cloud did not hit.

    Args:
        occupancy, classes: as the network takes and gives them.

    Returns:
        Cells int64 `[N, 3]` (x, y, z) in the order of AGRNav's node, and their classes uint8 `[N]`.

    Raises:
        ValueError: volumes of another shape.
    """
    seen, found = volume(occupancy, grid), volume(classes, grid)
    mask = (found > 0) & (seen == 0)
    return cells_of(mask), found[mask]


def planner_coordinates(cells: np.ndarray) -> np.ndarray:
    """What AGRNav's planner takes on `/non_intersection_coordinates`: float64 `[3 N]`, flat triples of cell indices.

    AGRNav's node has triples in the volume's own order (x, z, y) and reorders their columns to [0, 2, 1] before it
    sends them; so on the wire each is x, y, z, as `cells_of` has them.
    """
    return cells.astype(np.float64).reshape(-1)


@dataclass(frozen=True)
class OccupiedSpace:
    """How much of a volume is occupied, before and after completion."""

    seen: int  # cells that the cloud hit
    completed: int  # cells that the network calls occupied
    kept: int  # of these, cells that the cloud hit
    added: int  # of these, cells that it did not hit
    cell_volume: float  # [m^3]
    classes: Dict[str, int]  # name -> cells, without the empty ones

    @property
    def sentence(self) -> str:
        """For a log line."""
        return "{} cells seen ({:.2f} m3), {} occupied after completion ({:.2f} m3): {} kept, {} added".format(
            self.seen, self.seen * self.cell_volume, self.completed, self.completed * self.cell_volume, self.kept,
            self.added)


def occupied_space(occupancy: np.ndarray, classes: np.ndarray, grid: Grid = GRID) -> OccupiedSpace:
    """Statistics of one completion; arguments and errors as of `predicted`."""
    seen, found = volume(occupancy, grid), volume(classes, grid)
    counts = np.bincount(found.reshape(-1), minlength=len(CLASSES))
    completed, kept = int(counts[1:].sum()), int(np.count_nonzero((found > 0) & (seen > 0)))
    return OccupiedSpace(int(np.count_nonzero(seen)), completed, kept, completed - kept, grid.size ** 3,
                         {class_name(i): int(n) for i, n in enumerate(counts) if i and n})


def class_name(number: int) -> str:
    """The name of a class; networks with more classes have numbers for names."""
    return CLASSES[number] if number < len(CLASSES) else "class {}".format(number)


def scan_points(ranges: Sequence[float], angle_min: float, angle_increment: float, range_min: float,
                range_max: float) -> np.ndarray:
    """The points of a planar laser scan in its own frame: float32 `[N, 3]` [m], z = 0.

    Args:
        ranges: [m]; those outside [range_min, range_max], infinite ones and NaN are no returns.
        angle_min, angle_increment: of the rays, counter-clockwise [rad].
    """
    distance = np.asarray(ranges, np.float64)
    angle = angle_min + angle_increment * np.arange(len(distance))
    with np.errstate(invalid="ignore"):
        hit = (distance >= range_min) & (distance <= range_max)
    distance, angle = distance[hit], angle[hit]
    return np.stack([distance * np.cos(angle), distance * np.sin(angle), np.zeros(len(angle))], 1).astype(np.float32)
