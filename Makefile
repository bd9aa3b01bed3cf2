# SPDX-License-Identifier: GPL-2.0-only
#
# "make help" lists what there is.  Each target brings up to date whatever it
# needs; what takes long is done once and shows how far it is.

MAKEFLAGS += --no-print-directory
SHELL := /bin/bash

# make test: both; all else for this machine's kind, if nobody says
TEST_ARCH := $(or $(ARCH),all)
ARCH ?= $(patsubst aarch64,arm64,$(shell uname -m))
TESTS ?= *
S := scripts

# None of these is a file, and each script knows what is up to date.
KERNELS := kernel-plain kernel-debug kernel-modules kernel-kcsan kernel-bpf
.PHONY: help demo test test-long proof bench check shell prepare qemu clean \
	distclean $(KERNELS) kernel-stock tools selftests packages fetch \
	series series-check randconfig docs deb bare

help:
	@echo 'Nested translation and PASIDs on the VFIO type1 container'
	@echo
	@echo '  make demo          build all of it, boot, watch a device do DMA'
	@echo '                     through page tables that a guest owns'
	@echo '                     (ARCH=x86_64|arm64)'
	@echo '  make test          every test in emulated machines, of both kinds'
	@echo '                     (ARCH=x86_64|arm64 TESTS="glob...")'
	@echo
	@echo '  make test-long     the suites that take longer as well'
	@echo '  make check         style, sparse, documents, uAPI header, patches'
	@echo '  make proof         the emulated hardware, judged by a newer kernel'
	@echo '                     (ARCH=x86_64|arm64)'
	@echo '  make bench         what it costs, beside iommufd and without the series'
	@echo '                     (ARCH=x86_64|arm64)'
	@echo '  make bare          "make demo" and "make test" as a new user has'
	@echo '                     them, in a Debian that has nothing but git and'
	@echo '                     make (RELEASES="bookworm trixie")'
	@echo '  make shell         a shell in the test guest'
	@echo '                     (KERNEL=plain|debug|stock... ARCH=x86_64|arm64)'
	@echo
	@echo '  make deb           installable packages in build/deb, from your'
	@echo '                     configuration (CONFIG=FILE) or from Debian'"'"'s'
	@echo '  make docs          the documents as HTML, in build/docs'
	@echo '  make series        the patches as mails, in build/series'
	@echo '  make series-check  they apply and are the tree that is tested'
	@echo '                     (BUILD=1 compiles after each patch as well,'
	@echo '                     FULL=1 with our options on, as modules and off)'
	@echo '  make randconfig    the kernel with our options at random'
	@echo '                     (ARCH=x86_64|arm64 N=4 SEED=...)'
	@echo
	@echo '  make prepare       sources below build/: fetched, patched, linked'
	@echo '  make qemu          the QEMU with the test devices'
	@echo '  make kernel-plain  the kernel with the series'
	@echo '  make kernel-debug  the same with lockdep, KASAN, fault injection'
	@echo '  make kernel-modules  with VFIO as modules'
	@echo '  make kernel-kcsan  with the race detector; kernel-bpf: for bpftrace'
	@echo '  make kernel-stock  the debug kernel without the series'
	@echo '  make tools         vfio-nest, for this machine as well as the guest'
	@echo '  make selftests     the test programs'
	@echo '  make clean         remove build/ (caches stay: see README.md)'
	@echo '  make distclean     remove the caches too'
	@echo
	@echo 'One command in the guest:  tools/testing/vm/run.sh -- COMMAND'
	@echo
	@echo 'In the environment, or behind make:'
	@echo '  NO_INSTALL=1       install no package, only say which are missing'
	@echo '  VFIO_NESTING_CACHE=DIR'
	@echo '                     downloads, built QEMU and compiler cache; default'
	@echo '                     ~/.cache/vfio-nesting'
	@echo '  JOBS=N             compilers, and guests, at once; default: the'
	@echo '                     number of processors'

packages:
	@$(S)/host-packages build $(ARCH)

fetch: packages
	@$(S)/fetch linux >/dev/null && $(S)/fetch qemu >/dev/null

prepare: packages
	@$(S)/prepare linux stock qemu

qemu: packages
	@$(S)/build-qemu

$(KERNELS): packages
	@$(S)/build-kernel linux $(@:kernel-%=%)

kernel-stock: packages
	@$(S)/build-kernel stock debug

tools: packages
	@$(S)/build-user tools

selftests: packages
	@$(S)/build-user selftests

demo:
	@$(S)/outlook demo $(ARCH)
	@$(S)/host-packages build $(ARCH)
	@$(S)/demo

shell:
	@$(S)/shell --check $(KERNEL)
	@$(S)/host-packages build $(ARCH)
	@$(S)/shell $(KERNEL)

test test-long:
	@$(S)/outlook test $(TEST_ARCH)
	@$(S)/host-packages build $(TEST_ARCH) bare
	@ARCH= $(S)/test $(if $(findstring long,$@),--long) \
		--arch '$(TEST_ARCH)' '$(TESTS)'

bare:
	@$(S)/host-packages build bare
	@$(S)/bare $(RELEASES)

proof: packages
	@$(S)/proof

bench: packages
	@$(S)/bench

check:
	@$(S)/host-packages build check
	@$(S)/check

deb:
	@$(S)/host-packages build deb
	@CONFIG='$(CONFIG)' LOCALMOD='$(LOCALMOD)' DBG='$(DBG)' \
		DEBUG_INFO='$(DEBUG_INFO)' FLAVOUR='$(FLAVOUR)' $(S)/deb

docs:
	@$(S)/host-packages build docs
	@$(S)/docs

series: packages
	@$(S)/series

series-check: packages
	@$(S)/host-packages build check
	@BUILD='$(BUILD)' FULL='$(FULL)' $(S)/series-check

randconfig: packages
	@$(S)/randconfig $(or $(N),4) $(SEED)

clean:
	rm -rf build

distclean: clean
	@$(S)/clean-cache
