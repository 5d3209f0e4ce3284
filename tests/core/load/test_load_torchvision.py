"""Every torchvision network, loaded, has the tensors and gives the outputs of the plain way.

The larger ones take too long here: `python benchmarks/load.py --check` goes through all of them.
"""

from pathlib import Path

import pytest

from benchmarks.plain_outputs import difference, smaller
from core.architectures import TORCHVISION, Architecture, catalogue, signature

pytestmark = pytest.mark.slow

MOST_PARAMETERS = 50_000_000

NETWORKS = [smaller(each) for each in catalogue() if each.library == TORCHVISION]


@pytest.mark.parametrize("architecture", NETWORKS, ids=lambda each: each.name)
def test_a_network_of_torchvision_is_what_plain_torch_makes_of_the_file(
    tmp_path: Path, architecture: Architecture
) -> None:
    size = sum(spec.numel for spec in signature(architecture).values())
    if size > MOST_PARAMETERS:
        pytest.skip(f"{size:,} numbers: left to benchmarks/load.py --check")
    assert difference(architecture, tmp_path / "model.pth") == ""
    (tmp_path / "model.pth").unlink()
