"""What robot and server say to one another: messages, tiles, codecs, links and sessions; no ROS in here."""
