"""Parts of the Fit page: identifying, matching, repairing step by step, loading, exporting."""
