"""What LOSS is compared with: each file one published way to place a network, all through the same plans."""
