# `make` lists the goals. Everything they need is installed into .venv, from hashed requirements.
STACK ?= local
PYTHON = .venv/bin/python
QUAYSIDE = $(PYTHON) -m quayside
COMPILE = CUSTOM_COMPILE_COMMAND="make lock" .venv/bin/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links

.DEFAULT_GOAL = help
.PHONY: help setup up down status logs test check bench schema images lock develop

help: ## List the goals
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make the virtual environment in .venv
	@sh quayside/setup.sh requirements.txt requirements-dev.txt

up: ## Bring stack STACK (local) up, or up to date
	@sh quayside/setup.sh requirements.txt
	@$(QUAYSIDE) up --stack $(STACK)

down: ## Remove the stack; VOLUMES=1 removes its data, too
	@sh quayside/setup.sh requirements.txt
	@$(QUAYSIDE) down --stack $(STACK) $(if $(VOLUMES),--volumes)

status: ## Show services, health and addresses
	@sh quayside/setup.sh requirements.txt
	@$(QUAYSIDE) status --stack $(STACK)

logs: ## Follow the logs of SERVICE
	@$(QUAYSIDE) logs --stack $(STACK) --follow $(or $(SERVICE),$(error say which: make logs SERVICE=web))

test: setup ## Run the tests
	@$(PYTHON) -m pytest --numprocesses 3

check: setup ## Check style, types, and that the schemas are current
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/pyright --pythonpath $(PYTHON)
	@$(PYTHON) -c 'import sys, settings.schema as s; \
		stale = [str(f) for f, text in s.outputs().items() if not f.is_file() or f.read_text() != text]; \
		sys.exit("not current, run `make schema`: " + ", ".join(stale) if stale else 0)'

bench: setup ## Rehearse up to 1,000 services and 20 hosts; release under load, and count what fails
	@$(PYTHON) -m tests.bench_scale
	@$(PYTHON) -m tests.bench_fleet
	@$(PYTHON) -m tests.bench

schema: setup ## Write the JSON Schemas that editors use
	@$(PYTHON) -m settings.schema

images: setup ## Write the scripts that Packer bakes machine images with
	@$(PYTHON) -m quayside.machine_images

lock: setup ## Pin and hash the requirements anew
	@$(COMPILE) --upgrade --output-file requirements.txt requirements.in
	@$(COMPILE) --upgrade --output-file requirements-dev.txt requirements-dev.in
