"""Harbor (API v2.0): the repositories of a project, and the tags of a repository with their digests."""

from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import quote

from dregsy.registry.vendors.api import MOST_PAGES, Names, NotOffered, Tags, VendorApi, listed, texts
from dregsy.registry.wire import basic

_SIZE = 100


async def repositories(api: VendorApi, prefix: str) -> Names:
    """Give the repositories of the project that ``prefix`` begins with, or without one all that the login may see."""
    project = prefix.partition("/")[0]
    path = f"api/v2.0/projects/{quote(project, safe='')}/repositories" if project else "api/v2.0/repositories"
    async for entries in _pages(api, path, {}, repository=prefix):
        yield list(texts(entries, "name"))


async def tags(api: VendorApi, repository: str) -> Tags:
    """Give the tags of a repository; slashes in its name are encoded twice, as Harbor wants it."""
    project, slash, name = repository.partition("/")
    if not slash:
        raise NotOffered(f"{repository!r} is in no project of {api.host}")
    inner = quote(quote(name, safe=""), safe="")
    path = f"api/v2.0/projects/{quote(project, safe='')}/repositories/{inner}/artifacts"
    async for entries in _pages(api, path, {"with_tag": "true", "q": "tags=*"}, repository=repository):
        pairs = ((tag, one.get("digest")) for one in entries for tag in one.get("tags") or () if isinstance(tag, dict))
        yield listed([{**tag, "digest": digest} for tag, digest in pairs], "name", "digest", "push_time")


async def _pages(
    api: VendorApi, path: str, query: dict[str, str], *, repository: str
) -> AsyncGenerator[list[dict[str, Any]], None]:
    login = await api.login(repository)
    headers = {"Authorization": basic(login)} if login.password is not None else None
    for number in range(1, MOST_PAGES):
        page = await api.get(path, {**query, "page": str(number), "page_size": str(_SIZE)}, headers=headers)
        entries = page.entries()
        yield entries
        if len(entries) < _SIZE:
            return
