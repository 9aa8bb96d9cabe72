"""A torchvision detector whose every step has a result of fixed shape, and the last step that gives its own result.

torchvision sorts out boxes by indexing with what a comparison found, so that shapes depend on the image, and a
recording has to end there: feature maps would travel.  Here the same boxes are chosen by operators with results of
fixed shape (`intra_dp_ros.graph.detection_ops`); places that are left over have score -1 and are cut off at the very
end, in the application.  Boxes, labels, scores, keypoints and masks are torchvision's own.
"""
from types import MethodType
from typing import Any, Dict, List

import torch

from intra_dp_ros.apps.detection import one_stage, two_stage
from intra_dp_ros.apps.detection.two_stage import RAW_MASKS, SIZE
from intra_dp_ros.graph.two_parts import TwoParts


def make_fixed_size(model: torch.nn.Module) -> bool:
    """Replace the steps of this one detector whose results have no fixed shape; it then gives padded results.

    Args:
        model: torchvision's Faster, Mask or Keypoint R-CNN, RetinaNet, FCOS or SSD, in eval mode.

    Returns:
        False, and nothing is changed, if it is none of these, or has parts of the user's own where they differ.
    """
    from torchvision.models.detection.fcos import FCOS
    from torchvision.models.detection.retinanet import RetinaNet
    from torchvision.models.detection.ssd import SSD

    for kind, step in ((RetinaNet, one_stage.retinanet), (FCOS, one_stage.fcos), (SSD, one_stage.ssd)):
        if isinstance(model, kind):
            model.postprocess_detections = MethodType(step, model)
            return True
    return two_stage.replace_steps(model)


class Trimmed(TwoParts):
    """A detector that `make_fixed_size` changed, with torchvision's own result: places left over are cut off.

    Args:
        model: called with images it gives a list of padded results.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def begun(self, *images: torch.Tensor) -> List[Dict[str, Any]]:
        """The padded results."""
        return self.model(*images)

    def finished(self, result: List[Dict[str, Any]]) -> List[Dict[str, torch.Tensor]]:
        """torchvision's results."""
        return [_trimmed(found) for found in result]


def _trimmed(found: Dict[str, Any]) -> Dict[str, torch.Tensor]:
    size, count = found.get(SIZE), int((found["scores"] >= 0).sum())
    found = {name: values[:count] for name, values in found.items() if name != SIZE}
    if RAW_MASKS in found:
        from torchvision.models.detection.roi_heads import paste_masks_in_image
        found["masks"] = paste_masks_in_image(found.pop(RAW_MASKS), found["boxes"], size)
    return found
