"""The beginning of a node: its module needs PyTorch, which no package manager of ROS installs."""
import importlib
import sys


def run_node(name: str) -> None:
    """Run the module of this package that is the node; without PyTorch say what to install and end with exit code 1."""
    try:
        module = importlib.import_module("intra_dp_ros.ros." + name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        sys.exit("{}: PyTorch is missing for {}: NVIDIA's wheels on a Jetson, 'sudo apt install python3-torch' on "
                 "Debian 12, 'sudo apt install python3-pip && pip3 install torch torchvision' elsewhere".format(
                     name, sys.executable))
    module.main()
