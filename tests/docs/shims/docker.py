"""Stands for docker on a page: docker itself reads the flags, and then finds no daemon.

Config files that ``docker run`` mounts are there, and the container gets each variable that they need.
"""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

words = sys.argv[1:]
environ = {**os.environ, "DOCKER_HOST": "unix:///nonexistent/docker.sock"}
done = subprocess.run(["/usr/bin/docker", *words], env=environ, capture_output=True, text=True, check=False)
if "Cannot connect to the Docker daemon" not in done.stderr:
    sys.exit(f"docker does not take this: {done.stderr}")

given = {flag: [value for word, value in pairwise(words) if word == flag] for flag in ("-v", "-e", "--env-file")}
passed = [value.partition("=")[0] for value in given["-e"]]
for name in given["--env-file"]:
    passed += [line.partition("=")[0] for line in Path(name).read_text(encoding="utf-8").splitlines()]
for mount in given["-v"]:
    source = mount.partition(":")[0]
    if source.endswith(".yaml"):
        needed = re.findall(r"\$\{(\w+)\}", Path(source).read_text(encoding="utf-8"))
        if missing := {one for one in needed if one not in passed}:
            sys.exit(f"{source} needs {', '.join(sorted(missing))}: pass it with -e")
