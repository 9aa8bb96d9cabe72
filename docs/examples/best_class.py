"""A decoder for classifiers: the best class as a text, e.g. robot.launch decoder:=best_class:decode."""
from std_msgs.msg import String


def decode(outputs, image, header) -> String:
    """`outputs`: one array [1, classes]; nothing is published for images that show nothing clearly."""
    scores = outputs[0][0]
    best = int(scores.argmax())
    if scores[best] <= scores.mean() + scores.std():
        return None
    height, width = image.shape[:2]
    return String("class {} in the {}x{} image of {:.3f} s".format(best, width, height, header.stamp.to_sec()))
