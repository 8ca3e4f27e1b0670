"""Opens uploads in as few requests as a registry allows.

To mount a blob into the repository that it is in already is to ask for it and to open an upload, in one
request. The spec does not say what such a mount does, so each registry has to prove first that it
finds what is there; others are asked by HEAD.
"""

from dregsy.errors import RegistryError
from dregsy.model.digest import Digest
from dregsy.registry.client import Registry


class Openings:
    """Knows which registries find blobs by a mount; one object for a whole run, and for all registries."""

    def __init__(self) -> None:
        self._sent: dict[tuple[str, str], Digest] = {}
        self._asked: set[str] = set()
        self._finding: set[str] = set()

    async def open(self, target: Registry, repository: str, digest: Digest) -> str | None:
        """Return None when ``repository`` has the blob already, else where to send its bytes."""
        if target.endpoint.api_host in self._finding:
            try:
                return await target.mount_blob(repository, digest, repository)
            except RegistryError as error:
                if error.retryable:
                    raise
                self.distrust(target)
        if await target.stores_blob(repository, digest):
            return None
        return await self._proof(target, repository) or await target.begin_upload(repository)

    def sent(self, target: Registry, repository: str, digest: Digest) -> None:
        """Take note of a blob that is in ``repository`` for certain: the proof is to find it."""
        host = target.endpoint.api_host
        if host not in self._asked:
            self._sent[host, repository] = digest

    def distrust(self, target: Registry) -> None:
        """Never again find blobs by a mount: the registry said that it had one, and has not."""
        self._asked.add(target.endpoint.api_host)
        self._finding.discard(target.endpoint.api_host)

    async def _proof(self, target: Registry, repository: str) -> str | None:
        """See, once for each registry, whether it finds what was sent; the upload that it opens if not is of use."""
        host = target.endpoint.api_host
        there = self._sent.get((host, repository))
        if there is None or host in self._asked:
            return None
        self._asked.add(host)
        try:
            location = await target.mount_blob(repository, there, repository)
        except RegistryError as error:
            if error.retryable:
                raise
            return None
        if location is None:
            self._finding.add(host)
        return location
