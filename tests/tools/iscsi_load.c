/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * iscsi_load - put an iSCSI target under load and measure it
 *
 *	iscsi_load [OPTION...] iscsi://HOST[:PORT]/TARGET/LUN...
 *
 * A lean initiator of its own in one thread.  Sessions are dealt out to the
 * URLs in turn; each keeps DEPTH commands of BYTES bytes in flight.  Numbering,
 * offsets, lengths, residuals and status of every answer are checked.
 *
 *	-s, --sessions N       sessions with load (1)
 *	-q, --depth N          commands in flight in each (1)
 *	-b, --block BYTES      size of a command, a multiple of the logical block (4096)
 *	-o, --op OP            read (default), write, or mixR: R percent of reads
 *	-p, --pattern P        random (default), or sequential from N evenly spread places
 *	-t, --seconds S        how long is measured (5)
 *	-w, --warm-up S        load before that (0.5)
 *	-i, --idle N           more sessions, that log in and do nothing (0)
 *	-P, --pids PID,...     all processes of the target: their CPU time and context switches
 *	-V, --verify           writes say where they belong, reads are checked; a session keeps
 *	                       to a region of its own and writes a place before it reads it
 *	-j, --json             one JSON object instead of text
 *
 * WRITES DESTROY what is on the disk, and --verify always writes.
 *
 * Output: I/Os and megabytes (10^6) per second, quantiles of the latency from
 * queueing a command to having its answer, CPU microseconds per I/O of this
 * program and of --pids (the kernel's resolution is 10 ms a process: measure
 * for seconds), context switches per I/O of --pids.  I/Os with an error do not
 * count as I/Os.
 *
 * Exit status: 0, 1 with errors, 2 wrong usage, 3 no session, a session lost,
 * or no answer for 30 seconds.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proto/util.h"
#include "tests/tools/load/load.h"

enum {
	COMPLAINTS = 10, /* printed; all are counted */
	EVENTS = 64,
	TURN_MS = 10,
	MAX_BLOCK = 16 << 20,
	MAX_DEPTH = 4096,
	MAX_SESSIONS = 65535, /* the qualifier of an ISID */
};

static struct load load = {
	.sessions = 1, .depth = 1, .read_pct = 100, .block = 4096, .seconds = 5, .warm_up = 0.5,
	.rng = 88172645463325252ull, /* the same accesses in every run */
};

/* The clocks at the beginning and the end of what is measured. */
struct mark {
	uint64_t wall_ns, own_ns;
	struct usage target;
};

__attribute__((format(printf, 2, 0))) static void
print_complaint(const struct session *s, const char *fmt, va_list ap)
{
	char text[512];

	vsnprintf(text, sizeof(text), fmt, ap);
	fprintf(stderr, "iscsi_load: session %u: %s\n", s->id, text);
}

void
complain(struct session *s, const char *fmt, ...)
{
	va_list ap;

	if (++s->load->errors > COMPLAINTS)
		return;
	va_start(ap, fmt);
	print_complaint(s, fmt, ap);
	va_end(ap);
}

void
die(struct session *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_complaint(s, fmt, ap);
	va_end(ap);
	exit(3);
}

void *
xcalloc(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p) {
		fprintf(stderr, "iscsi_load: out of memory\n");
		exit(3);
	}
	return p;
}

/* ---- options ------------------------------------------------------------------ */

static const struct option options[] = {
	{ "sessions", required_argument, NULL, 's' }, { "depth", required_argument, NULL, 'q' },
	{ "block", required_argument, NULL, 'b' },    { "op", required_argument, NULL, 'o' },
	{ "pattern", required_argument, NULL, 'p' },  { "seconds", required_argument, NULL, 't' },
	{ "warm-up", required_argument, NULL, 'w' },  { "idle", required_argument, NULL, 'i' },
	{ "pids", required_argument, NULL, 'P' },     { "verify", no_argument, NULL, 'V' },
	{ "json", no_argument, NULL, 'j' },	      { 0 },
};

static _Noreturn void
usage(const char *why)
{
	fprintf(stderr,
		"iscsi_load: %s\n"
		"usage: iscsi_load [-s SESSIONS] [-q DEPTH] [-b BYTES] [-o read|write|mixR]\n"
		"                  [-p random|sequential] [-t SECONDS] [-w WARM-UP] [-i IDLE]\n"
		"                  [-P PID,...] [--verify] [--json] URL...\n", why);
	exit(2);
}

static unsigned
number(const char *text, unsigned min, unsigned max)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (end == text || *end || *text == '-' || v < min || v > max)
		usage("a number is wrong or out of range");
	return (unsigned)v;
}

static double
duration(const char *text)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end || !(v >= 0 && v <= 1e6))
		usage("a number of seconds is wrong");
	return v;
}

static unsigned
read_percent(const char *op)
{
	if (!strcmp(op, "read"))
		return 100;
	if (!strcmp(op, "write"))
		return 0;
	if (strncmp(op, "mix", 3))
		usage("--op is read, write or mixR");
	return number(op + 3, 0, 100);
}

static void
parse(struct load *l, int argc, char **argv)
{
	int o;

	while ((o = getopt_long(argc, argv, "s:q:b:o:p:t:w:i:P:Vj", options, NULL)) != -1) {
		switch (o) {
		case 's': l->sessions = number(optarg, 1, MAX_SESSIONS); break;
		case 'q': l->depth = number(optarg, 1, MAX_DEPTH); break;
		case 'b': l->block = number(optarg, 512, MAX_BLOCK); break;
		case 'o': l->read_pct = read_percent(optarg); break;
		case 'p': l->sequential = *optarg == 's'; break;
		case 't': l->seconds = duration(optarg); break;
		case 'w': l->warm_up = duration(optarg); break;
		case 'i': l->idle = number(optarg, 0, MAX_SESSIONS); break;
		case 'V': l->verify = true; break;
		case 'j': l->json = true; break;
		case 'P':
			if (procs_parse(&l->procs, optarg))
				usage("--pids is a list of process numbers with commas");
			break;
		default: usage("unknown option, or one without its value");
		}
		if (o == 'p' && strcmp(optarg, "random") && strcmp(optarg, "sequential"))
			usage("--pattern is random or sequential");
	}
	if (optind == argc)
		usage("no URL");
	if (l->block % 512)
		usage("--block is a multiple of 512");
	if (l->seconds <= 0)
		usage("--seconds is above 0");
	if (l->sessions + l->idle > MAX_SESSIONS)
		usage("more than 65535 sessions");
}

/* ---- the load ----------------------------------------------------------------- */

static struct session *
open_sessions(struct load *l, char **urls, unsigned n_urls)
{
	struct rlimit files;
	unsigned n = l->sessions + l->idle;
	struct session *ss = xcalloc(n, sizeof(*ss));

	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	for (unsigned i = 0; i < n; i++) {
		struct url u;

		ss[i].load = l;
		ss[i].id = i;
		if (url_parse(&u, urls[i % n_urls]))
			usage("a URL is iscsi://HOST[:PORT]/TARGET/LUN");
		if (session_login(&ss[i], &u) || (i < l->sessions && session_probe(&ss[i]))) {
			fprintf(stderr, "iscsi_load: session %u of %u failed\n", i + 1, n);
			exit(3);
		}
		session_prepare(&ss[i], i < l->sessions ? l->depth : 0);
	}
	return ss;
}

static void
serve(struct load *l)
{
	struct epoll_event ev[EVENTS];
	int n = epoll_wait(l->epoll, ev, EVENTS, TURN_MS);

	if (n < 0 && errno != EINTR) {
		perror("iscsi_load: epoll_wait");
		exit(3);
	}
	for (int i = 0; i < n; i++) {
		struct session *s = ev[i].data.ptr;

		if (ev[i].events & ~(uint32_t)EPOLLOUT)
			session_receive(s);
		session_send(s);
	}
}

/* Reading /proc is left out of the generator's own cost, at both ends. */
static void
take(const struct load *l, struct mark *m, bool begin)
{
	if (begin && procs_usage(&l->procs, &m->target))
		exit(3);
	m->wall_ns = clock_ns(CLOCK_MONOTONIC);
	m->own_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	if (!begin && procs_usage(&l->procs, &m->target))
		exit(3);
}

static void
run(struct load *l, struct session *ss, struct mark *begin, struct mark *end)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	uint64_t turn = now + (uint64_t)(l->warm_up * 1e9);

	l->progress_ns = now;
	for (unsigned i = 0; i < l->sessions; i++)
		session_send(&ss[i]);
	while (!l->draining || l->inflight) {
		now = clock_ns(CLOCK_MONOTONIC);
		if (!l->measuring && now >= turn) {
			take(l, begin, true);
			turn = begin->wall_ns + (uint64_t)(l->seconds * 1e9);
			l->measuring = true;
		} else if (!l->draining && now >= turn) {
			take(l, end, false);
			l->draining = true;
		}
		if (now > l->progress_ns + STALL_S * 1000000000ull) {
			fprintf(stderr, "iscsi_load: no answer for %d s, %llu commands in flight\n",
				STALL_S, (unsigned long long)l->inflight);
			exit(3);
		}
		serve(l);
	}
}

/* ---- the report ----------------------------------------------------------------- */

static void
report(const struct load *l, const struct mark *a, const struct mark *b)
{
	double s = (double)(b->wall_ns - a->wall_ns) / 1e9, n = l->ios ? (double)l->ios : 1;
	double own = (double)(b->own_ns - a->own_ns) / 1e3 / n;
	double target = (b->target.cpu_us - a->target.cpu_us) / n;
	double switches = ((double)b->target.switches - (double)a->target.switches) / n;
	double p50 = hist_quantile(&l->hist, 0.5) / 1e3, p99 = hist_quantile(&l->hist, 0.99) / 1e3;
	double p999 = hist_quantile(&l->hist, 0.999) / 1e3, max = (double)l->hist.max / 1e3;
	double iops = (double)l->ios / s, mb = iops * l->block / 1e6;

	if (l->json) {
		printf("{\"seconds\": %.3f, \"ios\": %llu, \"errors\": %llu, \"iops\": %.0f, "
		       "\"mb_per_s\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, "
		       "\"max_us\": %.1f, \"generator_us_per_io\": %.3f",
		       s, (unsigned long long)l->ios, (unsigned long long)l->errors, iops, mb, p50,
		       p99, p999, max, own);
		if (l->procs.n)
			printf(", \"target_us_per_io\": %.3f, \"switches_per_io\": %.3f", target,
			       switches);
		printf("}\n");
		return;
	}
	printf("%u sessions, depth %u, %u bytes, %u %% reads, %s%s, %u idle sessions\n",
	       l->sessions, l->depth, l->block, l->read_pct,
	       l->sequential ? "sequential" : "random", l->verify ? ", verified" : "", l->idle);
	printf("  rate             %.0f IOPS, %.1f MB/s, for %.2f s\n", iops, mb, s);
	printf("  latency          p50 %.1f us, p99 %.1f us, p99.9 %.1f us, max %.1f us\n", p50,
	       p99, p999, max);
	printf("  generator's CPU  %.2f us per I/O\n", own);
	if (l->procs.n)
		printf("  target's CPU     %.2f us per I/O, %.2f switches per I/O\n", target,
		       switches);
	printf("  errors           %llu\n", (unsigned long long)l->errors);
}

int
main(int argc, char **argv)
{
	struct mark begin, end;
	struct session *ss;

	parse(&load, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	load.run_id = (uint32_t)(clock_ns(CLOCK_REALTIME) / 1000);
	load.rx = xcalloc(1, RX_BYTES);
	load.tx = xcalloc(1, load.block + 4);
	memset(load.tx, 0xa5, load.block);
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (load.epoll < 0) {
		perror("iscsi_load: epoll_create1");
		return 3;
	}
	ss = open_sessions(&load, argv + optind, (unsigned)(argc - optind));
	run(&load, ss, &begin, &end);
	report(&load, &begin, &end);
	for (unsigned i = 0; i < load.sessions + load.idle; i++)
		session_close(&ss[i]);
	free(ss);
	free(load.rx);
	free(load.tx);
	return load.errors ? 1 : 0;
}
