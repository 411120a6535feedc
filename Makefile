# Two commands are all it takes on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RUN ?= runs/helpdesk

.PHONY: help setup demo test test-slow test-turn fuzz-runs test-docs test-ray check lock docs reference images clean \
  bench-quick bench-guidance bench-few-labels bench-tail bench-pool bench-pool-loop bench-full \
  bench-distill bench-round0 bench-recipes bench-setfit bench-prior bench-soft bench-spread \
  bench-stop bench-second-look bench-retraining bench-fine-tuning bench-mining bench-head \
  bench-weight bench-strong bench-weak bench-spending bench-attributes bench-calls bench-labelling bench-serving bench-growth \
  bench-server soak bench-report

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

test: setup  ## all tests but the slow ones, a process a core
	PGKD_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

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
	PGKD_OFFLINE=1 $(RAY_VENV)/bin/python -m pytest tests/bulk/test_ray.py

check: $(READY)  ## style, types, import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: $(READY)  ## write what is installed now into constraints.txt
	( echo "# What was tested: every package of 'pgkd[dev]', pinned. Made by 'make lock'."; \
	  $(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' ) > constraints.txt

DATA ?= $(firstword $(wildcard ../shared/data) data)
CELLS ?= runs/bench

bench-round0: setup  ## how good is the student before any teacher is asked
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/student_round0.py --data-root $(DATA)

RECIPES := PGKD_OFFLINE=1 $(BIN)/python benchmarks/recipes.py --data-root $(DATA)
SETFIT_VENV ?= .venv-setfit

BANK ?= $(firstword $(wildcard ../shared/bank) bank)
BANK_TEACHER ?= $(firstword $(wildcard ../shared/tools/bank_teacher.py) bank_teacher.py)
STRONG := OPENAI_API_KEY=none PGKD_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python benchmarks/strong.py \
  --data-root $(DATA) --serve '$(PYTHON) $(BANK_TEACHER) --bank $(BANK)/{data}.csv.gz \
  --known $(DATA)/{data}/train.csv.gz --wrong

bench-strong: setup  ## a strong teacher at 100 rows, seven sets; two hours, goes on
	$(STRONG) 0' --teacher strong --judge test

bench-weak: setup  ## the same, with four texts in ten of another class
	$(STRONG) .4' --teacher weak --judge test

bench-spending: setup  ## who gets the texts: by error, evenly, hard texts; minutes
	PGKD_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python benchmarks/spending.py --data-root $(DATA) --bank $(BANK)

bench-recipes: setup  ## frozen or fine-tuned, on eight sets; hours, goes on where it was stopped
	$(RECIPES) --arms lr frozen auto
	$(RECIPES) --arms lr frozen auto --judge test

bench-setfit: setup $(SETFIT_VENV)/.ready  ## SetFit on the same rows; hours, goes on
	$(RECIPES) --arms setfit --judge test --setfit-python $(SETFIT_VENV)/bin/python \
	  --setfit-iterations 5

$(SETFIT_VENV)/.ready: benchmarks/setfit_arm.py
	$(PYTHON) -m venv $(SETFIT_VENV)
	$(SETFIT_VENV)/bin/python -m pip install --quiet torch==2.13.0 setfit==1.2.0 'transformers<5'
	touch $@

bench-retraining: setup  ## what a round costs, in forward passes
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/retraining.py --data-root $(DATA)

bench-fine-tuning: setup  ## what fine-tuning may do without, or also do; four hours, resumable
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/fine_tuning.py without --data-root $(DATA)
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/fine_tuning.py also --data-root $(DATA)

bench-mining: setup  ## mistakes out of fold against mistakes on the training rows
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/mining.py --data-root $(DATA)

bench-prior: setup  ## should texts be kept from changing the class prior
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/prior.py --data-root $(DATA)

bench-stop: setup  ## which round's student a run should keep
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/stop_rule.py --data-root $(DATA) --rows 100 400 --seeds 0

bench-second-look: setup  ## what a text should weigh that its teacher reads once more; an hour
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/second_look.py --data-root $(DATA)

bench-soft: setup  ## a teacher's labels as distributions; an hour
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/soft_targets.py --data-root $(DATA)

bench-spread: setup  ## which of three times as many texts should be kept; half an hour
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/spread.py --data-root $(DATA)

bench-head: setup  ## how the head is chosen and calibrated
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/head_choice.py --data-root $(DATA)

# A grid of cells by name; its results, and its judged cells, kept in the repository.
grid = PGKD_OFFLINE=1 $(BIN)/pgkd bench benchmarks/$(1).yaml --data $(DATA) --out $(CELLS)/$(1)
written = --results benchmarks/results/$(1)
kept = $(written) --archive benchmarks/results/$(1).tar.xz

# Who has no data sets yet fetches the two that this one needs.
QUICK := $(foreach set,trec6 banking77,$(DATA)/$(set)/train.csv.gz)
$(QUICK): | $(READY)
	$(BIN)/python benchmarks/fetch.py $(notdir $(@D)) --to $(DATA)

bench-quick: setup $(QUICK)  ## a small benchmark with the local teacher; 15 to 20 minutes, resumable
	$(call grid,quick)

bench-guidance: setup  ## what guidance is worth where writing is perfect; no LLM
	$(call grid,guidance) $(call written,guidance)

bench-few-labels: setup  ## a hundred rows on nine data sets, the local teacher; hours, resumable
	$(call grid,few_labels) $(call kept,few_labels)
	$(call grid,few_labels_auto) $(call kept,few_labels_auto)
	$(BIN)/python benchmarks/summarise.py benchmarks/results/few_labels.json \
	  benchmarks/results/few_labels_auto.json
	$(BIN)/python benchmarks/compare.py benchmarks/results/few_labels.json \
	  benchmarks/results/few_labels_auto.json

bench-tail: setup  ## rare classes, the default against the paper's prompt; hours, resumable
	$(call grid,tail) $(call kept,tail)

POOL := PGKD_OFFLINE=1 $(BIN)/python benchmarks/pool_choice.py --data-root $(DATA)

bench-pool: setup  ## labels for a pool, chosen or drawn at random; an hour, no LLM, resumable
	$(POOL) --arms random margin badge coverage guided needs herding:0.1 herding:0.4
	$(POOL) --arms random guided --rounds 20 --seeds 0 1 2 --test \
	  --out benchmarks/results/pool_test.jsonl
	$(POOL) --arms random guided --seeds 0 1 2 --test --teacher held \
	  --data banking77 trec6 clinc150 stackoverflow20 --out benchmarks/results/pool_test_held.jsonl
	$(POOL) --arms random guided --seeds 0 1 2 --test --teacher full --data trec6 \
	  --out benchmarks/results/pool_test_full.jsonl

bench-pool-loop: setup  ## the same through the whole loop; hours
	$(call grid,pool) $(call written,pool)
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/pool_curve.py $(CELLS)/pool --data-root $(DATA)

bench-full: setup  ## the whole grid; days, resumable, see docs/benchmark.md
	$(call grid,full)

bench-distill: setup  ## the table of the README; hours, resumes where it was stopped
	$(call grid,distill) $(call written,distill)
	$(BIN)/python benchmarks/summarise.py benchmarks/results/distill.json

bench-weight: setup  ## what written texts should weigh; after bench-distill
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/text_weight.py \
	  $(CELLS)/distill/cells/banking77-100-s?-targeted-local/run \
	  $(CELLS)/distill/cells/banking77-1000-s[01]-targeted-local/run

bench-attributes: setup  ## texts with attributes drawn for each, or without; an hour, resumable
	$(call grid,attributes) $(call written,attributes)
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/text_weight.py \
	  --out benchmarks/results/attributes_weight.json \
	  $(CELLS)/attributes/cells/*-local/run

bench-calls: $(READY)  ## many calls at once against a loopback server, and what the books cost
	$(BIN)/python benchmarks/calls.py

bench-labelling: setup  ## how well the local teacher classifies, by the way it is asked; hours
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/labelling.py --data-root $(DATA) \
	  --out benchmarks/results/labelling.json

bench-serving: setup  ## what a prediction costs, by the ways of serving the same student
	$(BIN)/pgkd models pull wordllama-256
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/serving.py --teacher
	$(BIN)/python benchmarks/dollars.py
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/int8.py --data-root $(DATA)

bench-growth: setup  ## how the cost of a prediction grows with classes, tokens and texts
	$(BIN)/pgkd models pull wordllama-256
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/growth.py

bench-server: setup  ## the server against its own predictor and a handler by hand
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/server.py --budgets 384 768 3072

soak: setup  ## the server at twice what it can do, for ten minutes
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/soak.py --minutes 10

bench-report: setup  ## size of the demo's report, and how soon a browser shows it
	PGKD_OFFLINE=1 $(BIN)/python -m benchmarks.report $(RUN)

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
