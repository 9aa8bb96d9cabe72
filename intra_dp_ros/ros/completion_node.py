"""Semantic scene completion: a drop-in for AGRNav's inference node."""
from intra_dp_ros.apps.models import load_model
from intra_dp_ros.apps.voxels import GRID
from intra_dp_ros.lop.plan import VOLUMES
from intra_dp_ros.ros import params
from intra_dp_ros.ros.completion_app import CLOUD, SCAN, CompletionApp, CompletionParams
from intra_dp_ros.ros.startup import run


def make() -> CompletionApp:
    """The application, from parameters: those of `CompletionApp`, and of the model

        ~model (string, sconet-style), ~weights (string, ''): a state dict; empty: seeded random weights, labelled so;
        ~cells_x, ~cells_y (int, 0: the model's own 256): of the grid, multiples of 8.

    Raises:
        ModelError: the model cannot be loaded.
        ValueError: another parameter cannot be used.
    """
    settings = CompletionParams(
        input=params.read("~input", CLOUD, choices=(CLOUD, SCAN)), frame=params.read("~frame", "").lstrip("/"),
        cell_size=params.read("~cell_size", GRID.size, at_least=1e-3),
        origin=tuple(params.read("~origin_" + name, default) for name, default in zip("xyz", GRID.origin)),
        cell_centres=params.read("~cell_centres", False))
    cells = params.read("~cells_x", 0, at_least=0), params.read("~cells_y", 0, at_least=0)
    shape = (1, 1, cells[0] or GRID.cells[0], GRID.cells[2], cells[1] or GRID.cells[1]) if any(cells) else None
    return CompletionApp(load_model(params.read("~model", "sconet-style"), params.read("~weights", ""), shape=shape),
                         settings)


def main() -> None:
    """Read the parameters, complete clouds until shut down; wait for a model that cannot be loaded yet."""
    run("completion_node", make, waits=True, codec=VOLUMES)
