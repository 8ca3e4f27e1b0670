"""Docker Hub: its own API for the repositories of a namespace and for tags with digests, and its search."""

import time
from collections.abc import AsyncGenerator, Callable
from typing import Any
from urllib.parse import quote

from dregsy.errors import CredentialsError
from dregsy.model.endpoint import Login, Secret
from dregsy.model.ref import HUB_API_NAME, HUB_NAMES
from dregsy.registry.vendors.api import MOST_PAGES, Names, NotOffered, Page, Tags, VendorApi, listed, texts
from dregsy.registry.wire import basic

HUB_API = "https://hub.docker.com/"
HUB_INDEX = "https://index.docker.io/"
HOSTS = HUB_NAMES | {HUB_API_NAME}

_SIZE = "100"
_TOKEN_SECONDS = 300.0
"""For how long a token is used; Docker Hub's are good for ten minutes."""


def _goes_on(page: Page, number: int, names: int, found: int) -> bool:
    """Whether a search has more than this page: by its count of pages, or of results, or since the page is full."""
    pages, results = page.document.get("num_pages"), page.document.get("num_results")
    if isinstance(pages, int):
        return number < pages
    return found < results if isinstance(results, int) else names >= int(_SIZE)


class DockerHub:
    """Docker Hub's API at ``api``, and its search at ``index``; remembers tokens for a while.

    ``hosts`` are the names of its registry: logins for other registries are none of its business.
    """

    def __init__(
        self,
        api: str = HUB_API,
        index: str = HUB_INDEX,
        *,
        hosts: frozenset[str] = HOSTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.hosts = hosts
        self._api = api
        self._index = index
        self._clock = clock
        self._tokens: dict[Login, tuple[float, Secret]] = {}

    async def repositories(self, api: VendorApi, prefix: str) -> Names:
        """Give the repositories of the namespace that ``prefix`` begins with, or of the user that logs in."""
        if api.host not in self.hosts:
            raise NotOffered(f"{api.host} is not Docker Hub", hint="use the lister type 'catalog', or leave it out")
        login = await api.login(prefix)
        namespace = prefix.partition("/")[0] or login.username
        if not namespace:
            raise CredentialsError(
                "Docker Hub lists the repositories of one namespace only",
                host=api.host,
                hint=f"give 'auth', or write 'registry: {api.host}/NAMESPACE'",
            )
        async for page in self._pages(api, login, f"v2/namespaces/{quote(namespace, safe='')}/repositories"):
            images = [one for one in page.entries("results") if one.get("repository_type") in {None, "image"}]
            yield [f"{namespace}/{name}" for name in texts(images, "name")]

    async def tags(self, api: VendorApi, repository: str) -> Tags:
        """Give the tags of a repository."""
        namespace, slash, name = repository.partition("/")
        if not slash:
            raise NotOffered(f"{repository!r} is in no namespace of Docker Hub")
        path = f"v2/namespaces/{quote(namespace, safe='')}/repositories/{quote(name, safe='')}/tags"
        async for page in self._pages(api, await api.login(repository), path):
            yield listed(page.entries("results"), "name", "digest", "tag_last_pushed", "last_updated")

    async def search(self, api: VendorApi, expression: str) -> Names:
        """Give what a search finds, the best first: at Docker Hub, or at a registry that has the old v1 API."""
        root = self._index if api.host in self.hosts else await api.root()
        login = await api.login()
        headers = {"Authorization": basic(login)} if login.password is not None else None
        found: set[str] = set()
        for number in range(1, MOST_PAGES):
            query = {"q": expression, "n": _SIZE, "page": str(number)}
            page = await api.get(f"{root}v1/search", query, headers=headers)
            names = list(texts(page.entries("results"), "name"))
            if found.issuperset(names):
                return  # what knows no pages gives the first one again
            yield names
            found.update(names)
            if not _goes_on(page, number, len(names), len(found)):
                return

    async def _pages(self, api: VendorApi, login: Login, path: str) -> AsyncGenerator[Page, None]:
        for number in range(1, MOST_PAGES):
            headers = await self._headers(api, login)
            page = await api.get(f"{self._api}{path}", {"page_size": _SIZE, "page": str(number)}, headers=headers)
            yield page
            if not page.document.get("next"):
                return

    async def _headers(self, api: VendorApi, login: Login) -> dict[str, str]:
        """Return the header with a token for the login, or nothing for nobody."""
        if login.password is None:
            return {}
        known = self._tokens.get(login)
        if known is None or self._clock() - known[0] >= _TOKEN_SECONDS:
            known = self._tokens[login] = (self._clock(), await self._token(api, login.username, login.password))
        return {"Authorization": f"Bearer {known[1].reveal()}"}

    async def _token(self, api: VendorApi, username: str, password: Secret) -> Secret:
        page = await api.post(f"{self._api}v2/auth/token", {"identifier": username, "secret": password.reveal()})
        document: Any = page.document
        token = document.get("access_token") if isinstance(document, dict) else None
        if not isinstance(token, str):
            raise page.odd()
        return Secret(token)
