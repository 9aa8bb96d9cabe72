"""A ROS master and a launch file of one's own, for demos and benches that must not disturb what else runs here."""
import os
import signal
import socket
import subprocess
import time
from typing import List, Optional, Sequence

import psutil
import rospy

_MASTER_S = 60.0  # until the master answers
_STOP_S = 20.0  # for the nodes to end by themselves
_LOOK_S = 5.0  # between looks at which nodes there are


class LaunchError(RuntimeError):
    """The nodes are not there; the message names their log."""


class OwnMaster:
    """`roslaunch` on a free port of this machine, with this process as one of its nodes.

    Args:
        launch: file of this package.
        arguments: of the launch file, "name:=value".
        log: file for all the nodes say.
    """

    def __init__(self, launch: str, arguments: Sequence[str], log: str) -> None:
        self._launch = launch
        self._arguments = list(arguments)
        self.log = log
        self._process: Optional[subprocess.Popen] = None
        self._nodes: List[psutil.Process] = []  # of it, as last seen; in process groups of their own
        self._next_look = 0.0  # monotonic [s]

    def start(self, node: str) -> None:
        """Start the nodes and become the node `node`.

        Raises:
            LaunchError: no master after a minute.
        """
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        os.environ["ROS_MASTER_URI"] = "http://127.0.0.1:{}".format(port)
        os.environ["ROS_IP"] = "127.0.0.1"
        os.environ.pop("ROS_HOSTNAME", None)
        with open(self.log, "w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                ["roslaunch", "-p", str(port), "intra_dp_ros", self._launch, *self._arguments],
                stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)
        end = time.monotonic() + _MASTER_S
        while True:
            self.check()
            try:
                rospy.get_master().getPid()
                break
            except OSError:
                if time.monotonic() > end:
                    raise LaunchError("no ROS master after {:.0f} s; see {}".format(_MASTER_S, self.log)) from None
                time.sleep(0.2)
        rospy.init_node(node, anonymous=True, disable_signals=True)

    def check(self) -> None:
        """Raises LaunchError when the nodes have stopped."""
        if self._process is not None and time.monotonic() > self._next_look:
            self._next_look = time.monotonic() + _LOOK_S
            self._look()
        if self._process is not None and self._process.poll() is not None:
            raise LaunchError("the nodes have stopped; see {}".format(self.log))

    def stop(self) -> None:
        """Stop all nodes and the master: asked first, then killed."""
        if self._process is None:
            return
        self._look()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
            try:
                self._process.wait(timeout=_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        for node in self._nodes:  # a launch killed, or struck before it could ask them, leaves them behind
            try:
                node.kill()
            except psutil.Error:
                pass  # gone, as a rule

    def _look(self) -> None:
        try:
            self._nodes = psutil.Process(self._process.pid).children(recursive=True) or self._nodes
        except psutil.Error:
            pass  # the launch is gone: those it had are remembered
