# The loop: `make check` (seconds: form, types, order), `make quick` (two minutes: what needs no
# TensorFlow), `make test` (everything but the full-size models, in both environments).
PYTHON ?= python3
DESKTOP := .venv
DEVICE := .venv-device
PACKAGES := runtime tflite_models export benchmarks android_harness
FRAMEWORKS := tensorflow torch transformers
# A file's tests stay together: they share opened models.
ON_ALL_CORES := --numprocesses=logical --dist=loadfile

# The phone's tests: Android's client, an emulator, and a shell and tools as on the phone.
DEVICE_PACKAGES := adb qemu-user-static mksh toybox

.PHONY: quickstart install check docs quick test test-slow device-tools types-tree clean

quickstart: install
	$(DESKTOP)/bin/pocketllm quickstart

install: $(DESKTOP)/installed

# Form, lint, types, the order of imports, and that the docs say what the code does.
check: $(DESKTOP)/installed types-tree
	$(DESKTOP)/bin/ruff format --check --quiet .
	$(DESKTOP)/bin/ruff check --quiet .
	$(DESKTOP)/bin/pyright
	$(DESKTOP)/bin/python -m pytest -q -m "not desktop and not slow" tests/packaging tests/docs

# docs/cli.md from every command's --help.
docs: $(DESKTOP)/installed
	$(DESKTOP)/bin/python docs/generate_cli.py

# The device's environment without the emulated phone.
quick: $(DEVICE)/installed
	$(DEVICE)/bin/python -m pytest $(ON_ALL_CORES) -m "not desktop and not slow" \
	    --ignore=tests/android

# Desktop: the exporter, plots, and their tests. Device: what a phone holds, and the tests of it: they
# run where nothing else is installed, and once (`pytest` in the desktop environment runs all).
test: $(DESKTOP)/installed $(DEVICE)/installed device-tools
	$(DESKTOP)/bin/python -m pytest $(ON_ALL_CORES) -m "desktop and not slow"
	$(DEVICE)/bin/python -m pytest $(ON_ALL_CORES) -m "not desktop and not slow"

# Full-size models: about 12 GB of memory, 10 GB of disk and some 10 minutes.
test-slow: $(DESKTOP)/installed
	$(DESKTOP)/bin/python -m pytest -m slow -rP

# Without the right to install them, the tests that need them are skipped and say so.
device-tools:
	@dpkg -s $(DEVICE_PACKAGES) >/dev/null 2>&1 \
	|| { [ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -qy --no-install-recommends $(DEVICE_PACKAGES); } \
	|| echo "note: the device's tests need: sudo apt-get install --no-install-recommends $(DEVICE_PACKAGES)"

# What pyright reads: our packages under their import names, since it cannot see editable installs,
# and the frameworks as untyped, since reading their types takes longer than checking ours.
types-tree:
	@mkdir -p build/types/packages/pocketllm $(addprefix build/types/frameworks/,$(FRAMEWORKS))
	@for package in $(PACKAGES); do \
	    ln -sfn ../../../../$$package build/types/packages/pocketllm/$$package; done
	@for name in $(FRAMEWORKS); do \
	    echo 'def __getattr__(name: str): ...' > build/types/frameworks/$$name/__init__.pyi; done

$(DESKTOP)/installed: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 12) and print("note: tflite-runtime has wheels up to Python 3.11; here only the engine litert is installed")'
	$(PYTHON) -m venv $(DESKTOP)
	$(DESKTOP)/bin/pip install --quiet --editable '.[export,report,reference,test,dev]'
	$(DESKTOP)/bin/pip check
	touch $@

$(DEVICE)/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(DEVICE)
	$(DEVICE)/bin/pip install --quiet --editable '.[test]'
	$(DEVICE)/bin/pip check
	touch $@

clean:
	rm -rf $(DESKTOP) $(DEVICE) build pocketllm.egg-info quickstart
