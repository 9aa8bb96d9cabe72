"""The web page: what it is told, by whom, and who may see it."""
