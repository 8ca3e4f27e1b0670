"""Which tags targets have: for tags that never change, a listing says it for all of them at once."""

from dregsy.errors import NotFound
from dregsy.model.endpoint import Endpoint
from dregsy.model.ref import Ref
from dregsy.registry.pool import Registries


class Existing:
    """The tags of target repositories; each is listed once in a run."""

    def __init__(self, registries: Registries) -> None:
        self._registries = registries
        self._known: dict[str, frozenset[str]] = {}

    async def has(self, endpoint: Endpoint, target: Ref) -> bool:
        """Tell whether the target's repository lists its tag; raises what listing raises, except NotFound."""
        if target.name not in self._known:
            try:
                listed = await self._registries.at(endpoint).tags(target.repository)
            except NotFound:
                listed = []
            self._known[target.name] = frozenset(listed)
        return target.tag in self._known[target.name]
