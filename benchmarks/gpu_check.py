"""Checks loading, predicting, heat maps, evaluating and a full memory on a GPU, and their pace.

`make gpu-check` runs it with a Python that has torch, torchvision, timm, Pillow, SciPy and PyYAML;
Streamlit is not needed. Heat maps are left out where Captum is missing. Without a GPU,
`DEVICE=cpu` runs what a CPU allows. It takes less than five minutes, and ends with an error if
something is wrong.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from PIL import Image
from torchvision.models import get_model

from benchmarks.evaluate import write_images
from core.architectures import Architecture
from core.checkpoint import open_checkpoint
from core.errors import LoadError
from core.evaluate import evaluate, labelled_images, map_classes
from core.images import image_workers
from core.inputs import default_preprocessing, prepare
from core.load import LoadedModel, load_model
from core.predict import Labels, choose_labels, predict

NAME, IMAGES, ROUNDS = "resnet50", 256, 5
CPUS_NAME, FEW, ONE_ROUND = "resnet18", 16, 1
"""The model, the images and the rounds: on a GPU, and on a CPU, which is a hundred times slower."""

BATCHES = 4

FREE = 1 << 28
"""Bytes that are left free when the memory is filled."""


def main() -> None:
    device = sys.argv[1] if len(sys.argv) > 1 else "cuda:0"
    print(f"torch {torch.__version__} on {device}{_called(device)}")
    torch.manual_seed(0)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        architecture = Architecture("torchvision", NAME if _is_gpu(device) else CPUS_NAME)
        model = get_model(architecture.name).eval()
        torch.save(model.state_dict(), folder / "weights.pth")
        loaded = check_load(folder / "weights.pth", model, architecture, device)
        labels = choose_labels(1_000)
        write_images(folder / "images", IMAGES if _is_gpu(device) else FEW)
        check_predict(loaded, model, folder / "images", device)
        check_heat_map(loaded, folder / "images", folder / "weights.pth")
        check_evaluate(loaded, folder / "images", labels)
        check_full_memory(loaded, folder / "images", labels, device)
    image_workers().close()
    print("All of it is right.")


def _is_gpu(device: str) -> bool:
    return device.startswith("cuda")


def _called(device: str) -> str:
    return f", {torch.cuda.get_device_name(device)}" if _is_gpu(device) else ""


def _wait(device: str) -> None:
    if _is_gpu(device):
        torch.cuda.synchronize(device)


def _best(work: Callable[[], object], device: str) -> float:
    """The best time of some rounds in seconds."""
    taken = []
    for _ in range(ROUNDS if _is_gpu(device) else ONE_ROUND):
        _wait(device)
        started = time.perf_counter()
        work()
        _wait(device)
        taken.append(time.perf_counter() - started)
    return min(taken)


def check_load(
    path: Path, model: torch.nn.Module, architecture: Architecture, device: str
) -> LoadedModel:
    """The tensors on the device are the file's; how fast they come beside a bare copy."""
    state_dict = open_checkpoint(path).state_dict()
    loaded = load_model(state_dict, architecture, device=device)
    for key, tensor in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[key].cpu(), tensor), key
    host = torch.empty(state_dict.nbytes, dtype=torch.uint8, pin_memory=_is_gpu(device))
    there = torch.empty_like(host, device=device)
    bare = _best(lambda: there.copy_(host), device)
    taken = _best(lambda: load_model(state_dict, architecture, device=device), device)
    gigabytes = state_dict.nbytes / 1e9
    print(
        f"load      {gigabytes / taken:6.2f} GB/s from the file, model built; a bare copy of as "
        f"many bytes {gigabytes / bare:6.2f} GB/s"
    )
    return loaded


def check_predict(loaded: LoadedModel, model: torch.nn.Module, folder: Path, device: str) -> None:
    """The probabilities are those of plain torch on the CPU; the pace beside the bare model."""
    preprocessing = default_preprocessing(loaded.architecture)
    images = [
        (path.name, Image.open(path).convert("RGB")) for path in sorted(folder.rglob("*.jpg"))
    ]
    few = images[:8]
    inputs = torch.stack([prepare(image, preprocessing) for _, image in few])
    with torch.inference_mode():
        expected = model(inputs).softmax(1)
    for row, found in zip(expected, predict(loaded, few, preprocessing, 1_000), strict=True):
        probabilities = torch.zeros(1_000)
        probabilities[list(found.indices)] = torch.tensor(found.probabilities)
        torch.testing.assert_close(probabilities, row, rtol=1e-2, atol=1e-4)
    size = len(images) // BATCHES
    batch = inputs.repeat(-(-size // len(inputs)), 1, 1, 1)[:size].to(device)

    def bare() -> None:
        with torch.inference_mode():
            for _ in range(BATCHES):
                loaded.model(batch)

    plain = _best(bare, device)
    whole = _best(lambda: predict(loaded, images, preprocessing, batch=size), device)
    print(
        f"predict   {len(images) / whole:6.0f} images/s, prepared by the CPU; the bare model "
        f"{len(images) / plain:6.0f} images/s"
    )


def check_heat_map(loaded: LoadedModel, folder: Path, weights: Path) -> None:
    """The map is that of the same model on the CPU, and nothing is left on the shared model."""
    if importlib.util.find_spec("captum") is None:
        print("heat map  left out: Captum is not installed")
        return
    from core.explain import explain

    image = Image.open(next(folder.rglob("*.jpg"))).convert("RGB")
    tensor = prepare(image, default_preprocessing(loaded.architecture))
    here = load_model(open_checkpoint(weights).state_dict(), loaded.architecture)
    expected = explain(here, tensor, 5, layer="layer4").values
    started = time.perf_counter()
    found = explain(loaded, tensor, 5, layer="layer4").values
    taken = time.perf_counter() - started
    largest = float(expected.abs().max())
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-2, atol=1e-3 * largest)
    assert not any(module._forward_hooks for module in loaded.model.modules())
    print(f"heat map  {1000 * taken:6.0f} ms for Grad-CAM, equal to the CPU's")


def check_evaluate(loaded: LoadedModel, folder: Path, labels: Labels) -> None:
    """The right answers are as many as predictions of the same images have."""
    preprocessing = default_preprocessing(loaded.architecture)
    with labelled_images(folder) as found:
        meant = map_classes({each.label for each in found.images}, labels)
        started = time.perf_counter()
        evaluation = evaluate(loaded, found.images, meant, preprocessing)
        taken = time.perf_counter() - started
        files = [(each.name, each.read()) for each in found.images]
    predictions = predict(loaded, image_workers().each(files), preprocessing, 1)
    right = sum(
        labels.names[prediction.indices[0]] == Path(prediction.name).parts[-2]
        for prediction in predictions
    )
    assert evaluation.top1.number == right, (evaluation.top1.number, right)
    print(f"evaluate  {len(files) / taken:6.0f} images/s, files decoded")


def check_full_memory(loaded: LoadedModel, folder: Path, labels: Labels, device: str) -> None:
    """Too large a batch is one sentence for a prediction, and a smaller batch for an evaluation;
    afterwards the model works."""
    if not _is_gpu(device):
        print("memory    left out: only a GPU's memory can be filled")
        return
    preprocessing = default_preprocessing(loaded.architecture)
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    filler = torch.empty(max(0, free - FREE), dtype=torch.uint8, device=device)
    paths = sorted(folder.rglob("*.jpg"))
    images = [(path.name, Image.open(path).convert("RGB")) for path in paths]
    try:
        predict(loaded, images, preprocessing, batch=IMAGES)
    except LoadError as error:
        print(f"memory    predict: {error}")
    else:
        raise AssertionError("A batch that is larger than the memory was run.")
    with labelled_images(folder) as found:
        meant = map_classes({each.label for each in found.images}, labels)
        evaluation = evaluate(loaded, found.images, meant, preprocessing, batch=IMAGES)
    assert evaluation.top1.total == IMAGES
    del filler
    torch.cuda.empty_cache()
    assert all(each.classes for each in predict(loaded, images, preprocessing, batch=IMAGES))
    print("memory    evaluate: halved its batch, and answered for every image")


if __name__ == "__main__":
    main()
