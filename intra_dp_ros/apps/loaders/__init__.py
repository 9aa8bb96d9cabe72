"""How models of each kind are loaded; `intra_dp_ros.apps.models.load_model` is the way in."""
