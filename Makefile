# Two commands are all it takes on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RUN ?= runs/helpdesk

.PHONY: help setup demo test test-slow test-turn fuzz-runs test-docs test-ray check lock docs reference images clean \
  bench-quick bench-strong bench-weak bench-spending bench-round0 bench-recipes bench-setfit \
  bench-pool bench-imported bench-labelling bench-serving bench-growth bench-server soak

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# The marker is newer than what it was made from, so a changed pin installs again.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip -c constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

setup: $(READY)  ## environment and model weights (about 1.2 GB, once)
	$(BIN)/pgkd models pull

demo: setup  ## an LLM teaches a small classifier on this machine
	rm -rf $(RUN)
	PGKD_OFFLINE=1 $(BIN)/pgkd distill --config examples/helpdesk/pgkd.yaml --out $(RUN)
	PGKD_OFFLINE=1 $(BIN)/pgkd evaluate $(RUN) --data examples/helpdesk/test.csv --teacher-rows 40
	@echo
	@echo "What next:"
	@echo "  $(BIN)/pgkd report $(RUN) --open            what improved, what was written, what it cost"
	@echo "  $(BIN)/pgkd show $(RUN)                     what was asked, kept and dropped, and why"
	@echo "  $(BIN)/pgkd predict $(RUN) \"my vpn drops\"   classify a text"
	@echo "  $(BIN)/pgkd init YOUR.csv                          then: $(BIN)/pgkd distill"

# Trackers in a process of their own: wandb's service hangs in one that has run many other tests.
test: setup  ## all tests but the slow ones, a process a core
	PGKD_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --ignore tests/integrations/tracking
	PGKD_OFFLINE=1 $(BIN)/python -m pytest tests/integrations/tracking

test-slow: setup  ## the slow ones
	PGKD_OFFLINE=1 $(BIN)/python -m pytest -m slow

TURN ?= $(or $(shell git rev-parse --short HEAD 2>/dev/null),$(shell date +%j))

test-turn: setup  ## some of the slow ones, others with every commit; two minutes
	PGKD_SLOW_TURN=$(TURN) PGKD_OFFLINE=1 $(BIN)/python -m pytest -m slow

fuzz-runs: setup  ## every file of a run harmed in every way, under every command; a quarter of an hour
	PGKD_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -W error -m tests.fuzz.runs

test-docs: setup  ## every command and snippet of the docs is run
	PGKD_OFFLINE=1 $(BIN)/python -m pytest -m 'pages or not pages' tests/docs

RAY_VENV ?= .venv-ray

test-ray:  ## those of --engine ray, in an environment of their own: Ray is no part of dev
	$(PYTHON) -m venv $(RAY_VENV)
	$(RAY_VENV)/bin/python -m pip install --quiet -c constraints.txt -e '.[ray,static,serve]' \
	  pytest pytest-timeout
	PGKD_OFFLINE=1 $(RAY_VENV)/bin/python -m pytest tests/apps/bulk/test_ray.py

check: $(READY)  ## style, types, import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: $(READY)  ## write what is installed now into constraints.txt
	( echo "# What was tested: every package of 'pgkd[dev]', pinned. Made by 'make lock'."; \
	  $(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' ) > constraints.txt

DATA ?= $(firstword $(wildcard ../shared/data) data)
BENCH := PGKD_OFFLINE=1 $(BIN)/python benchmarks/run.py --data-root $(DATA)
BANK ?= $(firstword $(wildcard ../shared/bank) bank)
BANK_TEACHER ?= $(firstword $(wildcard ../shared/tools/bank_teacher.py) bank_teacher.py)
SETFIT_VENV ?= .venv-setfit

bench-quick: setup  ## a small grid with the local teacher; 15 to 20 minutes, goes on
	$(BENCH) quick

bench-strong: setup  ## a strong teacher at 100 rows (ROWS, SEEDS), seven sets; two hours, resumes
	OPENAI_API_KEY=none OMP_NUM_THREADS=1 $(BENCH) strong --bank $(BANK) --bank-teacher $(BANK_TEACHER) \
	  $(if $(ROWS),--rows $(ROWS)) $(if $(SEEDS),--seeds $(SEEDS))

bench-weak: setup  ## the same, with four texts in ten of another class
	OPENAI_API_KEY=none OMP_NUM_THREADS=1 $(BENCH) weak --bank $(BANK) --bank-teacher $(BANK_TEACHER)

bench-spending: setup  ## who gets the texts: by error, evenly, hard texts; minutes
	OMP_NUM_THREADS=1 $(BENCH) spending --bank $(BANK)

bench-round0: setup  ## how good is the student before any teacher is asked
	$(BENCH) round0

bench-recipes: setup  ## frozen or fine-tuned, on eight sets; hours, goes on
	$(BENCH) recipes

bench-setfit: setup $(SETFIT_VENV)/.ready  ## SetFit on the same rows; hours, goes on
	$(BENCH) setfit --setfit-python $(SETFIT_VENV)/bin/python

$(SETFIT_VENV)/.ready: benchmarks/setfit_arm.py
	$(PYTHON) -m venv $(SETFIT_VENV)
	$(SETFIT_VENV)/bin/python -m pip install --quiet torch==2.13.0 setfit==1.2.0 'transformers<5'
	touch $@

bench-pool: setup  ## labels for a pool, chosen or drawn at random; an hour, no LLM, goes on
	$(BENCH) pool

bench-imported: setup  ## a student of an LLM's logged answers against the LLM; half an hour, goes on
	$(BENCH) imported

bench-labelling: setup  ## how well the local teacher classifies, by the way it is asked; hours
	$(BENCH) labelling

bench-serving: setup  ## what a prediction costs, by the ways of serving the same student
	$(BIN)/pgkd models pull wordllama-256
	$(BENCH) serving

bench-growth: setup  ## how the cost of a prediction grows with classes, tokens and texts
	$(BIN)/pgkd models pull wordllama-256
	$(BENCH) growth

bench-server: setup  ## the server against its own predictor and a handler by hand
	$(BENCH) server

soak: setup  ## the server at twice what it can do, for ten minutes
	$(BENCH) soak

DOCS_VENV ?= .venv-docs

docs: $(DOCS_VENV)/.ready  ## the site, into site/; a broken link is an error
	$(DOCS_VENV)/bin/zensical build --strict --clean

$(DOCS_VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(DOCS_VENV)/bin/python -m pip install --quiet --group docs
	touch $@

reference: $(READY)  ## the pages of the docs that are made from the code
	$(BIN)/python -m docs.reference.make

images: setup  ## the pictures of the docs, from the run of make demo
	PGKD_OFFLINE=1 $(BIN)/python -m docs.images.make $(RUN)

clean:  ## remove the environment and what tools left behind
	rm -rf $(VENV) $(DOCS_VENV) $(SETFIT_VENV) site .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
