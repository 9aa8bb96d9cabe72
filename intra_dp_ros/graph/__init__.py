"""The recorded model: the inference operator sequence, its allow-list of operators, its recorder and its store."""
