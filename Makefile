# The front door: `make sweep NAME=dropout` needs nothing but Python, git and make.
.ONESHELL:
.SHELLFLAGS := -euc
.DEFAULT_GOAL := help

# A user's variables reach the programs only through the environment, as TRYTABLE_NAME and so on.
# No recipe or condition may use $(NAME): make would run a $(shell ...) in its value. This block
# comes before the first $(shell), because make passes expanded variables to those.
VARS := NAME TRY OUT TRIALS HOURS DATA MODEL SLOTS RUNS STORAGE ENGINE CHECKPOINTS SET FORMAT PORT \
	WRITABLE RETRY_FAILED AS_NEW FROM TO FREEZE LR_FROM LR_TO STEPS SEEDS APPLY LOG PATTERN TOP TEST \
	REPORT_LANG LOG_LEVEL PYTHON DEVICE
$(foreach v,$(VARS),$(eval export TRYTABLE_$(v) := $$(value $(v)))$(eval unexport $(v)))

# Without this, make would silently ignore a misspelled variable.
UNKNOWN := $(filter-out $(VARS),$(foreach v,$(.VARIABLES),$(if $(filter command,$(origin $(v))),$(v))))
$(if $(UNKNOWN),$(error There is no variable $(UNKNOWN). Use one of $(VARS)))

# The name of a stamp file depends on the requirements and on the folder: the commands in .venv/bin
# contain the folder's path, so they are installed again after a move.
RUNTIME_KEY := $(shell { pwd; cat requirements.txt pyproject.toml; } | sha256sum | cut -c1-12)
RAY_KEY := $(RUNTIME_KEY)-$(shell sha256sum <requirements-ray.txt | cut -c1-12)
DEV_KEY := $(RUNTIME_KEY)-$(shell cat requirements-ray.txt requirements-dev.txt | sha256sum | cut -c1-12)
RUNTIME := .venv/.installed-$(RUNTIME_KEY)
RAY := .venv/.installed-ray-$(RAY_KEY)
DEV := .venv/.installed-dev-$(DEV_KEY)

.PHONY: help sweep diagnose lr-range suggest import sweeps confirm report show rerun best export backup \
	move-storage check-study dashboard ray test test-fast soak check bench gpu-check gpu-pack clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.* ## /  make \1\t/p' Makefile | expand -t 20
	echo
	echo 'Variables, as in make sweep NAME=dropout TRIALS=20 SET="epochs=2 lr=1e-4":'
	echo '  $(VARS)'

sweep: $(RUNTIME) ## run a sweep, or the rest of one (NAME=dropout)
	@exec .venv/bin/trytable sweep

diagnose: $(RUNTIME) ## check a sweep's data, model and baseline before it runs (NAME=dropout)
	@exec .venv/bin/trytable diagnose

lr-range: $(RUNTIME) ## run a learning-rate range test and suggest a rate (NAME=lr APPLY=1)
	@exec .venv/bin/trytable lr-range

suggest: $(RUNTIME) ## write the next sweep file, based on a study's results (NAME=dropout)
	@exec .venv/bin/trytable suggest

import: $(RUNTIME) ## import a log of runs made by hand (LOG=file NAME=mine)
	@exec .venv/bin/trytable import

sweeps: $(RUNTIME) ## list the sweeps and the parameters that each varies
	@exec .venv/bin/trytable sweeps

confirm: $(RUNTIME) ## retrain the leaders with fresh seeds (NAME=dropout TOP=3 SEEDS=5)
	@exec .venv/bin/trytable confirm

report: $(RUNTIME) ## write a study's report and tables again (NAME=dropout)
	@exec .venv/bin/trytable report

show: $(RUNTIME) ## print one try in full (NAME=dropout TRY=3)
	@exec .venv/bin/trytable show

rerun: $(RUNTIME) ## retrain a try from its record and compare (NAME=dropout TRY=3)
	@exec .venv/bin/trytable rerun

best: $(RUNTIME) ## export the best try as a model folder (NAME=dropout OUT=folder)
	@exec .venv/bin/trytable best

export: $(RUNTIME) ## write a study's Try table (NAME=dropout FORMAT=md,csv,tex)
	@exec .venv/bin/trytable export

backup: $(RUNTIME) ## copy the study database into RUNS/backups, even while sweeps run
	@exec .venv/bin/trytable backup

move-storage: $(RUNTIME) ## copy studies to another database (FROM=runs TO=postgresql://… NAME=dropout)
	@exec .venv/bin/trytable move-storage

check-study: $(RUNTIME) ## check that no trial was lost or duplicated (NAME=dropout; all by default)
	@exec .venv/bin/trytable check

dashboard: $(RUNTIME) ## open the Optuna dashboard on the studies, read-only (WRITABLE=1 allows changes)
	@exec .venv/bin/trytable dashboard

ray: $(RAY) ## install Ray, for ENGINE=ray

# Tests must not see the variables of a sweep; some machines set NAME.
test: $(DEV) ## run the tests
	@unset $(VARS:%=TRYTABLE_%)
	exec .venv/bin/python -m pytest -n auto --dist worksteal

test-fast: $(DEV) ## run the tests that start nothing and train nothing, after each edit
	@unset $(VARS:%=TRYTABLE_%)
	exec .venv/bin/python -m pytest -n auto --dist worksteal -m 'not slow'

soak: $(DEV) ## kill at random 500 times, and at every write boundary once (half an hour)
	@unset $(VARS:%=TRYTABLE_%)
	TRYTABLE_FAILPOINT_STRIDE=1 .venv/bin/python -m pytest \
		tests/orchestrator/run/test_failpoints.py tests/trainers/finetune/test_failpoints.py
	exec .venv/bin/python -m tests.soak

check: $(DEV) ## lint, formatting and types
	@.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	exec .venv/bin/python -m mypy

bench: $(DEV) ## measure the speeds that the README claims (DATA=folder for your own text)
	@exec .venv/bin/python -m benchmarks

gpu-check: $(DEV) ## show on a GPU what no CPU can show, in 8 minutes (DEVICE=cpu rehearses it)
	@exec .venv/bin/python -m benchmarks.gpu

gpu-pack: $(DEV) ## gather what gpu-check needs on a machine without a network
	@exec .venv/bin/python -m benchmarks.gpu.pack

clean: ## remove the virtual environment and all caches; runs/ stays
	@rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An interrupted installation leaves .unfinished behind and starts again from nothing. Two at once
# would corrupt each other, so the second waits.
$(RUNTIME):
	@exec 9<Makefile
	if command -v flock >/dev/null; then flock 9; fi
	if [ -e '$@' ]; then exit 0; fi
	fit() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
	if [ -e .venv/.unfinished ] || ! fit .venv/bin/python; then
		rm -rf .venv
		set -- "$$TRYTABLE_PYTHON"
		if [ -z "$$1" ]; then set -- python3 python3.14 python3.13 python3.12 python3.11; fi
		found=
		for python in "$$@"; do
			if [ -z "$$found" ] && fit "$$python"; then found=$$python; fi
		done
		if [ -z "$$found" ]; then
			echo "$${TRYTABLE_PYTHON:-python3} is not Python 3.11 or newer. Install one (on Debian:" \
				"apt install python3 python3-venv) or name one with PYTHON=/path/to/python3." >&2
			exit 2
		fi
		if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then
			echo "$$found has no venv module (on Debian: apt install python3-venv)." >&2
			exit 2
		fi
		mkdir .venv
		touch .venv/.unfinished
		"$$found" -m venv .venv
	fi
	touch .venv/.unfinished
	echo 'Installing the pinned packages into .venv, once. This takes some minutes and prints nothing.'
	PIP_DISABLE_PIP_VERSION_CHECK=1
	export PIP_DISABLE_PIP_VERSION_CHECK
	.venv/bin/python -m pip install --no-input --quiet -r requirements.txt
	.venv/bin/python -m pip install --no-input --quiet --no-deps --no-build-isolation -e .
	rm -f .venv/.installed-*
	touch '$@'
	rm .venv/.unfinished

define INSTALL_MORE
	@exec 9<Makefile
	if command -v flock >/dev/null; then flock 9; fi
	if [ -e '$@' ]; then exit 0; fi
	touch .venv/.unfinished
	echo '$(1)'
	PIP_DISABLE_PIP_VERSION_CHECK=1 \
		.venv/bin/python -m pip install --no-input --quiet -r $(2)
	touch '$@'
	rm .venv/.unfinished
endef

$(RAY): $(RUNTIME)
	$(call INSTALL_MORE,Installing Ray.,requirements-ray.txt)

$(DEV): $(RUNTIME)
	$(call INSTALL_MORE,Installing what the tests also need.,requirements-dev.txt)
