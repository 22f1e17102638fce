# SPDX-License-Identifier: GPL-2.0-or-later
#
# The targets that test; included by the Makefile.  `make check` is what a
# developer runs before a commit with the present CC and SAN; `tests/run` runs
# it in every flavour.

SIM_SEEDS ?= 20000
FLIPS     ?= 1000000
E2E       := $(filter-out lib kill_workers,$(patsubst tests/e2e/%.sh,%,$(wildcard tests/e2e/*.sh)))

.PHONY: check-flip

check: check-layers check-unit check-fuzz check-sim check-flip check-e2e

check-layers:
	@tests/check-layers

check-unit: $(UNIT)
	@tests/run-unit $(UNIT)

check-fuzz: $(FUZZ:fuzz_%=$(B)/tests/fuzz/replay_%)
	@for f in $(FUZZ:fuzz_%=%); do \
		$(B)/tests/fuzz/replay_$$f tests/fuzz/corpus/$$f || exit 1; done

# The linker puts hooks before and after every call into the lane code.
SIM_PARTS := crash ctld history portal store worker
$(B)/tests/sim/sim_slots: $(SIM_PARTS:%=$(B)/tests/sim/%.o) tests/sim/wraps
$(B)/tests/sim/sim_slots: LDFLAGS += -Wl,@tests/sim/wraps

check-sim: $(SIM)
	@$(B)/tests/sim/sim_slots --seeds $(SIM_SEEDS)
	@tests/sim/negative-controls $(B)/tests/sim/sim_slots

$(B)/tests/tools/iscsi_load: $(patsubst %.c,$(B)/%.o,$(wildcard tests/tools/load/*.c))

# Its flips are data races by design: under TSan it would report itself.
ifeq ($(SAN),tsan)
check-flip:
	@echo "flip_lane: not under TSan, whose races it makes"
else
check-flip: $(B)/tests/tools/flip_lane
	@$< $(FLIPS)
endif

check-e2e: all $(B)/tests/tools/iscsi_load
	@for t in $(E2E); do echo "== $$t"; \
		B=$(B) SIZE=128 tests/e2e/$$t.sh || exit 1; done
	@for v in scsid storaged both; do echo "== kill $$v"; \
		B=$(B) KILLS=20 tests/e2e/kill_workers.sh $$v || exit 1; done

bench: all $(BENCH) $(B)/tests/tools/iscsi_load
	@for b in $(BENCH); do echo "== $$(basename $$b)"; $$b || exit 1; done
	@echo "== side-by-side"; B=$(B) tests/bench/side-by-side --quick

# Coverage-guided fuzzing; needs clang: make CC=clang SAN=fuzz fuzz
fuzz:
ifneq ($(CC)-$(SAN),clang-fuzz)
	@$(MAKE) CC=clang SAN=fuzz B=$(B:gcc=clang)-fuzz fuzz
else
fuzz: $(FUZZ:fuzz_%=$(B)/tests/fuzz/run_%)
	@for f in $(FUZZ:fuzz_%=%); do \
		mkdir -p $(B)/corpus/$$f; \
		echo "== $$f, $(FUZZ_SECONDS) s"; \
		$(B)/tests/fuzz/run_$$f -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 \
			-artifact_prefix=$(B)/ $(B)/corpus/$$f tests/fuzz/corpus/$$f \
			> $(B)/fuzz-$$f.log 2>&1 || { tail -40 $(B)/fuzz-$$f.log; exit 1; }; \
		grep -E 'stat::number_of_executed_units' $(B)/fuzz-$$f.log; \
	done
endif

install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/libexec/tgt \
		$(DESTDIR)$(PREFIX)/share/man/man8
	install -m 755 $(B)/tgt-run $(B)/tgt-ctl $(DESTDIR)$(PREFIX)/sbin
	install -m 755 $(B)/tgt-ctld $(B)/tgt-portal $(B)/tgt-scsid $(B)/tgt-storaged \
		$(DESTDIR)$(PREFIX)/libexec/tgt
	install -m 644 $(wildcard docs/man/*.8) $(DESTDIR)$(PREFIX)/share/man/man8
