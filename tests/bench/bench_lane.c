/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the lanes of a chain cost: submitter -> middle -> server and back, three
 * processes on one core that sleep in epoll on eventfd doorbells, as portal,
 * scsid and storaged do.  Every request is checked at both borders and copied
 * once a hop; nothing else is done with it.
 *
 *	bench_lane [CPU]
 */
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "proto/util.h"
#include "tests/unit/lane_rig.h"

enum { SLOTS = 64, BATCH = 64, ROLES = 3, SUBMITTER = 0, MIDDLE = 1, SERVER = 2 };

struct report {
	uint64_t cpu_ns;
	uint64_t bells;
};

/* Shared by the three. */
static struct shared {
	atomic_bool stop;
	struct report of[ROLES];
} *sh;

static struct lane_rig upper, lower;
static const struct lane_pool_info pools[] = { { 1, 1 << 20 } };

static _Noreturn void
die(const char *what)
{
	perror(what);
	_exit(1);
}

static uint64_t
now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int
watch(int fd, int fd2)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int ep = epoll_create1(EPOLL_CLOEXEC);

	if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) ||
	    (fd2 >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, fd2, &ev)))
		die("epoll");
	return ep;
}

static void
doze(int ep)
{
	struct epoll_event ev[2];

	if (epoll_wait(ep, ev, 2, -1) < 0 && errno != EINTR)
		die("epoll_wait");
}

/* ---- submitter ---------------------------------------------------------------- */

static void
fill_scsi(struct lane_req *req)
{
	req->kind = LANE_SCSI;
	req->n_in = 1;
	req->in[0] = (struct lane_ext){ 1, 4096, 0 };
	req->u.scsi.edtl_in = 4096;
	req->u.scsi.cdb_len = 16;
	req->u.scsi.cdb[0] = 0x88; /* READ(16), SBC-4 5.16 */
}

static void
run_submitter(unsigned depth, unsigned long total, struct report *r)
{
	struct lane_submitter *s = lane_sub_attach(&upper.sub, 1, true);
	unsigned long submitted = 0, done = 0;
	int ep = watch(upper.bell_sub, -1);
	uint64_t cpu;

	if (!s)
		die("attach");
	cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	while (done < total) {
		struct lane_event ev[BATCH];
		struct lane_rsp rsp;
		int n;

		while (submitted < total && submitted - done < depth) {
			int slot = lane_sub_get(s);

			fill_scsi(lane_sub_req(s, (uint16_t)slot));
			lane_sub_submit(s, (uint16_t)slot);
			submitted++;
		}
		lane_sub_publish(s);
		n = lane_sub_poll(s, ev, BATCH);
		for (int i = 0; i < n; i++) {
			if (lane_sub_rsp(s, ev[i].slot, &rsp) || rsp.in_len != 4096)
				die("response");
			lane_sub_release(s, ev[i].slot);
			done++;
		}
		if (n < 0)
			die("poll");
		if (!n && lane_sub_sleep(s)) {
			doze(ep);
			lane_sub_wake(s);
		}
	}
	r->cpu_ns = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	r->bells = lane_sub_stats(s)->bells;
}

/* ---- middle --------------------------------------------------------------------- */

static int
pass_down(struct lane_server *v, struct lane_submitter *s, uint16_t *upper_slot)
{
	static const struct lane_limits lim = {
		.pools = pools, .n_pools = 1, .kinds = 1u << LANE_SCSI,
	};
	static struct lane_taken t;
	int n = 0;

	while (n < BATCH && lane_srv_take(v, &t) == 1) {
		struct lane_req *req;
		int slot;

		if (lane_req_check(&lim, &t.req) || (slot = lane_sub_get(s)) < 0)
			die("request");
		lane_srv_claim(v, t.slot, t.seq);
		upper_slot[slot] = t.slot;
		req = lane_sub_req(s, (uint16_t)slot);
		req->kind = LANE_BLK;
		req->n_in = 1;
		req->in[0] = t.req.in[0];
		req->u.blk = (struct lane_blk){
			.op = BLK_READ, .len = 4096, .tag = { 1, t.slot, 0, t.seq, 1 },
		};
		lane_srv_exec(v, t.slot);
		lane_sub_submit(s, (uint16_t)slot);
		n++;
	}
	lane_sub_publish(s);
	return n;
}

static int
pass_up(struct lane_server *v, struct lane_submitter *s, const uint16_t *upper_slot)
{
	struct lane_event ev[BATCH];
	int n = lane_sub_poll(s, ev, BATCH);

	for (int i = 0; i < n; i++) {
		struct lane_rsp rsp;

		if (lane_sub_rsp(s, ev[i].slot, &rsp) || rsp.error)
			die("response");
		lane_sub_release(s, ev[i].slot);
		lane_srv_rsp(v, upper_slot[ev[i].slot])->in_len = rsp.in_len;
		lane_srv_done(v, upper_slot[ev[i].slot]);
	}
	lane_srv_publish(v);
	return n;
}

static void
run_middle(struct report *r)
{
	struct lane_server *v = lane_srv_attach(&upper.srv, 1, true);
	struct lane_submitter *s = lane_sub_attach(&lower.sub, 1, true);
	uint16_t upper_slot[SLOTS];
	int ep = watch(upper.bell_srv, lower.bell_sub);
	uint64_t cpu;

	if (!v || !s)
		die("attach");
	lane_srv_serve(v);
	cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	while (!atomic_load_explicit(&sh->stop, memory_order_relaxed)) {
		if (pass_down(v, s, upper_slot) + pass_up(v, s, upper_slot))
			continue;
		if (lane_srv_sleep(v) && lane_sub_sleep(s))
			doze(ep);
		lane_srv_wake(v);
		lane_sub_wake(s);
	}
	r->cpu_ns = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	r->bells = lane_srv_stats(v)->bells + lane_sub_stats(s)->bells;
}

/* ---- server ----------------------------------------------------------------------- */

static void
run_server(struct report *r)
{
	static const struct lane_limits lim = {
		.pools = pools, .n_pools = 1, .kinds = 1u << LANE_BLK, .store_size = 1 << 20,
	};
	struct lane_server *v = lane_srv_attach(&lower.srv, 1, true);
	static struct lane_taken t;
	int ep = watch(lower.bell_srv, -1);
	uint64_t cpu;

	if (!v)
		die("attach");
	lane_srv_serve(v);
	cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	while (!atomic_load_explicit(&sh->stop, memory_order_relaxed)) {
		int n = 0;

		while (n < BATCH && lane_srv_take(v, &t) == 1) {
			if (lane_req_check(&lim, &t.req))
				die("request");
			lane_srv_claim(v, t.slot, t.seq);
			lane_srv_exec(v, t.slot);
			lane_srv_rsp(v, t.slot)->in_len = 4096;
			lane_srv_done(v, t.slot);
			n++;
		}
		lane_srv_publish(v);
		if (!n && lane_srv_sleep(v)) {
			doze(ep);
			lane_srv_wake(v);
		}
	}
	r->cpu_ns = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	r->bells = lane_srv_stats(v)->bells;
}

/* ------------------------------------------------------------------------------------ */

static pid_t
start(void (*run)(struct report *), struct report *r)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (!pid) {
		run(r);
		_exit(0);
	}
	return pid;
}

static void
bench(unsigned depth, unsigned long total)
{
	const struct report *r = sh->of;
	const uint64_t one = 1;
	uint64_t began, wall;
	int bad = 0, status;
	pid_t pid[2];

	rig_shared(&upper, SLOTS);
	rig_shared(&lower, SLOTS);
	memset(sh, 0, sizeof(*sh));
	pid[0] = start(run_middle, &sh->of[MIDDLE]);
	pid[1] = start(run_server, &sh->of[SERVER]);
	began = now(CLOCK_MONOTONIC);
	run_submitter(depth, total, &sh->of[SUBMITTER]);
	wall = now(CLOCK_MONOTONIC) - began;
	atomic_store(&sh->stop, true);
	bad |= write(upper.bell_srv, &one, sizeof(one)) != sizeof(one);
	bad |= write(lower.bell_srv, &one, sizeof(one)) != sizeof(one);
	for (int i = 0; i < 2; i++)
		bad |= waitpid(pid[i], &status, 0) != pid[i] || status;
	rig_shared_done(&upper);
	rig_shared_done(&lower);
	if (bad)
		die("bench_lane");

	double us = 1e3 * (double)total;

	printf("%4u  %10.0f  %8.3f  %9.3f %8.3f %8.3f  %8.3f\n", depth,
	       (double)total * 1e9 / (double)wall,
	       (double)(r[0].cpu_ns + r[1].cpu_ns + r[2].cpu_ns) / us,
	       (double)r[SUBMITTER].cpu_ns / us, (double)r[MIDDLE].cpu_ns / us,
	       (double)r[SERVER].cpu_ns / us,
	       (double)(r[0].bells + r[1].bells + r[2].bells) / (double)total);
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	static const struct { unsigned depth; unsigned long total; } rows[] = {
		{ 1, 50000 }, { 2, 100000 }, { 4, 200000 }, { 8, 300000 }, { 32, 1000000 },
	};
	cpu_set_t set;
	int cpu = argc > 1 ? atoi(argv[1]) : sched_getcpu();

	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sh == MAP_FAILED)
		die("mmap");
	printf("A 4 KiB READ through two lanes and back: submitter, middle, server, three processes\n"
	       "on CPU %d.  No data moves.  QD: commands in flight; CPU: microseconds a command;\n"
	       "wake-ups: doorbells that any of the three had to write, a command.\n\n", cpu);
	printf("  QD  commands/s  CPU: all  submitter   middle   server  wake-ups\n");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		bench(rows[i].depth, rows[i].total);
	return 0;
}
