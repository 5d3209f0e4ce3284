"""Mutated checkpoints by the thousand: each opens, or is refused in a sentence, within bounds."""
