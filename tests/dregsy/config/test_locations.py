"""The rules of sources and targets, beyond what cases/ show."""

from typing import Any

import pytest
from pydantic_core import PydanticCustomError

from dregsy.config import locations


def test_lister_kinds() -> None:
    """There are three ways to list repositories."""
    assert list(locations.LISTER_KINDS) == [locations.read_lister_kind(kind) for kind in locations.LISTER_KINDS]
    for value in (None, "", "ecr"):
        with pytest.raises(PydanticCustomError):
            locations.read_lister_kind(value)


@pytest.mark.parametrize("value", ["x", [], 1])
def test_sections_need_keys(value: Any) -> None:
    """A section that is no mapping is refused by pydantic, in whose hands it stays what it was."""
    with pytest.raises(ValueError, match="valid dictionary"):
        locations.Location.model_validate(value)
