"""Parts of the Inspect page: the keys, a tensor, safety, checksums."""
