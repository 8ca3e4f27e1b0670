"""What the tests of clouds share."""

from collections.abc import Iterator

import pytest

from tests.testbed.aws import AwsApi, Moto


@pytest.fixture
def aws_api(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsApi]:
    """AWS, as its tools find it by the environment."""
    with AwsApi(moto) as api:
        for name, value in api.environ.items():
            monkeypatch.setenv(name, value)
        yield api
