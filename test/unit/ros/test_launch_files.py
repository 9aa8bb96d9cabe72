"""A YAML file given to a launch file is loaded last and wins, over the package's files and over arguments; the heap of
nodes."""
import os
import shutil
import subprocess
from xml.etree import ElementTree

import pytest
import yaml

from intra_dp_ros.runtime.machine import HEAP_ENVIRONMENT

LAUNCH = os.path.join(os.path.dirname(__file__), "..", "..", "..", "launch")


def params_of(name, node, *arguments):
    """Private parameters of a node that a launch file sets."""
    done = subprocess.run(["roslaunch", "--dump-params", os.path.join(LAUNCH, name + ".launch"), *arguments],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    if b"Resource not found" in done.stderr:
        pytest.skip("the package is not on ROS_PACKAGE_PATH: scripts/run pytest")
    found = yaml.safe_load(done.stdout)
    return {key.rpartition("/")[2]: value for key, value in found.items() if key.startswith("/{}/".format(node))}


@pytest.mark.skipif(shutil.which("roslaunch") is None, reason="roslaunch is not installed")
@pytest.mark.parametrize("name, node", [("server", "intra_dp_server"), ("bandwidth_monitor", "bandwidth_monitor")])
def test_the_users_file_wins_on_the_server_and_in_the_monitor(tmp_path, name, node):
    (tmp_path / "mine.yaml").write_text("ns: /other\nthreads: 3\n")
    mine = params_of(name, node, "ns:=/mine", "config:={}".format(tmp_path / "mine.yaml"))
    assert (mine["ns"], mine["threads"]) == ("/other", 3)
    assert params_of(name, node, "ns:=/mine")["ns"] == "/mine"


@pytest.mark.skipif(shutil.which("roslaunch") is None, reason="roslaunch is not installed")
@pytest.mark.parametrize("name, node", [
    ("robot", "intra_dp_robot"), ("kapao", "kapao_node"), ("agrnav", "completion_node")])
def test_the_users_file_wins(tmp_path, name, node):
    (tmp_path / "mine.yaml").write_text("strategy: local\nthreads: 3\nprobe_rate: 0.5\n")
    mine = params_of(name, node, "strategy:=dsccs", "robot_id:=r7", "robot_slowdown:=2",
                     "config:={}".format(tmp_path / "mine.yaml"))
    assert params_of(name, node, "device:=cuda:1")["device"] == "cuda:1"
    assert (mine["strategy"], mine["threads"], mine["probe_rate"]) == ("local", 3, 0.5)
    assert (mine["robot_id"], mine["robot_slowdown"], mine["weights"]) == ("r7", 2, "")
    assert (mine["device"], mine["adaptive"]) == ("cpu", True)


@pytest.mark.parametrize("name", ["robot", "kapao", "agrnav", "server"])
def test_nodes_that_compute_have_a_heap_that_stays_small(name):
    nodes = [node for node in ElementTree.parse(os.path.join(LAUNCH, name + ".launch")).getroot().iter("node")
             if node.get("type") in ("robot_node", "kapao_node", "completion_node", "server_node")]
    assert [{env.get("name"): env.get("value") for env in node.iter("env")} for node in nodes] == [HEAP_ENVIRONMENT]


@pytest.mark.skipif(shutil.which("roslaunch") is None, reason="roslaunch is not installed")
def test_each_robot_may_have_coordinates_of_its_own():
    def remapped(*arguments):
        done = subprocess.run(["roslaunch", "--args", "completion_node", os.path.join(LAUNCH, "agrnav.launch"),
                               "monitor:=false", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=60, universal_newlines=True)
        if "Resource not found" in done.stderr or "cannot locate" in done.stderr.lower():
            pytest.skip("the package is not on ROS_PACKAGE_PATH: scripts/run pytest")
        return [word for word in done.stdout.split() if word.startswith("/non_intersection_coordinates:=")]
    assert remapped() == []
    assert remapped("coordinates:=/rover/cells") == ["/non_intersection_coordinates:=/rover/cells"]
