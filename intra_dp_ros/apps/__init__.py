"""Applications: named models, people tracking, semantic scene completion."""
