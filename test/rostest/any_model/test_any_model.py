#!/usr/bin/env python3
"""Any model by name: raw outputs, classes and what a decoder makes of them, the same as the unsplit model's."""
import os
import sys
import unittest

import numpy as np
import rospy
import rostest
import torch
from std_msgs.msg import String

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "robot"))
from harness import FRAME_ID, READY_S, Harness, synthetic_image  # noqa: E402

from intra_dp_ros.apps.models import load_model  # noqa: E402
from intra_dp_ros.apps.pipeline import ImageModel  # noqa: E402
from intra_dp_ros.msg import ClassScores, InferenceStats, Outputs  # noqa: E402


class TestAnyModel(unittest.TestCase):

    def test_outputs_classes_and_decoded(self):
        harness, found = Harness(listens=False), {"stats": []}
        subscribers = [rospy.Subscriber("/stats", InferenceStats, found["stats"].append, queue_size=100)]
        for topic, cls in (("outputs", Outputs), ("classes", ClassScores), ("decoded", String)):
            found[topic] = []
            subscribers.append(rospy.Subscriber("/" + topic, cls, found[topic].append, queue_size=100))
        harness.wait_for_robot()
        harness.until(lambda: all(s.get_num_connections() for s in subscribers), "listening to the robot", READY_S)
        model = load_model("torchvision:mobilenet_v3_small")
        images = ImageModel(model)
        for number in range(4):
            stamp = harness.show(number)
            harness.until(lambda: all(len(messages) > number for messages in found.values()),
                          "the answers to image {}".format(number))
            outputs, classes = found["outputs"][number], found["classes"][number]
            for message in (outputs, classes):
                self.assertEqual((message.header.stamp.to_sec(), message.header.frame_id), (stamp, FRAME_ID))
                self.assertEqual((message.model, message.weights), (model.name, "random"))
            with torch.inference_mode():
                expected = model.module(*images.prepare(synthetic_image(number))[0]).numpy()
            tensor, = outputs.tensors
            given = np.frombuffer(tensor.data, tensor.dtype).reshape(tensor.shape)
            self.assertLessEqual(np.abs(given - expected).max(), 1e-4 * np.abs(expected).max())
            self.assertEqual(classes.ids, tuple(np.argsort(-expected[0])[:5]))
            self.assertEqual(len(classes.scores), 5)
            self.assertEqual(classes.labels, [model.labels[k] for k in classes.ids] if model.labels else [])
            self.assertIn("class {} in the".format(classes.ids[0]), found["decoded"][number].data)
        self.assertIn(InferenceStats.OUTCOME_SPLIT, {stats.outcome for stats in found["stats"]})


if __name__ == "__main__":
    rospy.init_node("harness")
    rostest.rosrun("intra_dp_ros", "any_model", TestAnyModel)
