"""The kinds of fixes, each with those that are close to it."""
