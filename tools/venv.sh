#!/bin/sh
# Creates .venv and installs the project into it: editable, with every extra.
set -eu
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "setup: Python 3.11 or newer is needed; say which with: make setup PYTHON=/path/to/python3" >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    sh "$(dirname "$0")/debian-packages.sh" python3-venv
fi
[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "setup: installing dregsy and its dependencies into .venv"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
