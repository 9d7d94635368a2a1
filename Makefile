# Two commands: `make demo` shows it running, `make test` proves it. `make` alone lists the rest.
#
# Python and pip are the machine's: name another interpreter with `make demo PYTHON=python3.12`; pip's own
# configuration (an index, a folder of wheels) is honoured.

PYTHON ?= python3
RUN := .venv
DEV := .venv-dev
OUT ?= out
PREFIX ?= /usr/local
DESTDIR ?=

# On a terminal pip shows its progress; in a log only its errors matter.
PIP_NOISE := $(shell test -t 2 || echo -qq)
PIP := -m pip install $(PIP_NOISE) --disable-pip-version-check -c constraints.txt
# An NVIDIA device node (the second is a Jetson's).
GPU := $(firstword $(wildcard /dev/nvidiactl /dev/nvhost-gpu))

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench capi install uninstall bundle soak fresh clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(RUN)/.installed ## translate the shipped clip: video, picture and latency report in out/
	@$(RUN)/bin/python -m examples.bottling.demo --out $(OUT)

test: $(DEV)/.installed ## pass the test suite in the full development environment
	@OMP_NUM_THREADS=1 $(DEV)/bin/python -m pytest -q -rs --durations=10 -n auto --dist worksteal $(TESTS)

lint: $(DEV)/.installed ## ruff and mypy --strict
	@$(DEV)/bin/ruff check .
	@$(DEV)/bin/mypy

bench: $(DEV)/.installed ## time engines with pytest-benchmark
	@$(DEV)/bin/python -m pytest benchmarks --benchmark-only

capi: $(RUN)/.installed ## compile the C library, with its header, into build/capi
	@$(RUN)/bin/python -c 'import cffi' 2>/dev/null || $(RUN)/bin/python $(PIP) cffi
	@$(RUN)/bin/python -m runtime.capi.build --out build/capi

install: ## lay out programs, units, pages under DESTDIR/PREFIX (docs/operations.md)
	@deploy/install.sh install $(PREFIX) $(DESTDIR)

uninstall: ## remove them; what was configured and recorded stays
	@deploy/install.sh uninstall $(PREFIX) $(DESTDIR)

bundle: ## collect what a machine without a network needs; TARGET=x86-cpu|x86-rtx|orin-jp6
	@$(PYTHON) deploy/bundle.py $(or $(TARGET),x86-cpu) $(addprefix --engine ,$(ENGINES)) \
		$(if $(PYTHON_VERSION),--python $(PYTHON_VERSION))

soak: $(DEV)/.installed ## ten minutes of faults on a running stream; MINUTES=10
	@$(DEV)/bin/python -m benchmarks.soak --engine examples/bottling/cyclegan_int8.onnx --minutes $(or $(MINUTES),10)

fresh: ## prove `make demo` on a minimal Debian (root; needs debootstrap); FRESH="--test" for `make test` too
	@tests/fresh/run.sh $(FRESH)

clean: ## remove the environments and the outputs
	@rm -rf $(RUN) $(DEV) $(OUT) build *.egg-info

# $(1) = environment. The OpenCV wheel needs libGL, libxcb and libglib from the system, which minimal machines lack;
# the headless wheel of the same version needs nothing and has everything but windows.
define usable_opencv
@$(1)/bin/python -c 'import cv2' 2>/dev/null || { \
	echo "opencv-python does not load here (a system library is missing): using opencv-python-headless, no windows"; \
	$(1)/bin/python -m pip uninstall -qq --yes opencv-python && \
	$(1)/bin/python $(PIP) --no-deps --force-reinstall opencv-python-headless && \
	$(1)/bin/python -c 'import cv2'; }
endef

# $(1) = environment, $(2) = oldest minor version of Python 3.
define new_environment
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, $(2)))' || { \
	echo "$(PYTHON) is older than Python 3.$(2), which this needs: name another with PYTHON=..."; exit 2; }
@$(PYTHON) -m venv --help >/dev/null 2>&1 && $(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	echo "$(PYTHON) cannot make environments: install your system's python3-venv package"; exit 2; }
@$(1)/bin/python -c '' 2>/dev/null || { rm -rf $(1) && $(PYTHON) -m venv $(1); }
endef

$(RUN)/.installed: pyproject.toml constraints.txt
	@echo "installing into $(RUN) what running needs (about 200 MB to fetch, once)"
	$(call new_environment,$(RUN),10)
ifneq ($(GPU),)
	@echo "an NVIDIA GPU is here: adding TensorRT for RTX (about 100 MB)"
	@$(RUN)/bin/python $(PIP) -e '.[openvino,tensorrt-rtx]' || \
		echo "TensorRT for RTX does not install here: the demo will run on the CPU"
endif
	@$(RUN)/bin/python $(PIP) -e '.[openvino]'
	$(call usable_opencv,$(RUN))
	@touch $@

$(DEV)/.installed: pyproject.toml constraints.txt
	@echo "installing into $(DEV) the full development environment (about 1 GB to fetch, once)"
	$(call new_environment,$(DEV),11)
	@$(DEV)/bin/python $(PIP) -e '.[dev]'
	$(call usable_opencv,$(DEV))
	@touch $@
