# Targets with a "##" remark are listed by `make help`.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

JUDGES := .venv/.judges
IMAGE ?= dregsy

.PHONY: help setup demo docs screenshots pin test many image image-test lock check fmt soak bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(STAMP) ## create .venv and install the project into it (editable, with everything)

$(STAMP): pyproject.toml tools/venv.sh
	@PYTHON=$(PYTHON) sh tools/venv.sh
	@touch $@

demo: $(STAMP) ## mirror images between two registries inside the process; needs no internet
	@$(BIN)/dregsy demo

test: $(STAMP) $(JUDGES) ## install what the tests need and run them all against real servers
	@sh tools/debian-packages.sh
	@$(BIN)/python -m pytest -n 4 --dist worksteal $(ARGS)

$(JUDGES): pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[judges]'
	@touch $@

image: ## build the image with docker; ARGS='--build-arg BASE=...' takes another base (docs/docker.md)
	docker build -t $(IMAGE) $(ARGS) .

image-test: $(STAMP) ## build the image on a small Debian and run it as users do (minutes; needs PyPI and Debian)
	@sh tools/debian-packages.sh docker-registry skopeo docker.io python3-venv
	@$(BIN)/python -m pytest tests/image $(ARGS)

docs: $(STAMP) ## write anew what the manual and the editors' schema tell of the config's keys
	@$(BIN)/python -m tools.reference

screenshots: $(STAMP) ## draw docs/images/terminal.svg anew, of real runs between two small registries
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check pyte
	@$(BIN)/python -m tools.screenshot

lock: $(STAMP) ## pin anew what the image installs from PyPI
	@sh tools/lock.sh

pin: ## pin the image's base by its digest, and Debian's packages by the day (asks Docker Hub)
	@sh tools/debian-packages.sh skopeo
	@sh tools/pin.sh $(ARGS)

many: $(STAMP) ## mirror 10,000 tags to three targets and measure the memory (five minutes)
	@$(BIN)/python -m pytest -s tests/e2e/many.py

check: $(STAMP) ## lint, types, layers, sizes, twin files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python tools/house_rules.py

fmt: $(STAMP) ## format the code and apply safe fixes
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

soak: $(STAMP) ## copy with mixed faults for an hour, comparing all the time (ARGS='--seed 7 --seconds 60' tries it)
	@sh tools/debian-packages.sh docker-registry
	@$(BIN)/python -m tests.faults.soak $(ARGS)

bench: $(STAMP) ## measure, side by side with skopeo and others in PATH (an hour; ARGS='--only W1 --scale 0.1' tries it)
	@sh tools/debian-packages.sh docker-registry skopeo iproute2
	@$(BIN)/python -m benchmarks $(ARGS)

clean: ## remove what setup and the tools made
	rm -rf .venv .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist build
