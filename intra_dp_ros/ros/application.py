"""What an application is to the node that runs its model: where input comes from, and what becomes of the output."""
from dataclasses import dataclass
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

import torch
from std_msgs.msg import Header

from intra_dp_ros.apps.models import LoadedModel
from intra_dp_ros.ros.complaints import Complaints
from intra_dp_ros.wire.source import Source


@dataclass(frozen=True)
class Job:
    """One accepted input, ready for the model."""

    header: Header  # of the sensor message: its stamp and frame_id are kept
    inputs: Tuple[torch.Tensor, ...]  # of the model
    context: Any = None  # whatever `publish` and `paint` need of it
    source: Optional[Source] = None  # what `inputs[0]` was made of, for the codec `source`


def remapping(argument: str, name: str, topic: str, own: str = "") -> str:
    """How a topic is given to a node: launch files have arguments of their own, and ignore others without a word.

    Args:
        argument: of the package's launch files.
        name: as the node names it.
        topic: of the user; `own` where `name` is to be another one.
    """
    return "{}:={} in the launch file's arguments, {}:={} with rosrun".format(argument, topic, name, own or topic)


class Application:
    """One application; the node calls it.

    Threading: `accept` may be called from any thread and keeps the newest input only; `prepare` and `publish` run on
    the frame thread, `paint` on a thread of its own that skips what it has no time for; the rest on any thread.
    """

    model: LoadedModel

    def setup(self, accept: Callable[[Any], None], complaints: Complaints) -> None:
        """Make subscribers and publishers; from now on give `accept` what comes, and say what is wrong with it."""
        raise NotImplementedError

    def wanted(self) -> bool:
        """Whether somebody listens to any result."""
        raise NotImplementedError

    def prepare(self, item: Any) -> Job:
        """What was accepted, made ready for the model.

        Raises:
            InputError: it cannot be used.
        """
        raise NotImplementedError

    def publish(self, job: Job, outputs: Sequence[torch.Tensor], frame: int) -> Any:
        """Decode the model's outputs, publish the result; what `paint` is to be given besides the job."""
        raise NotImplementedError

    def paint(self, job: Job, result: Any) -> None:
        """Pictures and whatever else may be late or left out."""

    def waits_for(self) -> Tuple[str, str, int]:
        """Topic of the input, the remapping that changes it, how many publish on it now."""
        raise NotImplementedError

    def banner(self) -> str:
        """Where results come out, for the line at start."""
        raise NotImplementedError

    def values(self) -> Dict[str, Any]:
        """More for /diagnostics and ~get_status."""
        return {}

    def close(self) -> None:
        """The node is about to stop."""
