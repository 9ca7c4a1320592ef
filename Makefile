# `make dagger` sets everything up and trains; `make test` sets everything up and tests.
PYTHON ?= python3
PY := .venv/bin/python
export MUJOCO_GL ?= egl

.PHONY: setup dagger test clients compat soak robosuite clean
setup: .venv/ready
	@scripts/gl.sh

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v=sys.version_info; sys.exit(0 if v >= (3,11) else "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install -q -c constraints.txt -e '.[test]'
	@touch $@

dagger: setup
	$(PY) -m toto_robot.train_dagger env=franka_pick

test: setup
	$(PY) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --ignore tests/deploy
	$(PY) -m pytest tests/deploy    # alone: what is timed on the emulated arm needs the cores

clients: setup
	TOTO_ROBOT_CLIENTS=1 $(PY) -m pytest tests/deploy

compat: setup
	$(PY) tests/compat/run.py

soak: setup
	$(PY) tests/soak/tokenize_kills.py kills=50
	$(PY) tests/soak/record_kills.py kills=200 episodes=16
	$(PY) tests/soak/physics.py steps=10000
	$(PY) tests/soak/deploy_fuzz.py actions=10000 cameras=1000 faults=200 clients=30

robosuite: setup
	$(PY) -m pip install -q -c constraints.txt -e '.[robosuite]'
	$(PY) -m pip install -q --no-deps robosuite==1.5.2

clean:
	rm -rf .venv .compat *.egg-info
