#!/bin/sh
# Pins what the image installs from PyPI: newest versions that pyproject.toml allows, with the hashes of all their files,
# so that one lock serves every architecture. Only wheels count: nothing is compiled, and no setup.py runs.
set -eu
[ -x .venv/bin/uv ] || .venv/bin/python -m pip install --quiet --disable-pip-version-check uv
lock() {
    file=$1
    shift
    .venv/bin/uv pip compile --output-file "deploy/image/$file" --quiet --upgrade --generate-hashes --only-binary :all: \
        --python-version 3.11 --python-platform linux --no-annotate --custom-compile-command "make lock" "$@"
}
lock dregsy.lock --extra gcp pyproject.toml
.venv/bin/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['build-system']['requires'], sep='\n')" |
    lock build.lock -
