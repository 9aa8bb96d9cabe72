"""Settings of all unit tests."""
from hypothesis import HealthCheck, settings

# Generating examples may take long on a loaded machine; that says nothing about what is tested.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
