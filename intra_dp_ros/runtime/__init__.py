"""Robot and server at run time, without ROS."""
