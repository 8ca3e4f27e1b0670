"""Fixtures for the relays."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from docker import APIClient

from tests.testbed.dockerd import Dockerd
from tests.testbed.podman import Podman


@pytest.fixture(scope="session")
def dockerd() -> Iterator[Dockerd]:
    """Run a docker daemon for all tests of this process."""
    with Dockerd() as daemon:
        yield daemon


@pytest.fixture(scope="session")
def podman() -> Iterator[Podman]:
    """Run podman's service for all tests of this process."""
    with Podman() as service:
        yield service


@pytest.fixture
def daemon(dockerd: Dockerd) -> Iterator[APIClient]:
    """Return a client for the daemon, which has no images when the test begins."""
    with closing(dockerd.client()) as client:
        for image in client.images(quiet=True, all=True):
            client.remove_image(image, force=True)
        yield client


@pytest.fixture
def mute() -> Iterator[socket.socket]:
    """A registry that takes connections (``sock_accept`` tells of one) and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening
