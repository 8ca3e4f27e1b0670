"""Makes the repositories that are missing at AWS's registries, which a push does not make."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from dregsy.cloud.aws import ask, asking, client
from dregsy.cloud.ecr import EcrHost
from dregsy.errors import DregsyError, Unauthorized
from dregsy.model.aws import Aws, AwsIdentity, NewRepository

_KEPT = 900.0
"""For so many seconds a client serves; the logins that come of a role are good for four times as long."""
_LOG = logging.getLogger(__name__)


class EcrMaker:
    """Makes repositories; keeps its clients for a while, since it takes some time to get one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._clients: dict[tuple[EcrHost, AwsIdentity], tuple[float, Any]] = {}

    async def ensure(self, ecr: EcrHost, path: str, aws: Aws) -> None:
        """Make the repository called ``path`` at the host, unless there is one; that somebody else makes it is fine.

        Raises CredentialsError without a usable login of AWS, Unauthorized without the right to do this, else
        another RegistryError.
        """
        await ask(ecr.place, partial(self._ensure, ecr, ecr.repository(path), aws))

    def _ensure(self, ecr: EcrHost, name: str, aws: Aws) -> None:
        api = self._client(ecr, aws.identity)
        found = _is_there(api, ecr, name)
        if found:
            return
        try:
            with asking(ecr.place):
                api.create_repository(repositoryName=name, **_settings(ecr, aws.new))
        except Unauthorized as error:
            why = "does not exist" if found is False else "may not be asked for"
            error.message = f"the repository {name} {why} at {ecr.host}, and may not be made: {error.message}"
            error.hint = "allow ecr:DescribeRepositories and ecr:CreateRepository, or make the repository yourself"
            raise
        except DregsyError as error:
            if "RepositoryAlreadyExistsException" in getattr(error, "codes", ()):
                return
            raise
        _LOG.info("made the repository %s at %s", name, ecr.host)
        if aws.new.lifecycle_policy:
            _put_policy(api, ecr, name, aws.new.lifecycle_policy)

    def _client(self, ecr: EcrHost, identity: AwsIdentity) -> Any:
        """Return a client; all who want one wait for the first, whose search for a login may take its time."""
        with self._lock:
            until, api = self._clients.get((ecr, identity), (float("-inf"), None))
            if self._clock() >= until:
                api = client(ecr.place, ecr.service, identity)
                self._clients[ecr, identity] = self._clock() + _KEPT, api
            return api


def _is_there(api: Any, ecr: EcrHost, name: str) -> bool | None:
    """Tell whether a repository exists; None where that may not be asked."""
    try:
        with asking(ecr.place):
            api.describe_repositories(repositoryNames=[name], **ecr.owner)
    except Unauthorized:
        return None
    except DregsyError as error:
        if "RepositoryNotFoundException" in getattr(error, "codes", ()):
            return False
        raise
    return True


def _settings(ecr: EcrHost, new: NewRepository) -> dict[str, Any]:
    """Return what CreateRepository is told; what the user did not say is left to AWS."""
    told: dict[str, Any] = dict(ecr.owner)
    if new.scan_on_push is not None:
        told["imageScanningConfiguration"] = {"scanOnPush": new.scan_on_push}
    if new.tag_mutability:
        told["imageTagMutability"] = new.tag_mutability
    if new.encryption:
        key = {"kmsKey": new.kms_key} if new.kms_key else {}
        told["encryptionConfiguration"] = {"encryptionType": new.encryption, **key}
    if new.tags:
        told["tags"] = [{"Key": name, "Value": value} for name, value in new.tags]
    return told


def _put_policy(api: Any, ecr: EcrHost, name: str, policy: str) -> None:
    """Set a new repository's lifecycle policy; images are welcome there without one, too."""
    try:
        with asking(ecr.place):
            api.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=policy, **ecr.owner)
    except DregsyError as error:
        _LOG.warning("the new repository %s at %s has no lifecycle policy: %s", name, ecr.host, error)
