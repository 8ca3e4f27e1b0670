"""Azure Container Registry: the tags of a repository with their digests."""

from urllib.parse import quote

from dregsy.registry.vendors.api import MOST_PAGES, Tags, VendorApi, listed


async def tags(api: VendorApi, repository: str) -> Tags:
    """Give the tags of a repository; needs the right to read metadata."""
    query = {"n": "1000"}
    scopes = (f"repository:{repository}:metadata_read",)
    for _ in range(MOST_PAGES):
        page = await api.get(f"acr/v1/{quote(repository)}/_tags", query, repository=repository, scopes=scopes)
        yield listed(page.entries("tags"), "name", "digest", "createdTime", "lastUpdateTime")
        if page.next is None or page.next == query:
            return
        query = page.next
