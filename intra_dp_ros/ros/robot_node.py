"""The robot's node: images in, people out."""
from intra_dp_ros.apps.models import DEFAULT_MODEL, load_model
from intra_dp_ros.ros import params
from intra_dp_ros.ros.camera import TRANSPORTS
from intra_dp_ros.ros.people_app import PeopleApp
from intra_dp_ros.ros.startup import read_size, run


def make() -> PeopleApp:
    """The application of `~model` (string, movenet-multipose), `~weights` (string, '': the model's own), `~threshold`,
    `~image_transport` (see `PeopleApp`), `~height` and `~width` (int, 0: the model's own) [pixel]; see docs/models.md.

    Raises:
        ModelError: the model cannot be loaded.
        ValueError: another parameter cannot be used.
    """
    model = load_model(params.read("~model", DEFAULT_MODEL), params.read("~weights", ""), read_size() or None)
    return PeopleApp(model, params.read("~threshold", -1.0, at_most=1.0),
                     params.read("~image_transport", "both", choices=TRANSPORTS))


def main() -> None:
    """Read the parameters, answer images until shut down."""
    run("intra_dp_robot", make)
