# What people can rely on: `make help` lists it. Everything real happens in dev/ and in the rooms.
.DEFAULT_GOAL := help
.PHONY: help setup run up down test soak lint images docs bench clean lock \
    vm-setup host-image host-update host-lock vm vm-up vm-down vm-test

python = .venv/bin/python -I
# Files stay whole: those that run inside a host of their own do so at once, and share what they make.
# Files stay whole (xdist 3.8 knows no groups of pytest 9.2): some run in a host of their own, at once.
# -p no:randomly for tests that share one running host: their order is part of the story they tell.
quick = $(python) -m pytest -n auto --dist loadfile -m "not e2e and not soak and not vm"
journey = $(python) -m pytest -p no:randomly -m "e2e and not soak"

help: ## what each target does
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

setup: ## install what is missing: Debian packages, the virtual environment
	@python3 -I dev/packages.py

run: setup ## the main job, from a bare machine: a shell in control, or all of it when there is no terminal
	@$(python) -m dev run

up: setup ## the same in the background: leaves .sheltie/up.json
	@$(python) -m dev up

down: ## end what `make up` began; leaves nothing
	@if [ -x .venv/bin/python ]; then $(python) -m dev down; else echo "nothing is up"; fi

test: setup ## set up, and pass every test (small counts)
	@$(python) -m dev images
	@$(quick)
	@$(journey)

soak: vm-setup ## the large counts, by hand
	@$(python) -m dev images
	@SHELTIE_SOAK=1 $(python) -m pytest -p no:randomly -m "(soak or counted or e2e) and not vm"
	@SHELTIE_SOAK=1 $(python) -m dev vm-test

lint: setup ## format, style, types, imports, shell scripts
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/mypy tests
	@.venv/bin/lint-imports
	@git ls-files -z images .ci | xargs -0 grep -lZE '^#!/bin/(ba)?sh|^#!/usr/bin/env bash' | xargs -0 -r shellcheck

images: setup ## build both images into the cache and print where they lie
	@$(python) -m dev images

docs: setup ## write the pages that are made from the sources
	@$(python) -m dev.errors --write
	@$(python) -m dev.completion --write

vm-setup: setup ## the same, and what the immutable host's targets need
	@python3 -I dev/packages.py vm

host-image: setup ## build the immutable host's image and print its sizes and root hash (ARGS=--version=…)
	@$(python) -m dev host-image $(ARGS)

host-update: setup ## add a signed update to what a server offers (ARGS="--version=… --out=DIRECTORY")
	@$(python) -m dev host-update $(ARGS)

vm: vm-setup ## the immutable host in QEMU, its console on this terminal
	@$(python) -m dev vm $(ARGS)

vm-up: vm-setup ## the same in the background: leaves .sheltie/vm.json
	@$(python) -m dev vm-up $(ARGS)

vm-down: ## end what `make vm-up` began; leaves nothing
	@if [ -x .venv/bin/python ]; then $(python) -m dev vm-down; else echo "nothing is up"; fi

vm-test: vm-setup ## boot the image as it ships, and pass its tests and the main job's (ARGS=--short: the first boot)
	@$(python) -m dev vm-test $(ARGS)

host-lock: setup ## resolve the host image's packages anew
	@$(python) -m dev host-lock

bench: setup ## measure, side by side with what one would take instead
	@python3 -I dev/packages.py bench
	@$(python) -m dev bench

clean: down vm-down ## remove what a clone holds beside its files (the cache stays; CLEAN_CACHE=1 removes it too)
	@rm -rf .sheltie .venv .ci/out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@if [ -n "$(CLEAN_CACHE)" ]; then rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}/sheltie"; fi

lock: setup ## resolve the dependencies anew, with hashes (needs uv)
	@uv pip compile -q --universal --python-version 3.11 --generate-hashes --all-extras --group dev \
	    --custom-compile-command "make lock" --no-emit-index-url pyproject.toml -o requirements.txt
	@for image in admin control host; do \
	    uv pip compile -q --universal --python-version 3.13 --generate-hashes --extra $$image \
	    --custom-compile-command "make lock" --no-emit-index-url pyproject.toml -o images/$$image/requirements.txt; \
	done
