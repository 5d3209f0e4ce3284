"""Fixes that would make a state_dict fit an architecture, each tried before it is proposed.

`propose` takes a StateDict and a signature, and returns Proposals: a few fixes each, what they gain
and why. `best_repair` returns the recipe that brings the state_dict nearest to the signature.
"""

from core.fit.proposals.proposal import Proposal, title_of
from core.fit.proposals.search import propose
from core.fit.proposals.whole_repairs import BestRepair, before_made_up, best_repair

__all__ = ["BestRepair", "Proposal", "before_made_up", "best_repair", "propose", "title_of"]
