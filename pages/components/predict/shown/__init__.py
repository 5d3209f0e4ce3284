"""What a model says of an image, as each kind of answer is shown."""
