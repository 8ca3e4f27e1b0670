"""Quay (API v1): the repositories of a namespace, and the tags of a repository with their digests.

The API takes OAuth tokens, which users give as the password of ``$oauthtoken``; anybody may read what is public.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from dregsy.model.ages import Listed, read_seconds
from dregsy.registry.vendors.api import MOST_PAGES, Names, NotOffered, Tags, VendorApi

_OAUTH_USER = "$oauthtoken"
_SIZE = "100"


async def repositories(api: VendorApi, prefix: str) -> Names:
    """Give the repositories of the namespace that ``prefix`` begins with."""
    if not prefix:
        raise NotOffered(f"{api.host} lists the repositories of a namespace only")
    headers = await _headers(api, prefix)
    query = {"namespace": prefix.partition("/")[0], "public": "true"}
    for _ in range(MOST_PAGES):
        page = await api.get("api/v1/repository", query, headers=headers)
        pairs = _pairs(page.entries("repositories"), "namespace")
        yield [f"{namespace}/{name}" for name, namespace, _ in pairs]
        follower = page.document.get("next_page")
        if not isinstance(follower, str) or follower == query.get("next_page"):
            return
        query = {**query, "next_page": follower}


async def tags(api: VendorApi, repository: str) -> Tags:
    """Give the tags of a repository that are alive."""
    headers = await _headers(api, repository)
    for number in range(1, MOST_PAGES):
        query = {"onlyActiveTags": "true", "limit": _SIZE, "page": str(number)}
        page = await api.get(f"api/v1/repository/{quote(repository)}/tag/", query, headers=headers)
        pairs = _pairs(page.entries("tags"), "manifest_digest")
        yield {name: Listed(digest, read_seconds(tag.get("start_ts"))) for name, digest, tag in pairs}
        if page.document.get("has_additional") is not True:
            return


def _pairs(entries: list[dict[str, Any]], key: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give the name of each entry, the text under ``key``, and the entry; not of those that lack one of them."""
    for one in entries:
        if isinstance(name := one.get("name"), str) and isinstance(other := one.get(key), str):
            yield name, other, one


async def _headers(api: VendorApi, repository: str) -> dict[str, str]:
    """Return what the API takes for a login; NotOffered for other logins than OAuth tokens."""
    login = await api.login(repository)
    if login.is_anonymous:
        return {}
    if login.username != _OAUTH_USER or login.password is None:
        raise NotOffered(f"{api.host} takes no password for its API", hint=f"log in as {_OAUTH_USER}")
    return {"Authorization": f"Bearer {login.password.reveal()}"}
