"""Whether targets have what they should have: believed where it was seen not long ago, else looked up.

Beliefs are put to the test in every run: a part of them is looked up all the same, those unseen for
longest, and one before any of a registry's is believed. One that proves wrong discredits all of the registry's.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from dregsy.errors import DregsyError
from dregsy.journal import Journal
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.ref import Ref
from dregsy.model.report import Failure, Reason
from dregsy.registry.inventory import Inventories
from dregsy.registry.pool import Registries

TESTED = 1 / 40
"""Which part of what is believed is looked up in each run."""

Same = Callable[[Digest], Awaitable[bool]]
_Place = tuple[str, str]


@dataclass(slots=True)
class _Beliefs:
    """What is believed of a repository: of tags that were ``expected``, once one of them was asked for.

    Tags that are ``due`` are looked up all the same.
    """

    expected: set[str] = field(default_factory=set)
    digests: dict[str, Digest] = field(default_factory=dict)
    due: set[str] = field(default_factory=set)
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class Targets:
    """Compares targets with digests."""

    def __init__(self, registries: Registries, inventories: Inventories, journal: Journal) -> None:
        self._registries = registries
        self._inventories = inventories
        self._journal = journal
        self._beliefs: defaultdict[_Place, _Beliefs] = defaultdict(_Beliefs)
        self._share: defaultdict[str, float] = defaultdict(lambda: 1.0)
        self._first: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tested: set[str] = set()
        self._doubted: set[str] = set()

    def start(self) -> None:
        """Begin a run: beliefs are to be tested anew."""
        self._beliefs.clear()
        self._share.clear()
        self._first.clear()
        self._tested.clear()
        self._doubted.clear()

    def expect(self, endpoint: Endpoint, repository: str, references: Iterable[str]) -> None:
        """Say which tags or digests of a repository are going to be compared; of others nothing is believed."""
        if self._journal.believes_tags:
            self._beliefs[endpoint.api_host, repository].expected.update(references)

    async def compare(
        self, endpoint: Endpoint, target: Ref, digest: Digest, same: Same | None = None
    ) -> Reason | Failure:
        """Tell whether ``target`` has the image ``digest``, or why it cannot be told.

        ``same`` tells of another digest whether it stands for the same image all the same.
        """
        for known in (self._inventories.digest, self._believed):
            if await known(endpoint, target) == digest:
                self._inventories.saved(1)
                return Reason.CURRENT
        try:
            found = await self._look(endpoint, target.repository, target.reference, digest)
            if found is None:
                return Reason.MISSING
            return Reason.CURRENT if found == digest or (same and await same(found)) else Reason.CHANGED
        except DregsyError as error:
            return Failure.of(error)

    async def _believed(self, endpoint: Endpoint, target: Ref) -> Digest | None:
        host = endpoint.api_host
        beliefs = self._beliefs.get((host, target.repository))
        if beliefs is None:
            return None
        async with beliefs.asking:
            if beliefs.expected:
                await self._recall(endpoint, target.repository, beliefs)
        if host in self._doubted or target.reference in beliefs.due:
            return None
        return beliefs.digests.get(target.reference)

    async def _recall(self, endpoint: Endpoint, repository: str, beliefs: _Beliefs) -> None:
        """Read what is known of tags that are expected, and test it.

        Over all repositories of a registry the same share is due. One that is due is looked up at once.
        """
        host = endpoint.api_host
        expected, beliefs.expected = beliefs.expected, set()
        known = {
            reference: digest
            for reference, digest in (await self._journal.tags(host, repository)).items()
            if reference in expected
        }
        beliefs.digests |= known
        async with self._first[host]:  # nothing of a registry is believed before its first test is done
            share = self._share[host] + len(known) * TESTED
            due = list(known)[: int(share)]
            self._share[host] = share - len(due)
            beliefs.due.update(due)
            if due and host not in self._tested:
                await self._test(endpoint, repository, due[0], beliefs)
                self._tested.add(host)
                return
        if due:
            await self._test(endpoint, repository, due[0], beliefs)

    async def _test(self, endpoint: Endpoint, repository: str, reference: str, beliefs: _Beliefs) -> None:
        """Look up what is believed; one that cannot be looked up leaves all in doubt, so that each tells why."""
        believed = beliefs.digests[reference]
        self._inventories.saved(-1)
        try:
            if await self._look(endpoint, repository, reference, believed) == believed:
                beliefs.due.discard(reference)
        except DregsyError:
            self._doubted.add(endpoint.api_host)

    async def _look(self, endpoint: Endpoint, repository: str, reference: str, digest: Digest) -> Digest | None:
        """Ask the registry what it has, and note it if that is ``digest``.

        Anything else is about to be replaced, and if that breaks off, nobody knows what is there.
        """
        host = endpoint.api_host
        descriptor = await self._registries.at(endpoint).stored_manifest(repository, reference)
        found = descriptor.digest if descriptor else None
        if not self._journal.believes_tags:
            return found
        known = self._beliefs[host, repository].digests
        believed = known.get(reference)
        if believed not in {None, found}:
            self._doubted.add(host)
            if found is None:
                await self._journal.forget(host)
        if found == digest:
            self._journal.saw_tag(host, repository, reference, digest)
        else:
            known.pop(reference, None)
            await self._journal.drop_tag(host, repository, reference)
        return found
