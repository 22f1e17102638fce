# SPDX-License-Identifier: GPL-2.0-or-later
#
# tgt-ng: a user-space SCSI target.
#
#   make                 build the programs into build/gcc
#   make check           everything that must pass, for one CC and SAN
#   make check-unit      unit tests only
#   make bench           what the lanes cost, then tgt-ng beside tgt: under a minute
#   make fuzz            run every fuzzer for FUZZ_SECONDS (default 60) each
#   make install         install to PREFIX (sbin, libexec/tgt, share/man) below DESTDIR
#   make help            this text
#
# Knobs: CC=gcc|clang  SAN=|asan|tsan|fuzz|cov  WERROR=1  V=1  PREFIX=/usr/local

CC      ?= gcc
ifeq ($(origin CC),default)
CC      := gcc
endif
SAN     ?=
PREFIX  ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60

FLAVOUR := $(CC)$(if $(SAN),-$(SAN))
B       := build/$(FLAVOUR)
GEN     := build/gen

CFLAGS  ?= -O2 -g
WARN    := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes \
	   -Wpointer-arith -Wformat=2 -Wno-unused-parameter $(if $(WERROR),-Werror)
HARDEN  := -fPIE -fstack-protector-strong
BASE    := -std=gnu11 -D_GNU_SOURCE -I. -I$(GEN) -MMD -MP -pthread
LDBASE  := -pie -pthread -Wl,-z,relro,-z,now,--as-needed

SAN_asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
SAN_tsan := -fsanitize=thread
SAN_fuzz := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
SAN_cov  := --coverage -O0 -DNDEBUG_COV
SANFLAGS := $(SAN_$(SAN))
ifeq ($(SAN),)
HARDEN  += -D_FORTIFY_SOURCE=2
endif
ALLCFLAGS = $(BASE) $(CFLAGS) $(HARDEN) $(WARN) $(SANFLAGS)

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2))

# ---- what is built -------------------------------------------------------

PROTOS    := worker control
GEN_C     := $(PROTOS:%=$(GEN)/proto/%.pb-c.c)
GEN_H     := $(GEN_C:.c=.h)
PROTO_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard proto/*.c)) \
	     $(PROTOS:%=$(B)/gen/proto/%.pb-c.o)

# A daemon is all of its folder; main.c is left out of the archive that the
# unit tests link.
CTL_MAINS := ctl/ctld.c ctl/tgt-ctl.c ctl/run.c
MAINS     := portal/main.c scsid/main.c storaged/main.c $(CTL_MAINS)
objs       = $(patsubst %.c,$(B)/%.o,$(filter-out $(MAINS),$(wildcard $(1)/*.c)))
LIBPROTO  := $(B)/libproto.a
ARCHIVES  := $(B)/portal.a $(B)/scsid.a $(B)/storaged.a $(B)/ctl.a

PROGRAMS  := tgt-portal tgt-scsid tgt-storaged tgt-ctld tgt-ctl tgt-run
BIN       := $(PROGRAMS:%=$(B)/%)

LIBS          := -lprotobuf-c -lev -lseccomp
LIBS_tgt-portal := -lisal
LIBS_tgt-ctld := -ljson-c
LIBS_tgt-ctl  := -ljson-c

UNIT  := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/test_*.c))
FUZZ  := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
SIM   := $(patsubst tests/sim/%.c,$(B)/tests/sim/%,$(wildcard tests/sim/sim_*.c))
BENCH := $(patsubst tests/bench/%.c,$(B)/tests/bench/%,$(wildcard tests/bench/bench_*.c))

.DEFAULT_GOAL := all
.PHONY: all help check check-unit check-layers check-style check-fuzz check-sim \
	check-e2e check-tsan bench fuzz sim install clean tests
.SECONDARY:
.DELETE_ON_ERROR:

all: $(BIN)

help:
	@sed -n '3,/^$$/s/^# \{0,1\}//p' Makefile

$(GEN)/proto/%.pb-c.c $(GEN)/proto/%.pb-c.h: proto/%.proto
	@mkdir -p $(GEN)/proto
	$(call say,GEN,$@)
	$(Q)protoc-c --c_out=$(GEN) -I. $<

$(B)/gen/%.o: $(GEN)/%.c | $(GEN_H)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(ALLCFLAGS) -w -c -o $@ $<

$(B)/%.o: %.c | $(GEN_H)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(ALLCFLAGS) -c -o $@ $<

$(LIBPROTO): $(PROTO_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/portal.a: $(call objs,portal)
$(B)/scsid.a: $(call objs,scsid)
$(B)/storaged.a: $(call objs,storaged)
$(B)/ctl.a: $(call objs,ctl)
$(ARCHIVES):
	@mkdir -p $(@D)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

link = $(CC) $(CFLAGS) $(SANFLAGS) $(LDBASE) $(LDFLAGS) -o $@ $(filter %.o,$^) \
	-Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBS) $(LIBS_$(@F))

$(B)/tgt-portal: $(B)/portal/main.o $(B)/portal.a $(LIBPROTO)
$(B)/tgt-scsid: $(B)/scsid/main.o $(B)/scsid.a $(LIBPROTO)
$(B)/tgt-storaged: $(B)/storaged/main.o $(B)/storaged.a $(LIBPROTO)
$(B)/tgt-ctld: $(B)/ctl/ctld.o $(B)/ctl.a $(LIBPROTO)
$(B)/tgt-ctl: $(B)/ctl/tgt-ctl.o $(B)/ctl.a $(LIBPROTO)
$(B)/tgt-run: $(B)/ctl/run.o $(B)/ctl.a $(LIBPROTO)
$(BIN):
	$(call say,LD,$@)
	$(Q)$(link)

# Unit tests, simulations and benchmarks link the pure parts of everything.
TOOLS := $(patsubst tests/tools/%.c,$(B)/tests/tools/%,$(wildcard tests/tools/*.c))
$(UNIT) $(SIM) $(BENCH) $(TOOLS): $(B)/%: $(B)/%.o $(ARCHIVES) $(LIBPROTO)
	$(call say,LD,$@)
	$(Q)$(link) -ljson-c -lisal -lm

# A fuzzer, linked either with libFuzzer or with the corpus replayer.
$(B)/tests/fuzz/replay_%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/replay.o $(ARCHIVES) $(LIBPROTO)
	$(call say,LD,$@)
	$(Q)$(link) -ljson-c -lisal
$(B)/tests/fuzz/run_%: $(B)/tests/fuzz/fuzz_%.o $(ARCHIVES) $(LIBPROTO)
	$(call say,LD,$@)
	$(Q)$(link) -fsanitize=fuzzer -ljson-c -lisal

tests: $(UNIT) $(SIM) $(BENCH) $(TOOLS) $(FUZZ:fuzz_%=$(B)/tests/fuzz/replay_%)

clean:
	rm -rf build

-include $(shell [ -d $(B) ] && find $(B) -name '*.d')

include tests/check.mk
