/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The simulation of the slot protocol (tests/sim/sim.h): runs seeds, each a
 * small world with two portals, scsid, storaged and a store, in which
 * processes die anywhere; checks
 *
 *   every command is answered exactly once; no slot and no pool byte leaks;
 *   what the initiators saw is linearisable block by block, nothing
 *   acknowledged is lost, nothing cancelled comes back (history.c);
 *   nothing reaches the store after its command was answered, and what is
 *   with the store at one time is pairwise independent (store.c);
 *   everything ends within a bound of virtual time, without a lost wake-up.
 *
 *   sim_slots [--seeds N] [--seed FIRST] [--verbose] [--points]
 *             [--no-rangelock] [--no-drain] [--no-fence]
 *
 * Exit 0: all well and, over 20,000 seeds or more, every crash point was hit.
 * A failing seed is printed and is reproduced by --seed S --seeds 1 --verbose.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/sim/sim.h"

enum { ALL_POINTS_FROM = 20000 };

struct world W;

uint64_t
sim_rnd(void)
{
	uint64_t z = W.rng += 0x9e3779b97f4a7c15u; /* splitmix64 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

void
sim_fail(const char *fmt, ...)
{
	va_list ap;

	if (W.failed)
		return;
	W.failed = true;
	va_start(ap, fmt);
	vsnprintf(W.why, sizeof(W.why), fmt, ap);
	va_end(ap);
	sim_log("FAILED: %s", W.why);
}

void
sim_log(const char *fmt, ...)
{
	va_list ap;

	if (!W.opt.verbose)
		return;
	printf("%6llu ", (unsigned long long)W.steps);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

/* ---- one seed ---------------------------------------------------------------- */

static void
begin_seed(uint64_t seed, const struct control *opt)
{
	for (int p = 0; p < PORTALS; p++) {
		lane_sub_free(W.portal[p].sub);
		pool_free(W.portal[p].pool);
	}
	memset(&W, 0, sizeof(W));
	W.seed = seed;
	W.rng = seed * 0x2545f4914f6cdd1du;
	W.opt = *opt;
	W.cur = NOBODY;
	W.upper_slots = 4u << rnd(2);
	W.lower_slots = 2u << rnd(3);
	W.long_outage = rnd(50) == 0;
	W.lu = (struct lu){
		.name = "sim", .can_flush = true, .block_size = BLOCK, .blocks = BLOCKS,
		.max_transfer = 64 * BLOCK, .vendor = "SIM", .product = "SIM",
		.revision = "0", .serial = "0",
	};
	store_begin_seed();
	ctld_begin_seed();
	for (int p = 0; p < PORTALS; p++)
		portal_begin_seed(p);
	crash_begin_seed();
}

static bool
all_quiet(void)
{
	if (!W.proc[SCSID].alive || !W.proc[STORAGED].alive || !engine_serving(W.engine) ||
	    W.kills_left > 0)
		return false;
	for (int p = 0; p < PORTALS; p++)
		if (W.lane[p].life != L_OPEN || !portal_idle(&W.portal[p]))
			return false;
	return true;
}

/* Nobody can run: to the next timer.  false: there is none. */
static bool
skip_time(void)
{
	uint64_t next = ctld_next();

	if (W.proc[SCSID].alive)
		next = MIN(next, engine_deadline(W.engine));
	if (next == UINT64_MAX)
		return false;
	W.now = MAX(W.now, next);
	return true;
}

static bool
anybody(void)
{
	for (int i = 0; i < PROCS; i++)
		if (W.proc[i].alive && !W.proc[i].asleep && (i >= SCSID || W.portal[i].open))
			return true;
	return store_can_land();
}

static bool
lanes_wait(void)
{
	for (int p = 0; p < PORTALS; p++)
		if (W.lane[p].life != L_OPEN && (!W.lane[p].sent || W.lane[p].closed))
			return true;
	return false;
}

static void
run(void)
{
	static const uint8_t weight[16] = { PORTAL0, PORTAL0, PORTAL0, PORTAL1, PORTAL1, PORTAL1,
					    SCSID, SCSID, SCSID, SCSID, STORAGED, STORAGED,
					    STORAGED, PROCS, PROCS, PROCS + 1 };

	while (!W.failed && !all_quiet()) {
		uint8_t who = weight[rnd(16)];

		W.now += STEP_NS;
		if (++W.steps == STEPS_MAX) {
			sim_fail("not over after %u steps", STEPS_MAX);
			return;
		}
		if (who < PROCS)
			sim_step_one((enum proc_id)who);
		else if (who == PROCS)
			store_step();
		else
			ctld_step();
		if (W.kills_left && !W.portal[0].quota && !W.portal[1].quota)
			W.kills_left = 0;
		if (!anybody() && !lanes_wait() && !all_quiet() && !skip_time()) {
			sim_fail("everybody sleeps, but something is outstanding");
			return;
		}
	}
}

/* The last look at every block, for the history. */
static void
final_reads(void)
{
	W.final = true;
	W.crashes_left = 0;
	W.portal[0].quota = BLOCKS / XFER_MAX;
	W.proc[PORTAL0].asleep = false;
	run();
}

static void
check_leaks(void)
{
	struct lane_maps lower = lane_maps_of(-1, STORAGED);
	struct lane_submitter *s;

	for (unsigned i = 0; i < W.n_rec; i++)
		if (!W.rec[i].ended)
			sim_fail("command %u was never answered", i);
	for (int p = 0; p < PORTALS; p++) {
		if (pool_used(W.portal[p].pool))
			sim_fail("portal %d: pool bytes leaked", p);
		if (lane_sub_busy(W.portal[p].sub))
			sim_fail("portal %d: a slot leaked", p);
	}
	if (engine_busy(W.engine) || W.store.n_used || serve_inflight(W.serve))
		sim_fail("work is left");
	W.proc[SCSID].alive = W.proc[STORAGED].alive = false; /* over: their lane is ours */
	s = lane_sub_attach(&lower, W.lower_epoch + 1, false);
	if (!s || lane_sub_busy(s))
		sim_fail("a lower slot leaked");
	lane_sub_free(s);
}

static bool
run_seed(uint64_t seed, const struct control *opt)
{
	begin_seed(seed, opt);
	run();
	if (!W.failed)
		final_reads();
	if (!W.failed)
		check_leaks();
	if (!W.failed)
		history_check();
	if (W.failed)
		printf("seed %llu: %s (step %llu)\n", (unsigned long long)seed, W.why,
		       (unsigned long long)W.steps);
	return !W.failed;
}

/* ---- the program --------------------------------------------------------------- */

static uint64_t
number(const char *s)
{
	char *end;
	uint64_t v = strtoull(s ? s : "", &end, 10);

	if (!s || !*s || *end) {
		fprintf(stderr, "sim_slots: a number is missing\n");
		exit(2);
	}
	return v;
}

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int
main(int argc, char **argv)
{
	struct control opt = { 0 };
	uint64_t n = 1000, first = 1, commands = 0, steps = 0;
	double start = seconds();
	bool all_points = false, ok;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--seeds") && i + 1 < argc) {
			n = number(argv[++i]);
		} else if (!strcmp(argv[i], "--seed") && i + 1 < argc) {
			first = number(argv[++i]);
		} else if (!strcmp(argv[i], "--verbose")) {
			opt.verbose = true;
		} else if (!strcmp(argv[i], "--points")) {
			all_points = true;
		} else if (!strcmp(argv[i], "--no-rangelock")) {
			opt.no_rangelock = true;
		} else if (!strcmp(argv[i], "--no-drain")) {
			opt.no_drain = true;
		} else if (!strcmp(argv[i], "--no-fence")) {
			opt.no_fence = true;
		} else {
			fprintf(stderr, "sim_slots: unknown option %s\n", argv[i]);
			return 2;
		}
	}
	for (uint64_t s = first; s < first + n; s++) {
		if (!run_seed(s, &opt)) {
			printf("reproduce: sim_slots --seed %llu --seeds 1 --verbose%s%s%s\n",
			       (unsigned long long)s, opt.no_rangelock ? " --no-rangelock" : "",
			       opt.no_drain ? " --no-drain" : "",
			       opt.no_fence ? " --no-fence" : "");
			return 1;
		}
		commands += W.n_rec;
		steps += W.steps;
	}
	ok = crash_report(all_points, n >= ALL_POINTS_FROM);
	printf("%llu seeds, %llu commands, %llu steps, %.1f s\n", (unsigned long long)n,
	       (unsigned long long)commands, (unsigned long long)steps, seconds() - start);
	return !ok;
}
