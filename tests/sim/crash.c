/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Death.  Every call of scsid and of storaged into the lane code, and every
 * doorbell, goes through a hook (tests/sim/wraps): before and after it the
 * incarnation may end by longjmp, or another process may run first.
 *
 * Between two such calls a process touches nothing but its private memory and
 * pool bytes that no word speaks for yet, and within one the response or
 * request word is stored last and at once; so these are all the transitions.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scsid/rangelock.h"
#include "tests/sim/sim.h"

/* Under ASan the arenas are private memory like malloc's: red zones between
 * the objects, and what is dead is poisoned. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum { /* who dies, and in which phase of its life */
	SC_RUN = 1 << 0, SC_REC = 1 << 1, /* scsid serving, recovering */
	ST_RUN = 1 << 2, ST_REC = 1 << 3, /* storaged */
};

/* X(call, where a run of many seeds must have had a death before and after it) */
#define POINTS(X)                                                              \
	X(lane_srv_attach, SC_RUN | SC_REC | ST_REC)                           \
	X(lane_srv_scan, SC_REC | ST_REC)                                      \
	X(lane_srv_epoch, ST_RUN | ST_REC)                                     \
	X(lane_srv_serve, SC_RUN | SC_REC | ST_REC)                            \
	X(lane_srv_take, SC_RUN | ST_RUN)                                      \
	X(lane_srv_claim, SC_RUN | SC_REC | ST_RUN | ST_REC)                   \
	X(lane_srv_exec, SC_RUN | ST_RUN | ST_REC)                             \
	X(lane_srv_want, SC_RUN | SC_REC)                                      \
	X(lane_srv_done, SC_RUN | SC_REC | ST_RUN | ST_REC)                    \
	X(lane_srv_cancelled, SC_RUN | SC_REC | ST_RUN | ST_REC)               \
	X(lane_srv_publish, SC_RUN | SC_REC | ST_RUN | ST_REC)                 \
	X(lane_sub_attach, SC_REC)                                             \
	X(lane_sub_epoch, SC_RUN | SC_REC)                                     \
	X(lane_sub_get, SC_RUN)                                                \
	X(lane_sub_submit, SC_RUN)                                             \
	X(lane_sub_cancel, SC_REC)                                             \
	X(lane_sub_release, SC_RUN | SC_REC)                                   \
	X(lane_sub_publish, SC_RUN | SC_REC)                                   \
	X(lane_sub_poll, SC_RUN | SC_REC)                                      \
	X(lane_sub_rsp, SC_RUN | SC_REC)                                       \
	X(lane_sub_scan, SC_REC)                                               \
	X(lane_sub_state, SC_REC)                                              \
	X(bell, SC_RUN | SC_REC | ST_RUN | ST_REC)                             \
	X(step, SC_RUN | SC_REC | ST_RUN | ST_REC)

enum {
#define X(name, where) P_##name,
	POINTS(X)
#undef X
	N_POINTS
};

static const struct {
	const char *name;
	int where;
} points[N_POINTS] = {
#define X(fn, w) { .name = #fn, .where = w },
	POINTS(X)
#undef X
};

static const char *const roles[4] = { "scsid", "scsid recovering", "storaged",
				      "storaged recovering" };

/* [point][role][before, after] */
static uint64_t passed[N_POINTS][4][2], died[N_POINTS][4][2];

/* ---- private memory ---------------------------------------------------------- */

enum { ARENA = 1 << 20 };
static _Alignas(64) uint8_t arena[2][ARENA];
static size_t arena_used[2];

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);
void __wrap_free(void *p);

static int
arena_of(enum proc_id id)
{
	return id == SCSID ? 0 : id == STORAGED ? 1 : -1;
}

void *
arena_reset(enum proc_id id)
{
	int a = arena_of(id);

	ASAN_UNPOISON_MEMORY_REGION(arena[a], ARENA);
	memset(arena[a], 0xdd, arena_used[a]);
	ASAN_POISON_MEMORY_REGION(arena[a], ARENA);
	arena_used[a] = 0;
	return arena[a];
}

void *
__wrap_malloc(size_t n)
{
	int a = arena_of(W.cur);
	void *p;

	if (a < 0)
		return __real_malloc(n);
	if (n > ARENA - 128 - arena_used[a])
		abort();
	p = arena[a] + arena_used[a];
	arena_used[a] += ((n + 63) & ~(size_t)63) + 64;
	ASAN_UNPOISON_MEMORY_REGION(p, n);
	return p;
}

void *
__wrap_calloc(size_t n, size_t m)
{
	void *p;

	if (arena_of(W.cur) < 0)
		return __real_calloc(n, m);
	p = __wrap_malloc(n * m);
	return memset(p, 0, n * m);
}

void
__wrap_free(void *p)
{
	if ((uint8_t *)p >= arena[0] && (uint8_t *)p < arena[0] + sizeof(arena))
		return;
	__real_free(p);
}

/* ---- crash points -------------------------------------------------------------- */

/* Deaths come anywhere, and one at a chosen point: the first lead to the states
 * in which rare points can be met at all. */
static void
plan_any(void)
{
	W.countdown = 1 + (int)rnd(W.trouble ? 40 : rnd(4) ? 60 : 800);
}

static void
plan_point(void)
{
	do
		W.target = (int)rnd(N_POINTS * 8);
	while (!(points[W.target / 8].where & 1 << (W.target / 2 % 4)));
	W.target_hits = 1 + (int)rnd(rnd(2) ? 2 : 8);
}

void
crash_begin_seed(void)
{
	W.trouble = rnd(8) == 0;
	W.crashes_left = W.trouble ? 20 : rnd(8) ? 1 + (int)rnd(8) : 0;
	plan_any();
	plan_point();
}

/* Points that are seldom passed: one in how many passes is deadly; 0: not rare. */
static uint32_t
rare(int p, int role)
{
	if (role == 3 && (p == P_lane_srv_cancelled || p == P_lane_srv_epoch))
		return 3;
	return role == 1 && p == P_lane_srv_want ? 40 : 0;
}

static void
die(int p, int role, int after)
{
	enum proc_id id = W.cur;

	died[p][role][after]++;
	sim_log("  %s dies %s %s", roles[role], after ? "after" : "before", points[p].name);
	W.crashes_left--;
	longjmp(W.proc[id].death, 1);
}

static void
hook(int p, int after)
{
	int role;

	if (W.cur == NOBODY)
		return;
	if (W.depth < 2 && rnd(24) == 0) {
		enum proc_id other = (enum proc_id)rnd(PROCS);

		if (other != W.cur)
			sim_step_one(other);
	}
	if (W.cur != SCSID && W.cur != STORAGED)
		return;
	role = W.cur == SCSID ? (W.engine && engine_serving(W.engine) ? 0 : 1)
			      : (W.serve && serve_ready(W.serve) ? 2 : 3);
	passed[p][role][after]++;
	if (!W.crashes_left)
		return;
	if (--W.countdown == 0) {
		plan_any();
		die(p, role, after);
	}
	if (rare(p, role) && rnd(rare(p, role)) == 0)
		die(p, role, after);
	if (W.target == (p * 4 + role) * 2 + after && --W.target_hits == 0) {
		plan_point();
		die(p, role, after);
	}
}

void
crash_run(enum proc_id id, void (*fn)(void))
{
	enum proc_id saved = W.cur;
	int depth = W.depth;

	W.cur = id;
	W.depth = depth + 1;
	if (!setjmp(W.proc[id].death)) {
		hook(P_step, 0);
		fn();
		hook(P_step, 1);
	} else {
		ctld_died(id);
	}
	W.cur = saved;
	W.depth = depth;
}

bool
crash_report(bool verbose, bool require)
{
	unsigned n = 0, hit = 0;
	uint64_t all = 0;

	for (int p = 0; p < N_POINTS; p++)
		for (int role = 0; role < 4; role++)
			for (int after = 0; after < 2; after++) {
				bool must = points[p].where & 1 << role;
				uint64_t d = died[p][role][after];

				n += must;
				hit += must && d;
				all += d;
				if (verbose && (must || passed[p][role][after]))
					printf("%10llu deaths %12llu passed  %s %s %s%s\n",
					       (unsigned long long)d,
					       (unsigned long long)passed[p][role][after],
					       roles[role], after ? "after" : "before",
					       points[p].name, must ? "" : " (not required)");
				if (require && must && !d)
					printf("never hit: %s %s %s\n", roles[role],
					       after ? "after" : "before", points[p].name);
			}
	printf("%u of %u crash points hit, %llu deaths\n", hit, n, (unsigned long long)all);
	return !require || hit == n;
}

/* ---- the wraps --------------------------------------------------------------------- */

#define WRAP(type, name, params, args)                                         \
	type __real_##name params;                                             \
	type __wrap_##name params;                                             \
	type __wrap_##name params                                              \
	{                                                                      \
		type ret;                                                      \
                                                                               \
		hook(P_##name, 0);                                             \
		ret = __real_##name args;                                      \
		hook(P_##name, 1);                                             \
		return ret;                                                    \
	}

#define WRAP_VOID(name, params, args)                                          \
	void __real_##name params;                                             \
	void __wrap_##name params;                                             \
	void __wrap_##name params                                              \
	{                                                                      \
		hook(P_##name, 0);                                             \
		__real_##name args;                                            \
		hook(P_##name, 1);                                             \
	}

/* clang-format off */
WRAP(struct lane_server *, lane_srv_attach,
     (const struct lane_maps *maps, uint32_t epoch, bool fresh), (maps, epoch, fresh))
WRAP(int, lane_srv_scan, (struct lane_server *v, uint16_t slot, struct lane_taken *t),
     (v, slot, t))
WRAP_VOID(lane_srv_epoch, (struct lane_server *v, uint32_t epoch), (v, epoch))
WRAP_VOID(lane_srv_serve, (struct lane_server *v), (v))
WRAP(int, lane_srv_take, (struct lane_server *v, struct lane_taken *t), (v, t))
WRAP_VOID(lane_srv_claim, (struct lane_server *v, uint16_t slot, uint32_t seq), (v, slot, seq))
WRAP_VOID(lane_srv_exec, (struct lane_server *v, uint16_t slot), (v, slot))
WRAP_VOID(lane_srv_want, (struct lane_server *v, uint16_t slot, uint32_t want), (v, slot, want))
WRAP_VOID(lane_srv_done, (struct lane_server *v, uint16_t slot), (v, slot))
WRAP_VOID(lane_srv_cancelled, (struct lane_server *v, uint16_t slot), (v, slot))
WRAP(bool, lane_srv_publish, (struct lane_server *v), (v))
WRAP(struct lane_submitter *, lane_sub_attach,
     (const struct lane_maps *maps, uint32_t epoch, bool fresh), (maps, epoch, fresh))
WRAP_VOID(lane_sub_epoch, (struct lane_submitter *s, uint32_t epoch), (s, epoch))
WRAP(int, lane_sub_get, (struct lane_submitter *s), (s))
WRAP(uint32_t, lane_sub_submit, (struct lane_submitter *s, uint16_t slot), (s, slot))
WRAP_VOID(lane_sub_cancel, (struct lane_submitter *s, uint16_t slot), (s, slot))
WRAP_VOID(lane_sub_release, (struct lane_submitter *s, uint16_t slot), (s, slot))
WRAP(bool, lane_sub_publish, (struct lane_submitter *s), (s))
WRAP(int, lane_sub_poll, (struct lane_submitter *s, struct lane_event *ev, int max),
     (s, ev, max))
WRAP(int, lane_sub_rsp, (struct lane_submitter *s, uint16_t slot, struct lane_rsp *rsp),
     (s, slot, rsp))
WRAP(int, lane_sub_scan, (struct lane_submitter *s, uint16_t slot, uint32_t *seq,
			  enum lane_op *op, struct lane_req *req), (s, slot, seq, op, req))
WRAP(int, lane_sub_state, (struct lane_submitter *s, uint16_t slot), (s, slot))
/* clang-format on */

/* A doorbell: lane_ring.c writes to what it takes for an eventfd. */
ssize_t __real_write(int fd, const void *buf, size_t n);
ssize_t __wrap_write(int fd, const void *buf, size_t n);

ssize_t
__wrap_write(int fd, const void *buf, size_t n)
{
	if (fd < BELL_BASE)
		return __real_write(fd, buf, n);
	hook(P_bell, 0);
	W.proc[fd - BELL_BASE].asleep = false;
	hook(P_bell, 1);
	return (ssize_t)n;
}

/* ---- negative control: no range lock ------------------------------------------------- */

bool __real_rangelock_acquire(struct rangelock *rl, struct rangelock_req *req);
void __real_rangelock_release(struct rangelock *rl, struct rangelock_req *req,
			      struct list *granted);
bool __wrap_rangelock_acquire(struct rangelock *rl, struct rangelock_req *req);
void __wrap_rangelock_release(struct rangelock *rl, struct rangelock_req *req,
			      struct list *granted);

bool
__wrap_rangelock_acquire(struct rangelock *rl, struct rangelock_req *req)
{
	if (W.opt.no_rangelock && W.cur == SCSID) {
		list_init(&req->link);
		return true;
	}
	return __real_rangelock_acquire(rl, req);
}

void
__wrap_rangelock_release(struct rangelock *rl, struct rangelock_req *req, struct list *granted)
{
	if (!W.opt.no_rangelock || W.cur != SCSID)
		__real_rangelock_release(rl, req, granted);
}
