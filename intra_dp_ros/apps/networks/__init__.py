"""Networks written here, of the sizes of the published ones; their weights are the user's, or random."""
