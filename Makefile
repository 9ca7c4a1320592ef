# `make dagger` sets everything up and trains. `make test` sets everything up and tests. docs/install.md lists the rest.
PYTHON ?= python3
PY := .venv/bin/python
# Bytecode is made at the first import: compiling every file of torch takes longer than the files that are imported.
PIP := $(PY) -m pip install -q --no-compile -c constraints.txt
unexport PYTHONDONTWRITEBYTECODE
PYTEST := $(PY) -m pytest
# One more test process than cores: some tests wait for a process or a clock.
PARALLEL := --numprocesses $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1) --maxprocesses 4 --dist loadfile --no-loadscope-reorder
PACKAGES := toto_robot envs policies demos deploy
export MUJOCO_GL ?= egl

.PHONY: setup dagger lint test test-fast coverage docs release-check clients compat soak robosuite clean
setup: .venv/ready
	@scripts/gl.sh

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v=sys.version_info; sys.exit(0 if v >= (3,11) else "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@test -x $(PY) || $(PYTHON) -m venv .venv
	$(PIP) -e '.[test,dev]'
	@touch $@

.venv/docs: .venv/ready
	$(PIP) -e '.[docs]'
	@touch $@

dagger: setup
	$(PY) -m toto_robot.train_dagger env=franka_pick

lint: .venv/ready
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

# Each process of the tests has a core, so one thread each.
test test-fast: export OMP_NUM_THREADS := 1
test: setup
	$(PYTEST) $(PARALLEL) -m "not alone and not soak"
	$(PYTEST) tests/deploy -m "alone and not soak"    # tests that follow the emulated arm in real time need the cores

test-fast: setup
	$(PYTEST) $(PARALLEL) -m "not slow and not alone and not soak"

coverage: setup
	$(PYTEST) $(PARALLEL) -m "not alone and not soak" $(PACKAGES:%=--cov=%) --cov-report=
	$(PYTEST) tests/deploy -m "alone and not soak" $(PACKAGES:%=--cov=%) --cov-append --cov-report=term --cov-report=html:coverage

docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

release-check: .venv/docs
	$(PY) scripts/release_check.py

clients: setup
	TOTO_ROBOT_CLIENTS=1 $(PYTEST) tests/deploy

compat: setup
	$(PY) tests/compat/run.py

soak: setup
	$(PYTEST) -m soak
	$(PY) tests/soak/tokenize_kills.py kills=50
	$(PY) tests/soak/record_kills.py kills=200 episodes=16
	$(PY) tests/soak/kills.py kills=50
	$(PY) tests/soak/mutations.py count=1000
	$(PY) tests/soak/many_clips.py clips=20000
	$(PY) tests/soak/physics.py steps=10000
	$(PY) tests/soak/deploy_fuzz.py actions=10000 cameras=1000 faults=200 clients=30

robosuite: setup
	$(PIP) -e '.[robosuite]'
	$(PY) -m pip install -q --no-deps robosuite==1.5.2

clean:
	rm -rf .venv .compat .release coverage site *.egg-info
