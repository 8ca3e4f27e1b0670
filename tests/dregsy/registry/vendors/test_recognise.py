"""Who made a registry."""

import pytest

from dregsy.registry.challenge import Challenge
from dregsy.registry.vendors.dockerhub import DockerHub
from dregsy.registry.vendors.recognise import recogniser

RECOGNISE = recogniser(DockerHub())


@pytest.mark.parametrize(
    ("host", "maker"),
    [
        ("docker.io", "Docker Hub"),
        ("index.docker.io", "Docker Hub"),
        ("registry-1.docker.io", "Docker Hub"),
        ("registry.hub.docker.com", "Docker Hub"),
        ("gcr.io", "Google"),
        ("eu.gcr.io", "Google"),
        ("europe-west3-docker.pkg.dev", "Google"),
        ("registry.k8s.io", "Google"),
        ("team.azurecr.io", "Azure Container Registry"),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "AWS"),
        ("public.ecr.aws", "AWS, public"),
        ("gcr.io.example.com", ""),
        ("evilgcr.io", ""),
        ("ghcr.io", ""),
        ("localhost:5000", ""),
    ],
)
def test_hosts(host: str, maker: str) -> None:
    """The makers of public registries are told by their names."""
    found = RECOGNISE(host, None)
    assert maker == (found.name if found else "")


@pytest.mark.parametrize(
    ("realm", "service", "maker"),
    [
        ("https://harbor.example.com/service/token", "harbor-registry", "Harbor"),
        ("https://gitlab.example.com/jwt/auth", "container_registry", "GitLab"),
        ("https://quay.example.com/v2/auth", "quay.example.com", "Quay"),
        ("https://harbor.example.com/service/token", "other", ""),
        ("https://[example.com/v2/auth", "x", ""),
        ("https://auth.example.com/token", "registry", ""),
    ],
)
def test_logins(realm: str, service: str, maker: str) -> None:
    """The makers of registries that anybody may run are told by where these send for tokens."""
    found = RECOGNISE("registry.example.com", Challenge("bearer", {"realm": realm, "service": service}))
    assert maker == (found.name if found else "")


def test_no_tokens() -> None:
    """A registry with Basic logins is nothing special."""
    assert RECOGNISE("registry.example.com", Challenge("basic", {"realm": "https://x/v2/auth"})) is None
