"""Parts of the panel Why: the job that computes a map, and the panel that draws it."""
