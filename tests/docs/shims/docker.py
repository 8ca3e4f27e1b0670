"""Stands for docker on a page: docker itself reads the flags, and then finds no daemon."""

import os
import subprocess
import sys

environ = {**os.environ, "DOCKER_HOST": "unix:///nonexistent/docker.sock"}
done = subprocess.run(["/usr/bin/docker", *sys.argv[1:]], env=environ, capture_output=True, text=True, check=False)
if "Cannot connect to the Docker daemon" not in done.stderr:
    sys.exit(f"docker does not take this: {done.stderr}")
