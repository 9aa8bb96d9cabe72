"""Per operator: its class (local or global) and the interval maps of its inputs."""
