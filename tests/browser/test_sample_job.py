"""A newcomer with zero files of their own gets from one click to correct predictions."""

import torch
from PIL import Image
from playwright.sync_api import Page, expect
from torchvision.models import shufflenet_v2_x0_5
from torchvision.transforms.v2 import functional as F  # noqa: N812

from core.server import SAMPLES, sample_images
from core.wording import share_text
from tests.browser.driver import Server
from tests.browser.sample_job import whole_job


def plain_torch_probabilities(name: str) -> dict[str, torch.Tensor]:
    """What PyTorch alone makes of the sample's pictures, by the file's own preprocessing."""
    saved = torch.load(SAMPLES[name].path)
    model = shufflenet_v2_x0_5(num_classes=10).eval()
    model.load_state_dict(
        {key.removeprefix("module."): tensor for key, tensor in saved["state_dict"].items()}
    )
    found = {}
    for path in sample_images():
        image = F.resize(Image.open(path).convert("RGB"), [64], antialias=True)
        inputs = F.normalize(F.to_dtype(F.to_image(image), scale=True), [0.5] * 3, [0.5] * 3)
        with torch.inference_mode():
            found[path.name] = model(inputs[None]).softmax(1)[0]
    return found


def test_the_samples_job_ends_in_the_classes_that_plain_torch_gives(
    server: Server, page: Page
) -> None:
    seen: list[str] = []
    whole_job(page, server.url, seen.append)
    assert seen == ["welcome", "open", "inspect", "compare", "fit-start", "fit", "predict"]
    name = page.locator(".chosen figcaption code").inner_text()
    for slot, epoch in (("A", "early"), ("B", "final")):
        top = plain_torch_probabilities(epoch)[name].max().item()
        first = page.get_by_role("region", name=slot, exact=True).get_by_role("listitem").first
        expect(first).to_contain_text(share_text(top))
