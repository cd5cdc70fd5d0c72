# `make train` and `make test` set up what they need in .venv, once, and then run. Nothing outside this folder changes.
#
#   PYTHON  the interpreter that makes .venv (an existing .venv of another version is then replaced)
#   ARGS    handed on, e.g.  make train ARGS="--steps 20"  or  make test ARGS="-k cholesky"

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip --quiet --quiet --disable-pip-version-check
# Every package is one of those that the lock names, checked against its hashes; the build backend, too.
LOCKED := $(PIP) install --require-hashes --requirement requirements/build.txt
# The tools of `make lock` and `make sbom` have an environment of their own, so that .venv holds what is used.
TOOLS := build/tools
PYTEST = $(VENV)/bin/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)
LOCK = $(TOOLS)/bin/uv pip compile --quiet --universal --generate-hashes --no-annotate --custom-compile-command 'make lock'

# An environment is only good for the folder and the Python version that it was made for, and only if its last
# installation came to its end: `made-for` is written then. Anything else is made anew.
version_of = $(shell $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
version := $(call version_of,$(VENV)/bin/python -I -S)
ifneq "$(origin PYTHON)" "file"
asked := $(call version_of,$(PYTHON))
else
asked := $(version)
endif
made_for := $(shell cat $(VENV)/made-for 2>/dev/null)
ifneq "$(made_for), asked $(asked)" "python $(or $(version),none) in $(CURDIR), asked $(version)"
$(VENV)/train $(VENV)/test: new-environment
endif

.DEFAULT_GOAL := help
.PHONY: help train test test-all coverage docs lock sbom clean new-environment
.NOTPARALLEL:

help:
	@echo 'make train   train the MLP on the digits with a hybrid Newton step; options in ARGS="..."'
	@echo 'make test    ruff, pyright and pytest (its options in ARGS="...")'
	@echo 'make test-all  the same with the long sweeps, for the night and before a release'
	@echo 'make coverage  which lines and branches of src the tests run, in build/coverage'
	@echo 'make docs    the documentation as a site, checked strictly, in build/docs'
	@echo 'make sbom    a bill of materials (CycloneDX) of the packages in .venv, in build/sbom.json'
	@echo 'make lock    requirements/ anew from pyproject.toml; ARGS=--upgrade takes the newest versions'
	@echo 'make clean   remove .venv and the caches; runs/ stays'
	@echo 'They set up .venv first where needed. It takes python3 (3.11 or newer); PYTHON=python3.12 names another.'

train: $(VENV)/train
	@$(VENV)/bin/qnewton train digits-mlp $(ARGS)

test: $(VENV)/test
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	@echo '$(VENV)/bin/pyright, meanwhile; what it says comes at the end'
	@mkdir -p build; $(VENV)/bin/pyright > build/pyright.txt 2>&1 & types=$$!; trap 'kill $$types' INT TERM; \
	echo $(PYTEST); $(PYTEST); tests=$$?; \
	wait $$types; types=$$?; echo 'pyright:'; cat build/pyright.txt; exit $$((tests ? tests : types))

test-all: $(VENV)/test
	@$(MAKE) test ARGS='-m "nightly or not nightly" $(ARGS)'

coverage: $(VENV)/test
	$(PIP) install '.[dev]'
	$(VENV)/bin/coverage erase
	$(VENV)/bin/coverage run -m pytest $(ARGS)
	$(VENV)/bin/coverage combine --quiet
	$(VENV)/bin/coverage html --quiet --directory build/coverage
	$(VENV)/bin/coverage report

docs: $(VENV)/test
	$(VENV)/bin/python -m sphinx --quiet --fail-on-warning --keep-going docs build/docs
	@echo 'site: build/docs/index.html'

# Made for all platforms and for Python from the oldest on (the test tools: from 3.11.5). Each file is a part of the test lock.
lock: $(TOOLS)
	$(LOCK) --python-version 3.11.5 $(ARGS) pyproject.toml --extra test --output-file requirements/test.txt
	$(LOCK) --python-version 3.11 --constraints requirements/test.txt pyproject.toml --extra lab --output-file requirements/lab.txt
	$(LOCK) --python-version 3.11 --constraints requirements/test.txt pyproject.toml --output-file requirements/core.txt
	$(LOCK) --python-version 3.11 --constraints requirements/test.txt $(ARGS) --group build --output-file requirements/build.txt
	$(LOCK) --python-version 3.11 $(ARGS) --group tools --output-file requirements/tools.txt

sbom: $(VENV)/train $(TOOLS)
	@$(TOOLS)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
	  --output-file build/sbom.json $(VENV)/bin/python
	@echo 'bill of materials: build/sbom.json'

$(TOOLS): requirements/tools.txt
	@rm -rf $@
	@$(PYTHON) -m venv $@
	@$@/bin/python -m pip --quiet --quiet install --require-hashes --requirement $< || { rm -rf $@; exit 1; }

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build dist
	find . -path ./runs -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps. They lie inside the environment, so that they go with it.
$(VENV)/train: pyproject.toml requirements/build.txt requirements/lab.txt
	@echo 'Installing qnewton and what it needs into $(VENV): once, about a minute.'
	$(call install,lab)
	@touch $@

$(VENV)/test: pyproject.toml requirements/build.txt requirements/test.txt
	@echo 'Installing qnewton, what it needs and the test tools into $(VENV): once, about a minute.'
	$(call install,test)
	@touch $(VENV)/train $@

# Bytecode is made on all cores, in place of pip's one; what is no Python of this version is left, as pip leaves it.
# Without build isolation the build backend is the locked one; without dependencies nothing comes that the lock has not.
define install
@rm -f $(VENV)/made-for
@$(LOCKED) --no-compile --requirement requirements/$(1).txt
@$(PIP) install --no-deps --no-build-isolation --editable .
@$(VENV)/bin/python -m compileall -qq -j 0 $(VENV)/lib || true
@$(VENV)/bin/python -c 'import sys; print("python %d.%d in" % sys.version_info[:2], sys.argv[1])' '$(CURDIR)' > $(VENV)/made-for
endef

new-environment:
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  found=$$($(PYTHON) -c 'import platform; print("Python", platform.python_version())' 2>/dev/null || echo 'not there'); \
	  echo "qnewton needs Python 3.11 or newer with its venv and ensurepip modules; '$(PYTHON)' is $$found." >&2; \
	  echo "Install that (Debian, Ubuntu: apt install python3 python3-venv), or name one that is there, e.g.:" \
	    "make $(or $(firstword $(MAKECMDGOALS)),train) PYTHON=python3.12" >&2; \
	  exit 1; }
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
