"""What does not match: how many keys, why, and which proposals would help."""

import torch
from torchvision.models import resnet18

from core.architectures import Architecture, signature
from core.fit import fit_of
from core.fit.proposals import propose
from core.fit.review import problems_of
from core.fixes import Drop, Recipe
from core.recipe import try_recipe

RESNET = Architecture("torchvision", "resnet18")


def test_each_state_is_a_problem_with_its_reason_and_what_helps(saved) -> None:
    body = resnet18(num_classes=10).state_dict()
    del body["layer4.1.bn2.weight"]
    body["projector.weight"] = torch.zeros(3, 3)
    state_dict, wanted = saved(body), signature(RESNET)
    fit = fit_of(state_dict, state_dict, wanted)
    shapes, missing, unexpected = problems_of(fit, propose(state_dict, wanted))
    assert shapes.state == "mismatched"
    assert shapes.keys == ("fc.weight", "fc.bias")
    assert shapes.sentence.startswith(
        "2 keys have another shape in the model: `fc.weight` (10 × 512 in the file, 1000 × 512 in "
    )
    assert missing.sentence == ("1 key of the model is not in the file: `layer4.1.bn2.weight`.")
    assert unexpected.sentence == (
        "1 key of the file has no place in the model: `projector.weight`."
    )
    assert "Drop `projector.*`" in [remedy.title for remedy in unexpected.remedies]
    assert "Drop `projector.*`" not in [remedy.title for remedy in shapes.remedies]
    assert all(remedy.left.mismatched < 2 for remedy in shapes.remedies)


def test_a_file_that_fits_has_no_problem(saved) -> None:
    state_dict = saved(resnet18().state_dict())
    assert problems_of(fit_of(state_dict, state_dict, signature(RESNET))) == ()


def test_a_doubt_is_a_problem_of_its_own(saved) -> None:
    """The file is a deeper network, and the recipe leaves a trained layer of it out."""
    body = resnet18().state_dict()
    body |= {key.replace("layer3.1", "layer3.2"): value for key, value in body.items()}
    state_dict, wanted = saved(body), signature(RESNET)
    repaired = try_recipe(Recipe.of([Drop("layer3.2.*")]), state_dict, wanted).state_dict
    fit = fit_of(state_dict, repaired, wanted)
    assert fit.match.fits
    (problem,) = problems_of(fit)
    assert problem.state == "doubt"
    assert "trained tensors of the network itself are left out" in problem.sentence
    assert set(problem.keys) <= set(state_dict)
