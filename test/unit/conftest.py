"""Settings of all unit tests."""
from hypothesis import HealthCheck, settings

# Generating examples may take long on a loaded machine; that says nothing about what is tested.  No examples are kept
# between runs: those of an older version of a test fail its health checks, not its assertions.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
settings.load_profile("unhurried")
