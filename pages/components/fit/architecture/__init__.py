"""The architecture of a slot: what was identified, the reasons, and the choice of another."""
