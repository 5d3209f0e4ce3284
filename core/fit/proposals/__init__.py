"""What would help a state_dict into an architecture, each idea tried before it is proposed."""

from core.fit.proposals.proposal import Proposal
from core.fit.proposals.search import propose

__all__ = ["Proposal", "propose"]
