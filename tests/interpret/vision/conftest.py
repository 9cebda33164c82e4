"""Networks and photographs that several files need, loaded once; absent packages fail on CI and skip elsewhere."""

import os

import pytest

from theodolite.core.errors import UserError
from theodolite.interpret.vision import images, models


def present(make, *arguments):
    try:
        return make(*arguments)
    except UserError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def squeezenet():
    return present(models.load, "squeezenet")


@pytest.fixture(scope="session")
def efficientnet():
    return present(models.load, "efficientnet_lite0")


@pytest.fixture(scope="session")
def photo():
    """(name, size) -> the middle of a packaged photograph."""
    return lambda name, size: images.square(present(images.read, name), size)
