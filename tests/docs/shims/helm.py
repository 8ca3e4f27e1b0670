"""Stands for helm on a page: ``install NAME CHART -f FILE`` renders the chart, and dregsy reads the config in it."""

import re
import sys
from io import StringIO
from pathlib import Path

import yaml
from helm_python import Chart

from dregsy.config.load import load

root, verb, name, chart, flag, file = sys.argv[1:]
if verb not in {"install", "upgrade"} or flag != "-f":
    sys.exit(f"nobody knows here what helm {verb} {flag} does")
with Chart.load(str(Path(root, chart))) as loaded:
    made = loaded.render(values=yaml.safe_load(Path(file).read_text(encoding="utf-8")), name=name)
Path("rendered.yaml").write_text("\n---\n".join(made.values()), encoding="utf-8")
for text in made.values():
    for document in filter(None, yaml.safe_load_all(text) if "kind: ConfigMap" in text else ()):
        config = document["data"]["config.yaml"]
        environ = dict.fromkeys(re.findall(r"\$\{(\w+)", config), "dXNlcjpwYXNzd29yZA==")
        if load("-", environ=environ, strict=True, stdin=StringIO(config)).warnings:
            sys.exit(f"dregsy warns of this config:\n{config}")
