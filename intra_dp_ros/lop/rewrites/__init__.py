"""Per operator: equal calls that can be cut better; `intra_dp_ros.lop.rewrite` is the way in."""
