"""What would help a state_dict into an architecture, each idea tried before it is proposed."""

from core.keys.vocabulary import WRAPPERS
from core.proposals.classes import propose_num_classes
from core.proposals.propose import propose
from core.proposals.words import Proposal

__all__ = ["WRAPPERS", "Proposal", "propose", "propose_num_classes"]
