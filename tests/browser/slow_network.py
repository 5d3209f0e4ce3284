"""A network of the owner's whose forward pass takes as long as a test wants."""

from pathlib import Path
from urllib.parse import urlencode

import torch
from playwright.sync_api import Page, expect

from core.server import Bench, SlotState, bench_to_query
from tests.browser.driver import Server, settled

MODULE = """
import time
from pathlib import Path
from torch import nn

class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        while not Path({gate!r}).exists():
            time.sleep(0.05)
        return self.head(x.mean((2, 3)))
"""


class SlowNetwork:
    """A server that knows it, with the checkpoints a.pth and b.pth for it and others beside."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gate = folder / "gate"
        (folder / "slow_networks.py").write_text(MODULE.format(gate=str(self.gate)))
        self.start()
        for name in ("a", "b", "other", "another"):
            weights = {"head.weight": torch.rand(2, 3), "head.bias": torch.rand(2)}
            torch.save(weights, self.server.root / f"{name}.pth")

    def start(self) -> None:
        """Start the server, also if a test has ended the one before."""
        environ = {"LOUPE_MODELS": "slow_networks:Slow", "PYTHONPATH": str(self.folder)}
        self.server = Server(self.folder / "server", environ)

    def address(self, page: str, a: str, b: str | None = None) -> str:
        """A page of the app with these files on the bench, for the slow network."""
        slots = [SlotState(f"root:0/{name}.pth", None, "own:slow_networks.Slow") for name in (a, b)]
        bench = Bench(*slots) if b else Bench(slots[0])
        return f"{self.server.url}/{page}?{urlencode(bench_to_query(bench))}"

    def load(self, page: Page) -> None:
        """Begin to load the model that the page shows: its first pass is waited for."""
        page.get_by_role("button", name="Load the model").click()
        expect(page.get_by_role("button", name="Cancel")).to_be_visible()
        settled(page)
