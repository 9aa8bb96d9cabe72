"""Per operator: is it local along the split axis, and which input rows do its output rows need."""
