"""What some registries want done before an image comes, and what their refusals mean: for every relay alike.

AWS's make no repository by a push, and may have tags that nobody can overwrite (Amazon ECR User Guide).
"""

import asyncio
from weakref import WeakValueDictionary

from dregsy.cloud.ecr import EcrHost
from dregsy.cloud.ecrmaker import EcrMaker
from dregsy.errors import DregsyError, ImageError, NotFound
from dregsy.model.aws import AwsIdentity
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Anonymous, EcrToken, Endpoint
from dregsy.model.ref import Ref
from dregsy.model.report import Moved
from dregsy.registry.pool import Registries

_NO_REPOSITORY = ("name unknown", "name_unknown", "does not exist in the registry with id")
_IMMUTABLE = ("tag is immutable", "imagetagalreadyexists")

_Place = tuple[Endpoint, str]


class Repositories:
    """Readies repositories for images to come; what it found out holds for the run of a task, which ``finish`` ends."""

    def __init__(self, registries: Registries, maker: EcrMaker | None = None) -> None:
        self._registries = registries
        self._maker = maker or EcrMaker()
        self._there: set[_Place] = set()
        self._refused: dict[_Place, DregsyError] = {}
        self._locks: WeakValueDictionary[_Place, asyncio.Lock] = WeakValueDictionary()

    def finish(self) -> None:
        """Forget everything: repositories may be deleted until the next run."""
        self._there.clear()
        self._refused.clear()

    async def ready(self, endpoint: Endpoint, target: Ref) -> None:
        """Make the repository of ``target`` where there is none and the task asks AWS for logins.

        What stands against it is told by ``settled``, if the push then shows that it is missing indeed.
        """
        host = EcrHost.parse(endpoint.host)
        if host is not None and endpoint.aws.new.create and _asks_aws(endpoint):
            await self._ensure(host, endpoint, target.repository)

    async def settled(
        self, endpoint: Endpoint, target: Ref, digest: Digest | None, error: DregsyError
    ) -> Moved | DregsyError | None:
        """Say what an error in copying ``digest`` to ``target`` comes to; None where another attempt is worth it."""
        said = f"{error.message} {' '.join(getattr(error, 'codes', ()))}".lower()
        if any(words in said for words in _IMMUTABLE):
            return await self._immutable(endpoint, target, digest, error)
        host = EcrHost.parse(endpoint.host)
        if host is not None and isinstance(error, NotFound) and any(words in said for words in _NO_REPOSITORY):
            return await self._missing(host, endpoint, target, error)
        return error

    async def _ensure(self, host: EcrHost, endpoint: Endpoint, repository: str) -> DregsyError | None:
        """Make a repository, unless that was done or definitely refused in this run; return what is against it."""
        place = (endpoint, repository)
        lock = self._locks.setdefault(place, asyncio.Lock())
        async with lock:
            refused = self._refused.get(place)
            if place in self._there or (refused is not None and not getattr(refused, "retryable", False)):
                return refused
            try:
                await self._maker.ensure(host, repository, endpoint.aws)
            except DregsyError as error:
                self._refused[place] = error
                return error
            self._refused.pop(place, None)
            self._there.add(place)
            return None

    async def _missing(self, host: EcrHost, endpoint: Endpoint, target: Ref, error: DregsyError) -> DregsyError | None:
        """Make a repository that a push did not find, or say why it is not there."""
        if not endpoint.aws.new.create or isinstance(endpoint.credentials, Anonymous):
            error.hint = f"make the repository {target.repository} at AWS: the task does not allow it"
            return error
        if (endpoint, target.repository) in self._there and _asks_aws(endpoint):
            return error
        refused = await self._ensure(host, endpoint, target.repository)
        if refused is None:
            return None
        return NotFound(
            f"{target.name} does not exist, and could not be made: {refused.message}",
            status=404,
            retryable=bool(getattr(refused, "retryable", False)),
            hint=f"make it at AWS, or: {refused.hint}" if refused.hint else "make it at AWS",
        )

    async def _immutable(
        self, endpoint: Endpoint, target: Ref, digest: Digest | None, error: DregsyError
    ) -> Moved | DregsyError:
        """A tag that cannot be written is as good as written where it has the very image."""
        if target.tag is None or digest is None:
            return error
        try:
            found = await self._registries.at(endpoint).head_manifest(target.repository, target.tag)
        except DregsyError:
            return error
        if found is not None and found.digest == digest:
            return Moved(digest)
        return ImageError(
            f"{target} exists with another image, and its tag is immutable",
            hint="copy to another tag, delete this one, or set 'skip-existing' for tags that never change",
        )


def _asks_aws(endpoint: Endpoint) -> bool:
    """Whether a task says by itself that AWS is to be asked."""
    return isinstance(endpoint.credentials, EcrToken) or endpoint.aws.identity != AwsIdentity()
