"""Devices to be emulated in a bench: published operator times, a device model, or this machine's times a factor."""
import math
import os
from typing import Tuple

from intra_dp_ros.bench import frames
from intra_dp_ros.bench.devices import FITTED, is_device_model, open_devices
from intra_dp_ros.bench.hardware import PUBLISHED_SCALE
from intra_dp_ros.bench.labels import model_name
from intra_dp_ros.bench.options import random_inputs
from intra_dp_ros.loss import device_csv
from intra_dp_ros.loss.profile import Profile, load, save
from intra_dp_ros.lop.axis import prepare
from intra_dp_ros.lop.program import Kernels
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.runtime.emulation import Emulate
from intra_dp_ros.runtime.measure import measure

PUBLISHED = "published"
#: Model -> file of the published robot's and server's times, beside the checkout.
_PUBLISHED = {"kapao-style": "kapao", "sconet-style": "agrnav", "vgg19_bn": "VGG19_BN",
              "convnext_large": "ConvNeXt_Large"}
_FOLDER = os.path.join("..", "shared", "data", "device_profiles")
_DEVICE = "emulated"


def make_profiles(what: str, model_text: str, seed: int, robot_folder: str, server_folder: str
                  ) -> Tuple[str, str, str]:
    """Write the profiles of the emulated robot and server.

    Args:
        what: `published`, a CSV file with times of both, `fitted` or a YAML file with a device model of both, or
            `ROBOT,SERVER`: factors on what this machine takes for an operator.

    Returns:
        The robot's file, the server's file, and what they are, in words.

    Raises:
        ValueError: none of these, or times of another model.
        OSError: the file cannot be read.
    """
    model = frames.load(model_text, seed)
    recording = prepare(frames.record_whole(model))
    tiling = Tiling(recording.graph)
    is_published = what == PUBLISHED
    if is_published:
        what = _published(model_text)
    if is_device_model(what):
        robot_device, server_device, words = open_devices(what)
        robot, server = robot_device.profile(tiling), server_device.profile(tiling)
    elif os.path.exists(what) or what.endswith(".csv"):
        scale = PUBLISHED_SCALE if is_published else (1.0, 1.0)
        mapped = device_csv.map_rows(tiling, device_csv.read(what), scale=scale)
        robot, server = mapped.robot, mapped.server
        words = "operator times of {}, {} of {} found in the graph".format(
            os.path.basename(what), mapped.mapped, mapped.rows)
    else:
        slower, faster = _factors(what)
        here = measure(Kernels(tiling, recording.weights), random_inputs(model, seed))
        robot, server = here.scaled(slower), here.scaled(faster)
        words = "this machine's operator times, robot x {:g}, server x {:g}".format(slower, faster)
    rows = [rule.rows for rule in tiling.rules]
    words += "; whole frame {:.0f} and {:.1f} ms".format(robot.frame_ms(rows), server.frame_ms(rows))
    files = [save(folder, Profile(tiling.graph.hash, _DEVICE, p.a_ms, p.b_ms))
             for folder, p in ((robot_folder, robot), (server_folder, server))]
    return files[0], files[1], words


def check(what: str, model_text: str) -> None:
    """What can be said of `make_profiles` without the model's graph.

    Raises:
        ValueError, OSError: see there.
    """
    if what == PUBLISHED:
        _published(model_text)
    elif is_device_model(what):
        open_devices(what)
    elif os.path.exists(what) or what.endswith(".csv"):
        device_csv.read(what)
    else:
        _factors(what)


def _factors(what: str) -> Tuple[float, float]:
    try:
        slower, faster = (float(word) for word in what.split(","))
    except ValueError:
        slower = faster = math.nan
    if not (0.0 <= slower < math.inf and 0.0 <= faster < math.inf):
        raise ValueError("--emulate {!r}: expected {}, a CSV or YAML file, or two factors such as 4,0.125".format(
            what, FITTED))
    return slower, faster


def _published(model: str) -> str:
    """Raises ValueError: there are no published times of the model here."""
    name = model_name(model)
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = os.path.join(root, _FOLDER, _PUBLISHED.get(name, name) + ".csv")
    if name not in _PUBLISHED or not os.path.isfile(path):
        raise ValueError("no published operator times of {!r} here ({}): use --emulate {}, or give it a CSV file "
                         "or two factors".format(model, ", ".join(_PUBLISHED), FITTED))
    return path


def from_file(path: str) -> Emulate:
    """What `Engine` takes, from a file of `make_profiles`."""
    def of(tiling: Tiling) -> Profile:
        """Raises ValueError: the file is of another graph."""
        found = load(os.path.dirname(path), tiling.graph.hash, _DEVICE)
        if found is None:
            raise ValueError("{} holds no times of graph {}: emulate the model that the bench was started with".format(
                os.path.dirname(path), tiling.graph.hash[:12]))
        return found
    return of
