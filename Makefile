# Two commands are all it takes on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RUN ?= runs/helpdesk

.PHONY: help setup demo test test-slow check lock bench-round0 bench-mining bench-head bench-distill bench-weight bench-calls bench-labelling bench-serving clean

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
	@echo "  $(BIN)/pgkd show $(RUN)                     what was asked, kept and dropped, and why"
	@echo "  $(BIN)/pgkd predict $(RUN) \"my vpn drops\"   classify a text"
	@echo "  $(BIN)/pgkd init YOUR.csv                          then: $(BIN)/pgkd distill"

test: setup  ## all tests but the slow ones
	PGKD_OFFLINE=1 $(BIN)/python -m pytest

test-slow: setup  ## the slow ones
	PGKD_OFFLINE=1 $(BIN)/python -m pytest -m slow

check: $(READY)  ## style, types, import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: $(READY)  ## write what is installed now into constraints.txt
	( echo "# What was tested: every package of 'pgkd[dev]', pinned. Made by 'make lock'."; \
	  $(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' ) > constraints.txt

DATA ?= ../shared/data
CELLS ?= runs/bench

bench-round0: setup  ## how good is the student before any teacher is asked
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/student_round0.py --data-root $(DATA)

bench-mining: setup  ## mistakes out of fold against mistakes on the training rows
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/mining.py --data-root $(DATA)

bench-head: setup  ## how the head is chosen and calibrated
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/head_choice.py --data-root $(DATA)

bench-distill: setup  ## the table of the README; hours, resumes where it was stopped
	mkdir -p $(CELLS)
	for seed in 0 1 2; do \
	  sh benchmarks/distill.sh $(DATA) banking77 100 10 $$seed $(CELLS) && \
	  for data in banking77 agnews huffpost41_skew; do \
	    sh benchmarks/distill.sh $(DATA) $$data 1000 3 $$seed $(CELLS) || exit 1; \
	  done || exit 1; \
	done
	$(BIN)/python benchmarks/summarise.py $(CELLS) benchmarks/results/distill.json

bench-weight: setup  ## what written texts should weigh; after bench-distill
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/text_weight.py $(CELLS)/banking77-100-s? \
	  $(CELLS)/banking77-1000-s[01]

bench-calls: $(READY)  ## many calls at once against a loopback server, and what the books cost
	$(BIN)/python benchmarks/calls.py

bench-labelling: setup  ## how well the local teacher classifies, by the way it is asked; hours
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/labelling.py --data-root $(DATA) \
	  --out benchmarks/results/labelling.json

bench-serving: setup  ## what a prediction costs, by the ways of serving the same student
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/serving.py --teacher
	PGKD_OFFLINE=1 $(BIN)/python benchmarks/int8.py --data-root $(DATA)

clean:  ## remove the environment and what tools left behind
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
