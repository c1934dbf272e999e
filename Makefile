# Every command of the project. `make help` lists them.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
.DEFAULT_GOAL := help

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.venv/.runtime: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: requirements-dev.lock .venv/.runtime
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

demo: .venv/.runtime  ## run a whole campaign against the simulator and check every count
	$(BIN)/relay demo

up: .venv/.runtime  ## start PostgreSQL, Temporal, the API, a worker and the simulator
	$(BIN)/relay up

api: .venv/.runtime  ## run the API alone
	$(BIN)/relay api

worker: .venv/.runtime  ## run one worker alone
	$(BIN)/relay worker

migrate: .venv/.runtime  ## bring the schema up to date; with m="add x", write a new migration instead
	$(if $(m),$(BIN)/relay migrate --message "$(m)",$(BIN)/relay migrate)

test: .venv/.dev  ## run the whole test suite
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

check: .venv/.dev  ## lint and type-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.runtime  ## measure everything; or ROWS=launch,arming N=5000 ROUNDS=3 OUT=results.json
	$(BIN)/python -m benchmarks $(if $(ROWS),--rows $(ROWS)) $(if $(N),--n $(N)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(OUT),--out $(OUT))

chaos: .venv/.dev  ## break everything in turn under campaigns, for MINUTES=10; SEED= FAULT= repeat one; OUT=DIR
	$(BIN)/python -m tests.chaos --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) \
		$(if $(FAULT),--fault $(FAULT)) $(if $(CONTACTS),--contacts $(CONTACTS)) --out $(or $(OUT),.relay/chaos)

lock:  ## resolve the dependencies again (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
		pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock

.PHONY: help demo up api worker migrate test check bench chaos lock
