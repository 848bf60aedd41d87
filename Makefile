# Every target sets up what it needs: Python 3.11 or newer, pip and make are enough.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.jax_cache
export JAX_COMPILATION_CACHE_DIR

.PHONY: help demo test test-slow coverage check format bench-speed bench-hjb bench-grid bench-flows bench-gradient-flows bench-inventions clean

help:
	@echo "make demo         train with and without the HJB regulariser, write a report"
	@echo "make test         the test suite (test-slow: the long tests)"
	@echo "make coverage     lines and branches that the test suite goes through"
	@echo "make check        format, lint, types, floors"
	@echo "make format       apply the formatter"
	@echo "make bench-speed  speed beside other libraries, written to docs/results/speed.md"
	@echo "make bench-hjb    the HJB regulariser measured, written to docs/results/hjb.md"
	@echo "                  (QUICK=1: minutes; PROTEIN=file: with the UCI protein table)"
	@echo "make bench-grid   solvers against exact games and a peer, written to docs/results/grid.md"
	@echo "make bench-inventions  games that no recipe has, written to docs/results/inventions.md"
	@echo "make bench-flows  flows beside those of other authors, written to docs/results/flows.md"
	@echo "                  (PROTEIN=file: with the UCI protein table)"
	@echo "make bench-gradient-flows  gradient flows beside exact solutions"

$(VENV)/run.stamp: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/test.stamp: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@ $(VENV)/run.stamp

$(VENV)/bench.stamp: $(VENV)/test.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	touch $@

demo: $(VENV)/run.stamp
	$(BIN)/mfgen demo --out runs/demo

test: $(VENV)/test.stamp
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-slow: $(VENV)/test.stamp
	$(BIN)/python -m pytest -n 2 -m slow

coverage: $(VENV)/test.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[coverage]'
	$(BIN)/python -m pytest -n 2 -m "not slow" --cov --cov-report=term

check: $(VENV)/test.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports --no-cache

format: $(VENV)/test.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench-speed: $(VENV)/bench.stamp
	$(BIN)/python -m benchmarks.speed

bench-inventions: $(VENV)/run.stamp
	$(BIN)/python -m benchmarks.inventions

# Runs are kept in runs/hjb: a study that was stopped goes on where it was.
bench-hjb: $(VENV)/run.stamp
	PYTHONWARNINGS=ignore $(BIN)/python -m benchmarks.hjb $(if $(QUICK),--quick) $(if $(PROTEIN),--protein $(PROTEIN))

# The peer asks for an older numpy than it needs, so it is installed without what it asks for.
bench-grid: $(VENV)/bench.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps mfgsolver==0.4.4
	PYTHONWARNINGS=ignore $(BIN)/python -m benchmarks.grid

# torchcfm asks for a trainer, notebooks and pictures for its examples: without them as well.
bench-flows: $(VENV)/bench.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps torchcfm==1.0.7
	PYTHONWARNINGS=ignore $(if $(PROTEIN),PROTEIN=$(PROTEIN)) $(BIN)/python -m benchmarks.flows

bench-gradient-flows: $(VENV)/run.stamp
	PYTHONWARNINGS=ignore $(if $(CELLS),CELLS=$(CELLS)) $(if $(MNIST),MNIST=$(MNIST)) $(BIN)/python -m benchmarks.gradient_flows

clean:
	rm -rf $(VENV) .jax_cache .pytest_cache .ruff_cache
