"""ROS: parameters, conversions, topics and one file per node."""
