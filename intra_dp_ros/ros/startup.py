"""What the inference nodes' main functions share: parameters, start-up, the banner."""
import logging
import threading
from typing import Callable, Optional, Tuple

import rospy
import torch

from intra_dp_ros.apps.models import ModelError
from intra_dp_ros.graph.graph import GraphError
from intra_dp_ros.lop.plan import LOSSLESS
from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.link_model import FULL, HALF
from intra_dp_ros.loss.objective import KINDS, LATENCY, Objective
from intra_dp_ros.ros import params
from intra_dp_ros.ros.application import Application
from intra_dp_ros.ros.diagnostics import ERROR, Diagnostics
from intra_dp_ros.ros.inference_node import InferenceNode, NodeParams
from intra_dp_ros.ros.logs import show_logs
from intra_dp_ros.runtime.codec_costs import default_codec
from intra_dp_ros.runtime.config import RobotConfig
from intra_dp_ros.runtime.machine import give_back, keep_freed_memory, switch_threads_fast, use_threads
from intra_dp_ros.wire.codec import available
from intra_dp_ros.wire.session import check_robot_id

_RETRY_S, _LONGEST_RETRY_S = 5.0, 60.0  # between looks whether a model can be loaded now: each pause twice the last


def read_settings(codec: str) -> NodeParams:
    """The parameters every inference node has.

    Args:
        codec: the default of `~input_codec`.

    Raises:
        ValueError: one of them cannot be used.
    """
    params.read("~probe_rate", 1.0, at_least=0.0, at_most=10.0)  # read by dynamic_reconfigure, which says nothing
    if not rospy.has_param("~input_codec"):
        rospy.set_param("~input_codec", codec)  # dynamic_reconfigure would begin with its own default
    return NodeParams(
        ns=params.read("~ns", "/intra_dp"), folder=params.read("~folder", "~/.cache/intra_dp_ros/robot"),
        check_every=params.read("~check_every", 0, at_least=0), always_on=params.read("~always_on", False),
        robot=RobotConfig(
            robot_id=check_robot_id(params.read("~robot_id", "robot")), strategy=params.read("~strategy", "auto"),
            device=params.read("~device", "cpu"), duplex=params.read("~duplex", HALF, choices=(HALF, FULL)),
            slowdown=params.read("~robot_slowdown", 1.0, at_least=1.0), adaptive=params.read("~adaptive", True),
            input_codec=params.read("~input_codec", codec, choices=(*available(), LOSSLESS)),
            power=PowerModel(**{name: params.read("~power/" + name, getattr(PowerModel(), name), at_least=0.0)
                                for name in ("compute", "transmit", "standby")}),
            objective=Objective(params.read("~objective", LATENCY, choices=KINDS),
                                params.read("~energy_weight", 0.0, at_least=0.0, at_most=100.0),
                                params.read("~deadline", 1.0, at_least=0.001, at_most=60.0))))


def read_size() -> Tuple[int, ...]:
    """Height and width asked for of the model's input, empty for its default.

    Raises:
        ParameterError: only one of them is set.
    """
    size = (params.read("~height", 0, at_least=0), params.read("~width", 0, at_least=0))
    if any(size) and not all(size):
        raise params.ParameterError("parameters ~height and ~width are {} and {}: set both, or neither".format(*size))
    return size if all(size) else ()


def run(name: str, make: Callable[[], Application], waits: bool = False, codec: str = "") -> None:
    """A node from its beginning to its end.

    Args:
        name: of the node.
        make: the application, from parameters.
        waits: stay alive and try again when the model cannot be loaded; else end.
        codec: the default of `~input_codec`; empty: `default_codec`.
    """
    logging.getLogger("intra_dp_ros").setLevel(logging.INFO)
    keep_freed_memory()  # before there are threads, which would have heaps of their own
    rospy.init_node(name)
    show_logs()
    try:
        use_threads(params.read("~threads", 0, at_least=0))
        switch_threads_fast()
        settings = read_settings(codec or default_codec())
        application = _patiently(make, settings.robot.robot_id) if waits else make()
        if application is None:
            return
        node = InferenceNode(application, settings)
        give_back()  # recording and measuring hold the whole model's tensors at once
        node.setup()
    except (ModelError, GraphError, ValueError, OSError) as error:
        rospy.logfatal("%s: %s", name, error)
        raise SystemExit(1)
    rospy.on_shutdown(node.close)
    model, robot = application.model, node.robot
    rospy.loginfo("robot %s ready: model %s (%s weights: %s), device %s, torch %s, input on %s, %s, "
                  "local inference %.0f ms%s", settings.robot.robot_id, model.name, model.weights, model.weights_note,
                  robot.engine.device, torch.__version__, application.waits_for()[0], application.banner(),
                  robot.status()["local_ms"], "" if settings.robot.slowdown == 1.0 else
                  " (emulated: {:g} times slower)".format(settings.robot.slowdown))
    rospy.spin()


def _patiently(make: Callable[[], Application], robot_id: str) -> Optional[Application]:
    """The application as soon as its model can be loaded; None when the node was shut down before."""
    problem, waiting, pause = "", None, _RETRY_S
    done = threading.Event()
    rospy.on_shutdown(done.set)
    while not done.is_set():
        try:
            application = make()
        except ModelError as error:
            if str(error) != problem:
                problem = str(error)
                rospy.logerr("no model yet, it will be looked for again: %s", problem)
            if waiting is None:
                waiting = Diagnostics("intra_dp robot", robot_id, lambda: (ERROR, problem, {}))
            done.wait(pause)
            pause = min(2.0 * pause, _LONGEST_RETRY_S)
            continue
        if waiting is not None:
            waiting.close()
        return application
    return None
