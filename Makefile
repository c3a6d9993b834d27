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
NM    ?= nm
HOSTCC ?= gcc
PYTHON ?= /usr/bin/python3
SECONDS ?= 60
B := build$(if $(DEBUG),/debug)
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' '$(1)' '$(2)')

WARN := -Wall -Wextra -Wshadow -Wconversion -Wmissing-prototypes -Wstrict-prototypes -Wundef -Wvla -Werror

.PHONY: all host run debug image esp test test-host test-boot bench fuzz proof lint format help clean
all: $(B)/BOOTX64.EFI $(B)/HOSTILE.EFI host

# ---- the EFI image ----------------------------------------------------------------------------
# -fno-ms-extensions: without it gnu-efi's headers define every __attribute__ away (docs/decisions.md).
# -ffile-prefix-map and /Brepro: the same bytes from any folder at any time.
GNU_EFI  ?= -isystem /usr/include/efi -isystem /usr/include/efi/x86_64
EFI_ARCH := --target=x86_64-unknown-windows -fno-ms-extensions
EFI_CFLAGS := $(EFI_ARCH) -std=c11 -O2 -gdwarf-4 -ffreestanding -fshort-wchar -mno-red-zone -mgeneral-regs-only \
  -mno-stack-arg-probe -fno-strict-aliasing -fno-builtin-bcmp -fno-stack-protector -fasynchronous-unwind-tables \
  -ffile-prefix-map=$(CURDIR)=. $(if $(DEBUG),-DOCTAVO_DEBUG) -Wthread-safety $(WARN) -I. -Icore/world
EFI_SRC := $(filter-out core/user/%,$(sort $(wildcard efi/*.c core/*.c core/*/*.c mm/*.c core/x86/*.S)))
EFI_OBJ := $(EFI_SRC:%=$(B)/efi/%.obj) $(B)/efi/font.c.obj $(B)/efi/programs.S.obj
FONTS   ?= /usr/share/consolefonts/spleen-8x16.psfu.gz /usr/share/consolefonts/spleen-16x32.psfu.gz
EFI_LDFLAGS := /subsystem:efi_application /entry:efi_main /nodefaultlib /dynamicbase /Brepro /opt:ref

$(B)/efi/efi/%.c.obj $(B)/efi/test/boot/hostile/%.c.obj: EFI_CFLAGS += $(GNU_EFI)
# the loops of memcpy and memset must not become calls of memcpy and memset
$(B)/efi/core/str.c.obj: EFI_CFLAGS += -fno-builtin
$(B)/efi/%.c.obj: %.c Makefile
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CLANG) $(EFI_CFLAGS) -MMD -MP -c $< -o $@
$(B)/efi/font.c: tools/mkfont.py Makefile
	$(Q)mkdir -p $(@D) && $(PYTHON) tools/mkfont.py $@ $(FONTS)
$(B)/efi/%.S.obj: %.S Makefile
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D) && $(CLANG) $(EFI_ARCH) -I. -gdwarf-4 -ffile-prefix-map=$(CURDIR)=. -MMD -MP -c $< -o $@

# Octavo is linked three times: without names, to learn where the functions lie; with their table, for
# debuggers (octavo.debug has the DWARF); and the same again without DWARF, the image that boots.
# HOSTILE.EFI is firmware that misbehaves on purpose: it wraps the system table, then starts Octavo.
HOSTILE_OBJ := $(patsubst %,$(B)/efi/%.obj,$(wildcard test/boot/hostile/*.[cS]) core/fmt.c core/str.c)
$(B)/efi/nosyms.efi: $(EFI_OBJ) $(B)/efi/syms0.S.obj
$(B)/octavo.debug $(B)/BOOTX64.EFI: $(EFI_OBJ) $(B)/efi/syms.S.obj
$(B)/BOOTX64.EFI: | $(B)/octavo.debug
$(B)/HOSTILE.EFI: $(HOSTILE_OBJ)
$(B)/efi/nosyms.efi $(B)/octavo.debug $(B)/BOOTX64.EFI $(B)/HOSTILE.EFI:
	$(call say,LD,$@)
	$(Q)$(LLD) $(EFI_LDFLAGS) $(if $(filter %.EFI,$@),,/debug:dwarf) /out:$@ $(filter %.obj,$^)
$(B)/efi/syms0.S: tools/symtab.py
	$(Q)mkdir -p $(@D) && $(PYTHON) $< </dev/null >$@
$(B)/efi/syms.S: tools/symtab.py $(B)/efi/nosyms.efi
	$(Q)$(NM) --defined-only $(B)/efi/nosyms.efi >$@.names && $(PYTHON) $< <$@.names >$@
$(B)/efi/%.obj: $(B)/efi/%
	$(Q)$(CLANG) $(if $(filter %.c,$<),$(EFI_CFLAGS),$(EFI_ARCH)) -c $< -o $@

# ---- programs for ring 3: static position-independent ELF files, embedded in the image ----------
USER_CFLAGS := --target=x86_64-unknown-linux-gnu -std=c11 -O2 -ffreestanding -fno-builtin -fpie -fvisibility=hidden \
  -mgeneral-regs-only -fno-stack-protector -fno-asynchronous-unwind-tables -ffunction-sections $(WARN) -I.
USER_LIB := core/user/crt0.S $(patsubst %.c,$(B)/user/obj/%.o,$(wildcard core/user/ulib*.c) core/fmt.c core/str.c mm/err.c)
PROGRAMS := $(patsubst %.c,$(B)/user/%.elf,$(filter-out core/user/ulib%,$(wildcard core/user/*.c test/user/*.c)))
USER_LDFLAGS := -fuse-ld=lld -nostdlib -static-pie -s -Wl,--gc-sections,--build-id=none,-z,norelro,-z,separate-loadable-segments
$(B)/user/%.elf: $(B)/user/obj/%.o $(USER_LIB)
	$(Q)mkdir -p $(@D) && $(CLANG) $(USER_CFLAGS) $(USER_LDFLAGS) -o $@ $^
$(B)/efi/programs.S: tools/programs.py $(PROGRAMS)
	$(Q)mkdir -p $(@D) && $(PYTHON) $^ >$@

# ---- the host: mm/ in a Linux process ---------------------------------------------------------
HOST_CFLAGS := -std=c11 -O2 -g -D_GNU_SOURCE $(WARN) -I. -Itest/host/world
CHECKED     := -std=c11 -O1 -g -D_GNU_SOURCE -DOCTAVO_DEBUG $(WARN) -I. -Itest/host/world -fno-omit-frame-pointer
SAN_CFLAGS  := $(CHECKED) -fsanitize=address,undefined -fno-sanitize-recover=all
TSAN_CFLAGS := $(CHECKED) -fsanitize=thread
# Files of core/ that ask nothing of the machine are tested on the host too.
CORE_PORTABLE := efi/config_parse.c core/selftest/port.c core/fmt.c core/dev/keymap.c core/proc/elf.c core/x86/segment.c core/dev/gpt.c $(addprefix core/console/,line.c term.c words.c)
LIB_SRC   := $(wildcard mm/*.c) $(CORE_PORTABLE) test/host/port_host.c
HOST_TOOLS := $(patsubst test/host/tool_%.c,$(B)/host/octavo-%,$(wildcard test/host/tool_*.c))
TESTS     := $(patsubst test/host/%.c,$(B)/san/%,$(wildcard test/host/test_*.c))
BENCH_HELP := $(addprefix test/bench/,list_buddy.c ptrc.c frame_rivals.c)
TEST_HELP := $(filter-out test/host/port_host.c test/host/test_%.c test/host/tool_%.c,$(wildcard test/host/*.c)) test/host/malloc/threads.c $(BENCH_HELP)
# Optimised across files, as a kernel would be: a call of a port function costs as much as taking a frame.
BENCH_OBJ := $(patsubst %.c,$(B)/lto/obj/%.o,$(BENCH_HELP) test/host/frame_world.c $(LIB_SRC))
BENCHES   := $(patsubst test/bench/bench_%.c,$(B)/host/bench-%,$(wildcard test/bench/bench_*.c))
host: $(B)/host/liboctavo.a $(HOST_TOOLS) $(B)/host/replay $(B)/host/liboctavo-malloc.so
# objects: folder, word to show, compiler, flags
define objects
$(B)/$(1)/%.o: %.c Makefile
	$$(call say,$(2),$$<)
	$$(Q)mkdir -p $$(@D) && $(3) $(4) -MMD -MP -c $$< -o $$@
endef
$(eval $(call objects,user/obj,USER,$(CLANG),$(USER_CFLAGS)))
$(eval $(call objects,host/obj,HOSTCC,$(HOSTCC),$(HOST_CFLAGS)))
$(eval $(call objects,lto/obj,LTO,$(HOSTCC),$(HOST_CFLAGS) -flto))
$(eval $(call objects,san/obj,SAN,$(HOSTCC),$(SAN_CFLAGS)))
$(eval $(call objects,tsan/obj,TSAN,$(HOSTCC),$(TSAN_CFLAGS)))
$(eval $(call objects,fuzz/obj,FUZZ,$(CLANG),$(SAN_CFLAGS) -fsanitize=fuzzer-no-link))
$(B)/host/liboctavo.a: $(LIB_SRC:%.c=$(B)/host/obj/%.o)
$(B)/san/liboctavo.a: $(LIB_SRC:%.c=$(B)/san/obj/%.o) $(TEST_HELP:%.c=$(B)/san/obj/%.o)
$(B)/tsan/liboctavo.a: $(LIB_SRC:%.c=$(B)/tsan/obj/%.o) $(TEST_HELP:%.c=$(B)/tsan/obj/%.o)
%/liboctavo.a:
	$(Q)rm -f $@ && ar rcsD $@ $^
$(B)/host/octavo-map: $(B)/host/obj/test/host/map_csv.o
$(B)/host/octavo-%: $(B)/host/obj/test/host/tool_%.o $(B)/host/liboctavo.a
	$(Q)$(HOSTCC) -o $@ $^ -pthread
$(B)/host/bench-%: $(B)/lto/obj/test/bench/bench_%.o $(BENCH_OBJ)
	$(Q)$(HOSTCC) $(HOST_CFLAGS) -flto -o $@ $^ -pthread
$(B)/san/test_%: $(B)/san/obj/test/host/test_%.o $(B)/san/liboctavo.a
	$(Q)$(HOSTCC) -fsanitize=address,undefined -o $@ $^ -lcmocka -pthread
# Tests with several CPUs are built with ThreadSanitizer instead.
$(B)/san/test_%_smp: $(B)/tsan/obj/test/host/test_%_smp.o $(B)/tsan/liboctavo.a
	$(Q)mkdir -p $(@D) && $(HOSTCC) -fsanitize=thread -o $@ $^ -lcmocka -pthread
# malloc on our heap, for LD_PRELOAD. Whole-program optimisation stands in for what the machine gets by
# inlining; initial-exec: a thread's CPU number must not need malloc.
MALLOC_SRC := $(wildcard test/host/malloc/*.c mm/*.c) test/host/port_host.c
MALLOC_CFLAGS := $(HOST_CFLAGS) -fPIC -flto=auto -ftls-model=initial-exec -fvisibility=hidden -fno-builtin-malloc
REPLAY_SRC := test/bench/replay.c test/bench/mtrc.c test/host/heap_world.c test/host/port_host.c $(wildcard mm/*.c)
$(eval $(call objects,host/pic,HOSTCC,$(HOSTCC),$(MALLOC_CFLAGS)))
$(B)/host/liboctavo-malloc.so: $(MALLOC_SRC:%.c=$(B)/host/pic/%.o)
$(B)/host/replay: $(REPLAY_SRC:%.c=$(B)/host/pic/%.o)
$(B)/host/liboctavo-malloc.so $(B)/host/replay:
	$(call say,LD,$@)
	$(Q)$(HOSTCC) $(if $(filter %.so,$@),$(MALLOC_CFLAGS) -shared,$(HOST_CFLAGS) -flto=auto) -o $@ $^ -pthread -ldl
# Each fuzz target twice: with libFuzzer, and as a test that replays its corpus.
FUZZERS := $(patsubst test/fuzz/fuzz_%.c,$(B)/fuzz/%,$(wildcard test/fuzz/fuzz_*.c))
TESTS   += $(FUZZERS:$(B)/fuzz/%=$(B)/san/test_fuzz_%)
$(B)/san/test_fuzz_%: $(B)/san/obj/test/fuzz/fuzz_%.o $(B)/san/obj/test/fuzz/replay.o $(B)/san/liboctavo.a
	$(Q)$(HOSTCC) -fsanitize=address,undefined -o $@ $^ -lcmocka -pthread
$(B)/fuzz/%: $(B)/fuzz/obj/test/fuzz/fuzz_%.o $(LIB_SRC:%.c=$(B)/fuzz/obj/%.o) $(TEST_HELP:%.c=$(B)/fuzz/obj/%.o)
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ -lcmocka -pthread
.SECONDARY .DELETE_ON_ERROR:
-include $(shell find $(B) -name '*.d' 2>/dev/null)

# ---- starting it ------------------------------------------------------------------------------
# What needs packages calls tools/setup.sh first and builds in a second make: without clang even the
# list of dependencies may not exist yet. RUN='--mem 6G' passes options on to ovmf/run.sh.
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
again = +$(Q)$(MAKE) $(if $(V),,-s) --no-print-directory -j$(JOBS)
run debug:
	$(Q)tools/setup.sh build run $(filter debug,$@)
	$(again) $(B)/BOOTX64.EFI
	$(Q)$(if $(filter debug,$@),tools/debug.sh,ovmf/run.sh) $(if $(DEBUG),--efi $(B)/BOOTX64.EFI) $(RUN)
image: $(B)/octavo.img
$(B)/octavo.img: $(B)/BOOTX64.EFI tools/octavo.conf tools/mkimg.sh
	$(call say,IMAGE,$@)
	$(Q)tools/mkimg.sh $@
esp: $(B)/BOOTX64.EFI
	$(Q)tools/esp.sh $(if $(FORCE),--force) '$(DIR)'

# ---- tests and checks -------------------------------------------------------------------------
test: NEEDS = all $(TESTS)
test-host: NEEDS = host $(TESTS)
test-boot: NEEDS = $(B)/BOOTX64.EFI $(B)/HOSTILE.EFI
test test-host test-boot:
	$(Q)tools/setup.sh build run test
	$(again) $(NEEDS)
	$(Q)$(PYTHON) test/run.py $(if $(T),-k '$(T)') $(subst test-,,$(filter test-%,$@))
bench:
	$(Q)tools/setup.sh build run test bench
	$(again) all $(BENCHES)
	$(Q)test/bench/run.sh
# Finds stay in build/fuzz/corpus; what crashes is left as build/fuzz/<name>-crash-*.
fuzz:
	$(Q)tools/setup.sh build test
	$(again) $(FUZZERS)
	$(Q)set -e; for f in $(FUZZERS:$(B)/fuzz/%=%); do mkdir -p $(B)/fuzz/corpus/$$f; \
	  $(B)/fuzz/$$f -max_total_time=$(SECONDS) -artifact_prefix=$(B)/fuzz/$$f- -print_final_stats=1 \
	  $(B)/fuzz/corpus/$$f test/fuzz/corpus/$$f; done
lint:
	$(Q)tools/setup.sh build run test lint
	$(Q)EFI_CFLAGS='$(EFI_CFLAGS) $(GNU_EFI)' HOST_CFLAGS='$(HOST_CFLAGS)' tools/lint.sh
format:
	$(Q)tools/setup.sh lint
	$(Q)git ls-files '*.c' '*.h' | xargs clang-format -i
proof:
	$(Q)tools/setup.sh build proof
	$(Q)EFI_CFLAGS='$(EFI_CFLAGS)' HOST_CFLAGS='$(HOST_CFLAGS)' CC='$(HOSTCC)' PYTHON='$(PYTHON)' test/proof/run.sh $(B)/proof

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile
clean:
	rm -rf $(B)
