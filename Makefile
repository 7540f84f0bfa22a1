# make run: the energy of a real anion with the neural functional. make test: the quick tests.
# make slow: the others; make gpu: those that need an NVIDIA GPU, and GPU4PySCF and CuPy in .venv.
# All make a virtual environment in .venv when there is none, or when what it should hold changed.
# Tests run in JOBS processes of one thread each.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal
INSTALLED := $(VENV)/.installed

.PHONY: run test slow gpu lint clean

run: $(INSTALLED)
	$(BIN)/mlxc run --atom "O 0 0 0; H 0 0 0.964" --charge -1 --xc mlxc_rs --basis def2-tzvpd

test: $(INSTALLED)
	$(TESTS)

# Of GPU4PySCF only the Python code is run, which needs no GPU and nothing that it depends on.
slow: $(INSTALLED)
	$(BIN)/python -m pip install -c constraints.txt --no-deps gpu4pyscf-cuda12x
	$(TESTS) -m "slow and not gpu"

gpu: $(INSTALLED)
	$(BIN)/python -m pytest -m gpu

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/mypy

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist
