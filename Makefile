# make dashboard   installs what is needed and starts the finished dashboard (test9)
# make check       looks through the code without running it, in seconds
# make test        does the same, installs what the tests need, a browser included, and runs them
# make test-all    the same, and what steps have in common is tried at all of them
# make soak        the proof of test14b, for as long as one likes: make soak SECONDS=3600
# make bench       measures the speed, with the rivals in the same run
# make screenshots takes the README's pictures afresh
# make site        makes the README a small static site, in build/site/

PYTHON ?= python3
SECONDS := 60
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# The tests start Python a thousand times, so it may keep what it has compiled, even where a shell forbids it.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: dashboard check check-python check-javascript test test-all soak bench screenshots site clean

dashboard: .venv/installed
	cd test9 && ../$(BIN)/python server.py

check: check-python check-javascript

check-python: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Node runs the pages' side of it. A reader without one, or with an old one, can do without; CI cannot.
ifeq ($(shell command -v npm > /dev/null && node -p 'process.versions.node.localeCompare("20.19", "en", {numeric: true}) >= 0'),true)
check-javascript: tests/check/node_modules/installed
	tests/check/node_modules/.bin/eslint --config tests/check/eslint.config.mjs common/static test*/client.html
	tests/check/node_modules/.bin/tsc --project tests/check
else
check-javascript:
	@echo "The JavaScript is not checked: that takes Node 20.19 or newer, and npm"
	@test -z "$$CI"
endif

test test-all: check
	$(BIN)/python -m tests.browser
	$(BIN)/python -m pytest -n auto --dist worksteal $(if $(filter test-all,$@),--all)

soak: .venv/installed-test
	$(BIN)/python -m tests.browser
	$(BIN)/python -m tests.soak --seconds $(SECONDS)

bench: .venv/installed-bench
	$(BIN)/python -m tests.browser
	$(BIN)/python -m tests.benchmarks

screenshots: .venv/installed-test
	$(BIN)/python -m tests.browser
	$(BIN)/python -m tests.screenshots

site: .venv/installed-test
	$(BIN)/python -m tests.site

clean:
	rm -rf .venv tests/check/node_modules build *.egg-info .pytest_cache .ruff_cache .mypy_cache

.venv/pyvenv.cfg:
	$(PYTHON) -m venv .venv

.venv/installed: .venv/pyvenv.cfg pyproject.toml
	$(PIP) --editable .
	touch $@

# Of what the tests need, most is never imported; so Python compiles it when it is.
.venv/installed-test: .venv/pyvenv.cfg pyproject.toml
	$(PIP) --no-compile --editable ".[plotly,serial,site,test]"
	touch .venv/installed $@

.venv/installed-bench: .venv/installed-test
	$(PIP) --editable ".[bench]"
	touch $@

tests/check/node_modules/installed: tests/check/package.json
	npm install --prefix tests/check --no-audit --no-fund --loglevel=error
	touch $@
