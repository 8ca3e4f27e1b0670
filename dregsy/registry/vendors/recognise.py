"""Who made a registry: told by its host name, or by where it sends for tokens; no request is made to find out."""

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from dregsy.cloud.ecr import EcrHost
from dregsy.model import pattern
from dregsy.registry.challenge import Challenge
from dregsy.registry.vendors import acr, ecr, gitlab, google, harbor, quay
from dregsy.registry.vendors.api import Vendor
from dregsy.registry.vendors.dockerhub import DockerHub

Recognise = Callable[[str, Challenge | None], Vendor | None]
"""Tells the maker from a host and the login that it asks for; None for a registry that is nothing special."""

HARBOR = Vendor("Harbor", harbor.tags, harbor.repositories)
QUAY = Vendor("Quay", quay.tags, quay.repositories)
GITLAB = Vendor("GitLab", gitlab.tags, gitlab.repositories)
GOOGLE = Vendor("Google", google.tags, google.repositories)
ACR = Vendor("Azure Container Registry", acr.tags)
ECR = Vendor("AWS", ecr.tags, ecr.repositories)
PUBLIC_ECR = Vendor("AWS, public", repositories=ecr.repositories)  # tags: those of the login's own account only

_GOOGLE = pattern.compile_whole(r"(?:[a-z0-9-]+\.)?gcr\.io|[a-z0-9-]+-docker\.pkg\.dev|registry\.k8s\.io")
_ACR = pattern.compile_whole(r"[a-z0-9-]+\.azurecr\.(?:io|cn|us)")


def recogniser(hub: DockerHub) -> Recognise:
    """Return what tells makers, with the Docker Hub that is to be asked."""
    docker_hub = Vendor("Docker Hub", hub.tags, hub.repositories)

    def recognise(host: str, challenge: Challenge | None) -> Vendor | None:
        if host in hub.hosts:
            return docker_hub
        if _GOOGLE(host):
            return GOOGLE
        if _ACR(host):
            return ACR
        if (aws := EcrHost.parse(host)) is not None:
            return ECR if aws.account else PUBLIC_ECR
        return _by_login(challenge.parameters) if challenge and challenge.scheme == "bearer" else None

    return recognise


def _by_login(parameters: Mapping[str, str]) -> Vendor | None:
    """Tell makers by the token server and the service that their registries name."""
    try:
        path = urlsplit(parameters.get("realm", "")).path
    except ValueError:
        return None
    match path, parameters.get("service"):
        case "/service/token", "harbor-registry":
            return HARBOR
        case "/jwt/auth", "container_registry":
            return GITLAB
        case "/v2/auth", _:
            return QUAY
    return None
