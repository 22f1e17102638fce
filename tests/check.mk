# SPDX-License-Identifier: GPL-2.0-or-later
#
# The targets that test; included by the Makefile.

check-unit: $(UNIT)
	@tests/run-unit $(UNIT)

bench: all $(BENCH)
	@for b in $(BENCH); do echo "== $$b"; $$b || exit 1; done

sim: $(SIM)
	@for s in $(SIM); do $$s || exit 1; done
