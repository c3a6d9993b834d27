# Octavo: a UEFI application that becomes a mini-kernel about memory.
#
#   make              build/BOOTX64.EFI, the host library and the host tools
#   make run          boot it in QEMU to its console (installs what is missing)
#   make debug        the same, stopped, with gdb attached and symbols loaded
#   make image        build/octavo.img: a GPT disk to boot from or write to a USB stick
#   make esp DIR=...  put Octavo onto a mounted EFI system partition (FORCE=1 replaces a foreign loader)
#   make test         all tests: test-host and test-boot; T=name picks tests by name
#   make bench        measure: host allocators side by side, the machine in instructions
#   make fuzz         run the fuzzers for SECONDS=60 each
#   make proof        machine proofs and the exhaustive small-scope runs
#   make lint         clang-tidy, cppcheck, shellcheck, include directions, style
#   make format       clang-format on every source
#   make clean        remove build/
#
# V=1 shows the commands; DEBUG=1 checks locks and more, in build/debug/. Everything made lies under build/.

CLANG ?= clang
LLD   ?= lld-link
NM    ?= llvm-nm
HOSTCC ?= gcc
PYTHON ?= /usr/bin/python3
T ?=
comma := ,
SECONDS ?= 60
B := build$(if $(DEBUG),/debug)
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' '$(1)' '$(2)')

WARN := -Wall -Wextra -Wshadow -Wconversion -Wmissing-prototypes -Wstrict-prototypes -Wundef -Wvla -Werror

.PHONY: all
all: $(B)/BOOTX64.EFI $(B)/HOSTILE.EFI host

# ---- the EFI image ----------------------------------------------------------------------------
# -fno-ms-extensions: without it gnu-efi's headers define every __attribute__ away (docs/decisions.md).
# -ffile-prefix-map and /Brepro: the same bytes from any folder at any time.
EFI_INC  ?= /usr/include/efi
EFI_ARCH := --target=x86_64-unknown-windows -fno-ms-extensions
EFI_CFLAGS := $(EFI_ARCH) -std=c11 -O2 -gdwarf-4 -ffreestanding -fshort-wchar -mno-red-zone \
  -mgeneral-regs-only -mno-stack-arg-probe -fno-strict-aliasing -fno-builtin-bcmp \
  $(if $(DEBUG),-DOCTAVO_DEBUG) -fno-stack-protector -fasynchronous-unwind-tables -ffile-prefix-map=$(CURDIR)=. -Wthread-safety $(WARN) -I.
EFI_SRC := $(sort $(wildcard efi/*.c core/*.c core/*/*.c mm/*.c core/x86/*.S))
EFI_SRC := $(filter-out core/user/%,$(EFI_SRC))
EFI_OBJ := $(EFI_SRC:%=$(B)/efi/%.obj) $(B)/efi/font.c.obj
FONTS   ?= /usr/share/consolefonts/spleen-8x16.psfu.gz /usr/share/consolefonts/spleen-16x32.psfu.gz
EFI_LDFLAGS := /subsystem:efi_application /entry:efi_main /nodefaultlib /dynamicbase /Brepro /opt:ref

$(B)/efi/efi/%.c.obj $(B)/efi/test/boot/hostile/%.c.obj: EFI_CFLAGS += -isystem $(EFI_INC) -isystem $(EFI_INC)/x86_64
# the loops of memcpy and memset must not become calls of memcpy and memset
$(B)/efi/core/str.c.obj: EFI_CFLAGS += -fno-builtin
$(B)/efi/%.c.obj: %.c Makefile
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CLANG) $(EFI_CFLAGS) -MMD -MP -c $< -o $@
$(B)/font.c: tools/mkfont.py Makefile
	$(call say,FONT,$@)
	$(Q)mkdir -p $(@D) && $(PYTHON) tools/mkfont.py $@ $(FONTS)
$(B)/efi/font.c.obj: $(B)/font.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CLANG) $(EFI_CFLAGS) -MMD -MP -c $< -o $@
$(B)/efi/%.S.obj: %.S Makefile
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D) && $(CLANG) $(EFI_ARCH) -I. -gdwarf-4 -ffile-prefix-map=$(CURDIR)=. -MMD -MP -c $< -o $@

# Linked three times: without names, to learn where the functions lie; with their table, for debuggers
# (build/octavo.debug has the DWARF); and the same again without DWARF, the image that boots.
link = $(Q)$(LLD) $(EFI_LDFLAGS) $(1) /out:$@ $(filter %.obj,$^)
$(B)/efi/nosyms.efi: $(EFI_OBJ) $(B)/efi/syms0.S.obj
	$(call say,LD,$@)
	$(call link,/debug:dwarf)
$(B)/efi/syms0.S: tools/symtab.py
	$(Q)mkdir -p $(@D) && $(PYTHON) tools/symtab.py </dev/null >$@
$(B)/efi/syms.S: $(B)/efi/nosyms.efi tools/symtab.py
	$(Q)$(NM) --defined-only $< | $(PYTHON) tools/symtab.py >$@
$(B)/efi/%.S.obj: $(B)/efi/%.S
	$(Q)$(CLANG) $(EFI_ARCH) -c $< -o $@
$(B)/octavo.debug: $(EFI_OBJ) $(B)/efi/syms.S.obj
	$(call say,LD,$@)
	$(call link,/debug:dwarf)
$(B)/BOOTX64.EFI: $(EFI_OBJ) $(B)/efi/syms.S.obj $(B)/octavo.debug
	$(call say,LD,$@)
	$(call link,)

# Firmware that misbehaves on purpose: wraps the system table, then starts Octavo.
HOSTILE_OBJ := $(patsubst %,$(B)/efi/%.obj,$(wildcard test/boot/hostile/*.c test/boot/hostile/*.S) core/fmt.c core/str.c)
$(B)/HOSTILE.EFI: $(HOSTILE_OBJ)
	$(call say,LD,$@)
	$(call link,)

# ---- the host: mm/ in a Linux process ---------------------------------------------------------
HOST_CFLAGS := -std=c11 -O2 -g -D_GNU_SOURCE $(WARN) -I.
SAN_CFLAGS  := -std=c11 -O1 -g -D_GNU_SOURCE -DOCTAVO_DEBUG $(WARN) -I. \
  -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# Files of core/ that ask nothing of the machine are tested on the host too.
CORE_PORTABLE := efi/config_parse.c core/selftest/port.c core/fmt.c core/dev/keymap.c $(addprefix core/console/,line.c term.c words.c)
LIB_SRC   := $(wildcard mm/*.c) $(CORE_PORTABLE) test/host/port_host.c
HOST_TOOLS := $(patsubst test/host/tool_%.c,$(B)/host/octavo-%,$(wildcard test/host/tool_*.c))
TESTS     := $(patsubst test/host/%.c,$(B)/san/%,$(wildcard test/host/test_*.c))
BENCH_HELP := test/bench/list_buddy.c test/bench/ptrc.c
TEST_HELP := $(filter-out test/host/port_host.c test/host/test_%.c test/host/tool_%.c,$(wildcard test/host/*.c)) $(BENCH_HELP)
BENCHES   := $(patsubst test/bench/bench_%.c,$(B)/host/bench-%,$(wildcard test/bench/bench_*.c))

.PHONY: host
host: $(B)/host/liboctavo.a $(HOST_TOOLS) $(B)/host/replay $(B)/host/liboctavo-malloc.so

$(B)/host/obj/%.o: %.c Makefile
	$(call say,HOSTCC,$<)
	$(Q)mkdir -p $(@D) && $(HOSTCC) $(HOST_CFLAGS) -MMD -MP -c $< -o $@
$(B)/san/obj/%.o: %.c Makefile
	$(call say,SAN,$<)
	$(Q)mkdir -p $(@D) && $(HOSTCC) $(SAN_CFLAGS) -MMD -MP -c $< -o $@

$(B)/host/liboctavo.a: $(LIB_SRC:%.c=$(B)/host/obj/%.o)
	$(Q)rm -f $@ && ar rcsD $@ $^
$(B)/san/liboctavo.a: $(LIB_SRC:%.c=$(B)/san/obj/%.o) $(TEST_HELP:%.c=$(B)/san/obj/%.o)
	$(Q)rm -f $@ && ar rcsD $@ $^
$(B)/host/octavo-map: $(B)/host/obj/test/host/map_csv.o
$(B)/host/octavo-%: $(B)/host/obj/test/host/tool_%.o $(B)/host/liboctavo.a
	$(Q)$(HOSTCC) -o $@ $^ -pthread
$(B)/host/bench-%: $(B)/host/obj/test/bench/bench_%.o $(BENCH_HELP:%.c=$(B)/host/obj/%.o) $(B)/host/liboctavo.a
	$(Q)$(HOSTCC) -o $@ $^ -pthread
$(B)/san/test_%: $(B)/san/obj/test/host/test_%.o $(B)/san/liboctavo.a
	$(Q)$(HOSTCC) -fsanitize=address,undefined -o $@ $^ -lcmocka -pthread
# Tests with several CPUs are built with ThreadSanitizer instead.
TSAN_CFLAGS := $(filter-out -fsanitize=address$(comma)undefined,$(SAN_CFLAGS)) -fsanitize=thread
$(B)/tsan/obj/%.o: %.c Makefile
	$(call say,TSAN,$<)
	$(Q)mkdir -p $(@D) && $(HOSTCC) $(TSAN_CFLAGS) -MMD -MP -c $< -o $@
$(B)/tsan/liboctavo.a: $(LIB_SRC:%.c=$(B)/tsan/obj/%.o) $(TEST_HELP:%.c=$(B)/tsan/obj/%.o)
	$(Q)rm -f $@ && ar rcsD $@ $^
$(B)/san/test_%_smp: $(B)/tsan/obj/test/host/test_%_smp.o $(B)/tsan/liboctavo.a
	$(Q)mkdir -p $(@D) && $(HOSTCC) -fsanitize=thread -o $@ $^ -lcmocka -pthread

# malloc on our heap, for LD_PRELOAD. Whole-program optimisation stands in for what the machine gets by
# inlining; initial-exec: a thread's CPU number must not need malloc.
MALLOC_SRC := $(wildcard test/host/malloc/*.c mm/*.c) test/host/port_host.c
MALLOC_CFLAGS := $(HOST_CFLAGS) -fPIC -flto -ftls-model=initial-exec -fvisibility=hidden -fno-builtin-malloc
REPLAY_SRC := test/bench/replay.c test/bench/mtrc.c test/host/heap_world.c test/host/port_host.c $(wildcard mm/*.c)
$(B)/host/pic/%.o: %.c Makefile
	$(Q)mkdir -p $(@D) && $(HOSTCC) $(MALLOC_CFLAGS) -MMD -MP -c $< -o $@
$(B)/host/liboctavo-malloc.so: $(MALLOC_SRC:%.c=$(B)/host/pic/%.o)
	$(call say,LD,$@)
	$(Q)$(HOSTCC) $(MALLOC_CFLAGS) -shared -o $@ $^ -pthread -ldl
$(B)/host/replay: $(REPLAY_SRC:%.c=$(B)/host/pic/%.o)
	$(call say,LD,$@)
	$(Q)$(HOSTCC) $(HOST_CFLAGS) -flto -o $@ $^ -pthread
# Each fuzz target twice: with libFuzzer, and as a test that replays its corpus.
FUZZERS := $(patsubst test/fuzz/fuzz_%.c,$(B)/fuzz/%,$(wildcard test/fuzz/fuzz_*.c))
TESTS   += $(FUZZERS:$(B)/fuzz/%=$(B)/san/test_fuzz_%)
$(B)/san/test_fuzz_%: $(B)/san/obj/test/fuzz/fuzz_%.o $(B)/san/obj/test/fuzz/replay.o $(B)/san/liboctavo.a
	$(Q)$(HOSTCC) -fsanitize=address,undefined -o $@ $^ -lcmocka -pthread
$(B)/fuzz/obj/%.o: %.c Makefile
	$(call say,FUZZ,$<)
	$(Q)mkdir -p $(@D) && $(CLANG) $(SAN_CFLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@
$(B)/fuzz/%: $(B)/fuzz/obj/test/fuzz/fuzz_%.o $(LIB_SRC:%.c=$(B)/fuzz/obj/%.o) $(TEST_HELP:%.c=$(B)/fuzz/obj/%.o)
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ -lcmocka -pthread
.SECONDARY:

-include $(shell find $(B) -name '*.d' 2>/dev/null)

# ---- starting it ------------------------------------------------------------------------------
# What needs packages calls tools/setup.sh first and builds in a second make: without clang even the
# list of dependencies may not exist yet. RUN='--mem 6G' passes options on to ovmf/run.sh.
RUN ?=
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
again = +$(Q)$(MAKE) $(if $(V),,-s) --no-print-directory -j$(JOBS)

.PHONY: run debug image esp
run:
	$(Q)tools/setup.sh build run
	$(again) $(B)/BOOTX64.EFI
	$(Q)ovmf/run.sh $(RUN)
debug:
	$(Q)tools/setup.sh build run debug
	$(again) $(B)/BOOTX64.EFI
	$(Q)tools/debug.sh $(RUN)
image: $(B)/octavo.img
$(B)/octavo.img: $(B)/BOOTX64.EFI tools/octavo.conf tools/mkimg.sh
	$(call say,IMAGE,$@)
	$(Q)tools/mkimg.sh $@
esp: $(B)/BOOTX64.EFI
	$(Q)tools/esp.sh $(if $(FORCE),--force) '$(DIR)'

# ---- tests and checks -------------------------------------------------------------------------
.PHONY: test test-host test-boot fuzz lint format
test: NEEDS = all $(TESTS)
test-host: NEEDS = host $(TESTS)
test-boot: NEEDS = $(B)/BOOTX64.EFI $(B)/HOSTILE.EFI
test test-host test-boot:
	$(Q)tools/setup.sh build run test
	$(again) $(NEEDS)
	$(Q)$(PYTHON) test/run.py $(if $(T),-k '$(T)') $(subst test-,,$(filter test-%,$@))
# Finds stay in build/fuzz/corpus; what crashes is left as build/fuzz/<name>-crash-*.
fuzz:
	$(Q)tools/setup.sh build test
	$(again) $(FUZZERS)
	$(Q)set -e; for f in $(FUZZERS:$(B)/fuzz/%=%); do mkdir -p $(B)/fuzz/corpus/$$f; \
	  $(B)/fuzz/$$f -max_total_time=$(SECONDS) -artifact_prefix=$(B)/fuzz/$$f- -print_final_stats=1 \
	  $(B)/fuzz/corpus/$$f test/fuzz/corpus/$$f; done
lint:
	$(Q)tools/setup.sh build run test lint
	$(Q)EFI_CFLAGS='$(EFI_CFLAGS) -isystem $(EFI_INC) -isystem $(EFI_INC)/x86_64' HOST_CFLAGS='$(HOST_CFLAGS)' tools/lint.sh
format:
	$(Q)tools/setup.sh lint
	$(Q)git ls-files '*.c' '*.h' | xargs clang-format -i

# ---- proofs ------------------------------------------------------------------------------------
.PHONY: proof
proof:
	$(Q)tools/setup.sh build proof
	$(Q)EFI_CFLAGS='$(EFI_CFLAGS)' HOST_CFLAGS='$(HOST_CFLAGS)' CC='$(HOSTCC)' PYTHON='$(PYTHON)' test/proof/run.sh $(B)/proof

.PHONY: help clean
help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile
clean:
	rm -rf $(B)
