"""Parts of the Open page: uploads, server folders, the card of a checkpoint."""
