"""People tracking for a robot that follows: a drop-in for KAPAO's node."""
from intra_dp_ros.apps.models import DEFAULT_MODEL, load_model
from intra_dp_ros.ros import params
from intra_dp_ros.ros.camera import TRANSPORTS
from intra_dp_ros.ros.kapao_app import KapaoApp, KapaoParams
from intra_dp_ros.ros.startup import read_size, run


def make() -> KapaoApp:
    """The application, from parameters: those of `KapaoApp`, and of the model

        ~kapao_dir (string, ''): your checkout of KAPAO, with ~weights (string, ''), its weights as a state dict;
        ~model (string, movenet-multipose): where ~kapao_dir is empty, e.g. kapao-style (random weights, for timing);
        ~height, ~width (int, 0: the model's own) [pixel]: of the model's input.

    Raises:
        ModelError: the model cannot be loaded.
        ValueError: another parameter cannot be used.
    """
    settings = KapaoParams(
        threshold=params.read("~threshold", -1.0, at_most=1.0),
        transport=params.read("~image_transport", "both", choices=TRANSPORTS),
        slop_s=params.read("~slop", 0.1, at_least=0.0),
        target_frame=params.read("~target_frame", "map").lstrip("/"),
        follow_distance=params.read("~follow_distance", 1.2, at_least=0.0),
        publish_goal=params.read("~publish_goal", False), goal_rate=params.read("~goal_rate", 1.0, at_least=0.01),
        patience_s=params.read("~patience", 2.0, at_least=0.0))
    checkout, size = params.read("~kapao_dir", ""), read_size() or None
    model = load_model("kapao" if checkout else params.read("~model", DEFAULT_MODEL), params.read("~weights", ""),
                       size, kapao_dir=checkout)
    return KapaoApp(model, settings)


def main() -> None:
    """Read the parameters, track people until shut down; wait for a model that cannot be loaded yet."""
    run("kapao_node", make, waits=True)
