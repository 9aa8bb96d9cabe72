"""The scheduler (LOSS): measured times, predicted timelines, search and plans by bandwidth."""
