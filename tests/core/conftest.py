"""The index that comes with Loupe, ready for questions."""

import pytest

from core.fit.index import Lookup, find_index


@pytest.fixture(scope="package")
def lookup(tmp_path_factory: pytest.TempPathFactory) -> Lookup:
    index = find_index(tmp_path_factory.mktemp("data"))
    if index is None:
        pytest.skip("Loupe comes with the index of other versions of torchvision and timm")
    return Lookup(index)
