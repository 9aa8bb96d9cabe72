"""Device models by name: the published pair that comes with the package, or a file of one's own."""
import os
from typing import Tuple

from intra_dp_ros.loss import device_model
from intra_dp_ros.loss.device_model import Device

FITTED = "fitted"
#: The pair that `fitted` means, below the package's folder.
FITTED_FILE = os.path.join("config", "devices", "published.yaml")


def is_device_model(text: str) -> bool:
    """Whether an option names a device model, and not a table of times or a factor."""
    return text == FITTED or text.endswith((".yaml", ".yml"))


def open_devices(text: str) -> Tuple[Device, Device, str]:
    """Robot and server, and what they are, in words.

    Args:
        text: `fitted`, or a YAML file such as `config/devices/published.yaml`.

    Raises:
        ValueError: the file describes no devices.
        OSError: it cannot be read.
    """
    if text != FITTED:
        return (*device_model.read(text), "operator times by the device model {}".format(os.path.basename(text)))
    return (*device_model.read(fitted_path()),
            "operator times by a device model fitted to the published ones ({})".format(FITTED_FILE))


def fitted_path() -> str:
    """Where the pair is: in the checkout, or where the installed package keeps its files."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = os.path.join(root, FITTED_FILE)
    if os.path.isfile(path):
        return path
    return os.path.normpath(os.path.join(root, "..", "..", "..", "share", "intra_dp_ros", FITTED_FILE))
