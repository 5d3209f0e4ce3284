"""How the keys of a file match those of a model: the bar, the counts, the table."""
