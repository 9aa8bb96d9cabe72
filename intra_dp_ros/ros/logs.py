"""What the package's own loggers say reaches the terminal and /rosout, as what nodes say through rospy does."""
import logging


def show_logs() -> None:
    """To be called after `rospy.init_node`, and as often as one likes.

    rospy gives the terminal and /rosout to the logger `rosout` alone; others have only its log file, through the root.
    Handlers that the root has too are left out: each line comes once.
    """
    ours, root = logging.getLogger("intra_dp_ros"), logging.getLogger()
    for handler in logging.getLogger("rosout").handlers:
        if handler not in root.handlers:
            ours.addHandler(handler)  # does nothing where it is there
