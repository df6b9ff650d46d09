# Everything starts from the checkout with `python -m`: only the dependencies are installed, into .venv.
PYTHON ?= python3
HOST   ?= 127.0.0.1
PORT   ?= 8501
SEEDS  ?=
# of the tests; each takes about 2 GB, and one of them has the browser, which is busy with a dashboard meanwhile
WORKERS ?= 2

VENV := .venv
BIN  := $(VENV)/bin
RUN  := $(BIN)/python -m

# $(call install,EXTRA...): the dependencies of pyproject.toml and of these extras, in one command, so that pip
# chooses a torchvision and the torch that belongs to it together.
define install
$(BIN)/python -c 'import sys, tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
print(*p["dependencies"], *(d for e in sys.argv[1:] for d in p["optional-dependencies"][e]), sep="\n")' $(1) > $@.txt
$(RUN) pip install --disable-pip-version-check -r $@.txt
@touch $@
endef

# the modules of `core`, its packages whole; `core` itself only passes on names of theirs
DOCUMENTED := $(patsubst core/%/__init__.py,core.%,$(wildcard core/*/__init__.py)) \
  $(patsubst core/%.py,core.%,$(filter-out core/__init__.py,$(wildcard core/*.py)))

.DEFAULT_GOAL := help
.PHONY: help app test check demo-models bench docs chromium

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

app: $(VENV)/.installed ## start the dashboard (HOST=127.0.0.1 PORT=8501)
	@exec $(RUN) dashboard --host $(HOST) --port $(PORT)

test: $(VENV)/.installed-test chromium ## run every test, browser journeys included (WORKERS=2)
	$(RUN) pytest -n $(WORKERS) --dist loadfile

check: $(VENV)/.installed-test ## ruff, mypy, import-linter
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(BIN)/lint-imports

demo-models: $(VENV)/.installed ## train the demo models again, in about half an hour (SEEDS=1: one of each)
	$(RUN) core.training.train $(if $(SEEDS),--seeds $(SEEDS))

bench: $(VENV)/.installed-bench chromium ## measure speed, each figure as a ratio within one run
	$(RUN) pytest tests/benchmarks -s -o addopts=--import-mode=importlib

docs: $(VENV)/.installed-docs ## write the API reference of `core` into docs/api/
	$(RUN) pdoc --docformat google --math --output-directory docs/api $(DOCUMENTED)

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit("Boundary Atlas needs Python 3.11 or newer; name one with PYTHON=..." if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get update && apt-get install -y python3-venv; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: pyproject.toml | $(VENV)/.made
	$(call install,)

$(VENV)/.installed-test: pyproject.toml | $(VENV)/.made
	$(call install,test)
	@touch $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml | $(VENV)/.made
	$(call install,docs)

$(VENV)/.installed-bench: pyproject.toml | $(VENV)/.made
	$(call install,bench)
	@# alone: torchattacks asks for a requests of 2021, adv-lib for visdom, which does not build; neither needs them here
	$(RUN) pip install --disable-pip-version-check --no-deps "adv-lib>=0.2.8" "torchattacks>=3.5.1"

# The tests look in CHROMIUM, then on PATH, then for Playwright's own browser.
chromium: $(VENV)/.installed-test
	@if [ -n "$$CHROMIUM" ] || command -v chromium >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && grep -qs '^ID=debian' /etc/os-release; then \
	  apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y chromium; \
	else $(RUN) playwright install chromium $$([ "$$(id -u)" = 0 ] && [ "$$(uname)" = Linux ] && echo --with-deps); fi
