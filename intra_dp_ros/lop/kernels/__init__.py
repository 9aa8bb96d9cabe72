"""Computing rows ``[start, stop)`` of one operator from just the input rows they need."""
