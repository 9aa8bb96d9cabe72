"""The robot's node: images in; people, classes, raw outputs or what a decoder of the user makes of them out."""
from intra_dp_ros.apps.models import DEFAULT_MODEL, load_model
from intra_dp_ros.ros import params
from intra_dp_ros.ros.application import Application
from intra_dp_ros.ros.camera import TRANSPORTS
from intra_dp_ros.ros.decoder import Decoder
from intra_dp_ros.ros.image_app import ImageApp
from intra_dp_ros.ros.people_app import PeopleApp
from intra_dp_ros.ros.startup import read_size, run


def make() -> Application:
    """The application of `~model` (string, movenet-multipose), `~weights` (string, '': the model's own), `~height` and
    `~width` (int, 0: the model's own) [pixel], see docs/models.md: `PeopleApp` where the model's outputs are people and
    no `~decoder` is given, otherwise `ImageApp`; see there for `~threshold`, `~decoder`, `~top_k`, `~image_transport`.

    Raises:
        ModelError: the model cannot be loaded.
        DecoderError: the decoder cannot be used.
        ValueError: another parameter cannot be used.
    """
    model = load_model(params.read("~model", DEFAULT_MODEL), params.read("~weights", ""), read_size() or None)
    transport, decoder = params.read("~image_transport", "both", choices=TRANSPORTS), params.read("~decoder", "")
    if model.decode and not decoder:
        return PeopleApp(model, params.read("~threshold", -1.0, at_most=1.0), transport)
    return ImageApp(model, Decoder(decoder) if decoder else None, params.read("~top_k", 5, at_least=1), transport)


def main() -> None:
    """Read the parameters, answer images until shut down."""
    run("intra_dp_robot", make)
