"""The panels that pages are made of: a head with a title, a body, and lists of lines."""
