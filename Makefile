.DEFAULT_GOAL := help
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
OUTSIDER := .venv-verify
PIP := $(PY) -m pip --disable-pip-version-check --quiet
JOBS ?= auto

help:  ## What each target does
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

$(STAMP): requirements/lock.txt requirements/torch.txt requirements/verify.txt pyproject.toml src/unsee_verify/pyproject.toml $(wildcard src/unsee_verify/*.py)
	test -x $(PY) || python3 -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements/lock.txt
	$(PIP) install --no-deps -r requirements/torch.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	test -x $(OUTSIDER)/bin/python || python3 -m venv $(OUTSIDER)
	$(OUTSIDER)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements/verify.txt
	rm -rf $(OUTSIDER)/build && cp -r src/unsee_verify $(OUTSIDER)/build
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir $(OUTSIDER)/wheels $(OUTSIDER)/build
	$(OUTSIDER)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --force-reinstall $(OUTSIDER)/wheels/*.whl
	touch $@

setup: $(STAMP)  ## A virtual environment from the lock file

demo: $(STAMP)  ## The main job, end to end; leaves the workspace demo/
	$(PY) scripts/demo.py

test: $(STAMP)  ## The fast suite
	$(PY) -m pytest -n $(JOBS) -m "not slow"

# Stores are killed and failed at every system call in memory, where no flush waits; test takes a sample of them, on the disk.
EACH := every_system_call or any_failing_system_call
KINDS := $(sort $(patsubst tests/stores/test_%_contract.py,%,$(wildcard tests/stores/test_*_contract.py)))
MEMORY := $(firstword $(wildcard /dev/shm) /tmp)

test-slow: $(STAMP)  ## Only the slow ones, without those that try every system call
	$(PY) -m pytest -n $(JOBS) -m slow -k "not ($(EACH))"

test-each: $(STAMP)  ## Stores killed and failed at every system call: KINDS="tar vault", or all of them
	TMPDIR=$(MEMORY) $(PY) -m pytest -n $(JOBS) -k "$(EACH)" $(foreach kind,$(KINDS),tests/stores/test_$(kind)_contract.py)

test-all: $(STAMP)  ## Everything, the slow ones too
	$(PY) -m pytest -n $(JOBS)

check: $(STAMP)  ## Format, lint, types, import rule
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(STAMP)  ## Rewrite the files as `check` wants them
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

bench: $(STAMP)  ## Speed against peers and the physical limit, as ratios of one run
	$(PY) -m bench

fuzz: $(STAMP)  ## Hostile bytes against the parsers, a minute each (needs the extra "fuzz")
	$(PY) -m fuzz tar --seconds 60
	$(PY) -m fuzz metadata --seconds 60
	$(PY) -m fuzz footer --seconds 60
	$(PY) -m fuzz environment --seconds 60
	$(PY) -m fuzz records --seconds 60
	$(PY) -m fuzz messages --seconds 60

lock:  ## Renew requirements/lock.txt (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" --extra report --extra stores --extra dev --extra fuzz pyproject.toml requirements/lock.in -o requirements/lock.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" src/unsee_verify/pyproject.toml -o requirements/verify.txt

clean:  ## Remove what the targets made
	rm -rf $(VENV) $(OUTSIDER) demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.PHONY: help setup demo test test-slow test-each test-all check format bench fuzz lock clean
