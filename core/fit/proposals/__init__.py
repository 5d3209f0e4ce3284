"""What would help a state_dict into an architecture, each idea tried before it is proposed.

A StateDict and a signature go in; Proposals come out, each a few fixes with what they gain and why;
`best_repair` gives the recipe with which the state_dict fits, where there is one.
"""

from core.fit.proposals.proposal import Proposal
from core.fit.proposals.search import propose
from core.fit.proposals.whole_repairs import before_made_up, best_repair

__all__ = ["Proposal", "before_made_up", "best_repair", "propose"]
