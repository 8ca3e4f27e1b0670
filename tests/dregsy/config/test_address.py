"""What ``registry:`` takes, and which registries are AWS's or Docker Hub."""

import pytest
from pydantic_core import PydanticCustomError

from dregsy.config.address import Address, read_address
from dregsy.config.source import Scalar


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("registry.example.com", Address("registry.example.com")),
        ("localhost:5000", Address("localhost:5000")),
        ("registry", Address("registry")),
        ("[::1]:5000", Address("[::1]:5000")),
        ("registry.example.com/team/a", Address("registry.example.com", "team/a")),
        ("registry.example.com/", Address("registry.example.com")),
        (" docker.io\n", Address("docker.io")),
        ("123456789012:us-east-1@public.ecr.aws", Address("public.ecr.aws")),
        ("123456789012:us-east-1@public.ecr.aws/alias", Address("public.ecr.aws", "alias")),
    ],
)
def test_address(text: str, expected: Address) -> None:
    """A host with or without port, and the path below which everything lives."""
    assert expected == read_address(Scalar.of(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "registry not set"),
        ("/", "registry is no legal host"),
        ("https://registry.example.com", "registry has a scheme"),
        ("docker://registry.example.com", "registry has a scheme"),
        ("hunter2:hunter2@registry.example.com", "registry holds a login"),
        ("hunter2@public.ecr.aws", "registry holds a login"),
        ("hunter2:x@evil.example.com/public.ecr.aws", "registry holds a login"),
        ("hunter2 host", "registry is no legal host"),
        ("registry.example.com:port", "registry is no legal host"),
        ("registry.example.com/Hunter2", "registry is no legal host"),
        ("-registry", "registry is no legal host"),
    ],
)
def test_no_address(text: str, message: str) -> None:
    """Whatever else is written is refused with its own sentence, and not quoted."""
    with pytest.raises(PydanticCustomError) as caught:
        read_address(Scalar.of(text))
    assert message == caught.value.message()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
        "123456789012.dkr.ecr.us-gov-west-1.amazonaws.com",
        "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
        "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com",
        "123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov",
        "123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov",
        "123456789012.dkr-ecr.us-east-1.on.aws",
        "123456789012.dkr-ecr-fips.us-east-1.on.aws",
        "123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn",
        "public.ecr.aws",
        "ecr-public.aws.com",
    ],
)
def test_ecr(host: str) -> None:
    """All partitions of AWS are recognised, and its public registry."""
    assert Address(host).is_ecr


@pytest.mark.parametrize(
    "host",
    [
        "registry.hub.docker.com",
        "dkr.ecr.eu-central-1.amazonaws.com",
        "123456789012.dkr.ecr.eu-central-1.amazonaws.com.example.com",
        "123456789012.dkr.ecr.eu-central-1.amazonaws.com:443",
        "evilpublic.ecr.aws",
        "s3.eu-central-1.amazonaws.com",
    ],
)
def test_no_ecr(host: str) -> None:
    """Hosts that only look like AWS's get none of its tokens."""
    assert not Address(host).is_ecr


def test_docker_hub() -> None:
    """Docker Hub has several names."""
    assert [Address(host).is_docker_hub for host in ("docker.io", "registry.hub.docker.com", "x.io")] == [
        True,
        True,
        False,
    ]
