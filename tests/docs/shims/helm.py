"""Stands for helm on a page: ``install NAME CHART -f FILE`` renders the chart with the file."""

import sys
from pathlib import Path

import yaml
from helm_python import Chart

root, verb, name, chart, flag, file = sys.argv[1:]
if verb not in {"install", "upgrade"} or flag != "-f":
    sys.exit(f"nobody knows here what helm {verb} {flag} does")
with Chart.load(str(Path(root, chart))) as loaded:
    made = loaded.render(values=yaml.safe_load(Path(file).read_text(encoding="utf-8")), name=name)
Path("rendered.yaml").write_text("\n---\n".join(made.values()), encoding="utf-8")
