/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The start-up order of every worker: see daemon.h.  Reading daemon_main from
 * top to bottom is reading that order; nothing may be moved across
 * sandbox_enter without saying why.
 */
#include "proto/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/log.h"

#define DEFAULT_SOCKET "/run/tgt/worker.sock"

const struct sandbox_rule sandbox_common[] = {
	/* descriptors it has */
	SANDBOX_ALLOW(read),
	SANDBOX_ALLOW(write), /* doorbells, the log on stderr */
	SANDBOX_ALLOW(readv),
	SANDBOX_ALLOW(writev), /* assert() prints with it */
	SANDBOX_ALLOW(close),
	SANDBOX_ALLOW(fstat), /* the size of a received memory object */
	SANDBOX_ALLOW(newfstatat), /* what fstat(2) is since glibc 2.33 */
	SANDBOX_ALLOW(sendmsg), /* channel, notify socket */
	SANDBOX_ALLOW(recvmsg),
	SANDBOX_ALLOW(shutdown), /* a channel whose peer is gone */
	SANDBOX_ALLOW_IF(fcntl, 1, ~0u, F_GETFD),
	SANDBOX_ALLOW_IF(fcntl, 1, ~0u, F_SETFD),
	SANDBOX_ALLOW_IF(fcntl, 1, ~0u, F_GETFL),
	SANDBOX_ALLOW_IF(fcntl, 1, ~0u, F_GET_SEALS), /* of memory received */
	SANDBOX_ALLOW_IF(fcntl, 1, ~0u, F_DUPFD_CLOEXEC), /* channel queue */

	/* event loops */
	SANDBOX_ALLOW(epoll_create1),
	SANDBOX_ALLOW(epoll_ctl),
	SANDBOX_ALLOW(epoll_wait),
	SANDBOX_ALLOW(epoll_pwait),
	SANDBOX_ALLOW(epoll_pwait2),
	SANDBOX_ALLOW(poll),
	SANDBOX_ALLOW(ppoll),
	SANDBOX_ALLOW(eventfd2), /* ev_async */

	/* memory, never executable */
	SANDBOX_ALLOW(brk),
	SANDBOX_ALLOW_IF(mmap, 2, PROT_EXEC, 0),
	SANDBOX_ALLOW_IF(mprotect, 2, PROT_EXEC, 0),
	SANDBOX_ALLOW(munmap),
	SANDBOX_ALLOW(mremap),
	SANDBOX_ALLOW(madvise),

	/* time and waiting */
	SANDBOX_ALLOW(clock_gettime), /* where the vdso has to ask */
	SANDBOX_ALLOW(clock_getres),
	SANDBOX_ALLOW(gettimeofday),
	SANDBOX_ALLOW(time),
	SANDBOX_ALLOW(nanosleep),
	SANDBOX_ALLOW(clock_nanosleep),
	SANDBOX_ALLOW(futex),
	SANDBOX_ALLOW(sched_yield),
	SANDBOX_ALLOW(restart_syscall),

	/* itself */
	SANDBOX_ALLOW(rt_sigaction),
	SANDBOX_ALLOW(rt_sigprocmask),
	SANDBOX_ALLOW(rt_sigreturn),
	SANDBOX_ALLOW(sigaltstack),
	SANDBOX_ALLOW(getpid),
	SANDBOX_ALLOW(gettid), /* abort(); tgkill: see own_signals */
	SANDBOX_ALLOW(getrandom), /* malloc's tcache key, cookies */
	SANDBOX_ALLOW(exit),
	SANDBOX_ALLOW(exit_group),
	SANDBOX_DENY(clone3, ENOSYS), /* its flags cannot be seen: clone instead */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZER_CALLS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZER_CALLS 1
#endif
#endif
#if defined(SANITIZER_CALLS) || defined(NDEBUG_COV)
	/* the sanitizer runtime's report, and gcov's files, at exit */
	SANDBOX_ALLOW(open), SANDBOX_ALLOW(openat), SANDBOX_ALLOW(readlink),
	SANDBOX_ALLOW(readlinkat), SANDBOX_ALLOW(getdents64), SANDBOX_ALLOW(getdents),
	SANDBOX_ALLOW(lseek),
	SANDBOX_ALLOW(stat), SANDBOX_ALLOW(lstat), SANDBOX_ALLOW(access),
	SANDBOX_ALLOW(mmap), SANDBOX_ALLOW(fcntl), SANDBOX_ALLOW(mkdir),
	SANDBOX_ALLOW(clone), SANDBOX_ALLOW(wait4), SANDBOX_ALLOW(ptrace),
	SANDBOX_ALLOW(prctl), SANDBOX_ALLOW(arch_prctl), SANDBOX_ALLOW(tgkill),
	SANDBOX_ALLOW(pipe2), SANDBOX_ALLOW(process_vm_readv), SANDBOX_ALLOW(getuid),
	SANDBOX_ALLOW(getppid), SANDBOX_ALLOW(ioctl), SANDBOX_ALLOW(uname),
	SANDBOX_ALLOW(getrusage), SANDBOX_ALLOW(prlimit64), SANDBOX_ALLOW(set_robust_list),
	SANDBOX_ALLOW(rseq), SANDBOX_ALLOW(sched_getaffinity), SANDBOX_ALLOW(ftruncate),
	SANDBOX_ALLOW(personality), SANDBOX_ALLOW(mprotect), SANDBOX_ALLOW(msync),
#endif
};
const size_t sandbox_n_common = ARRAY_SIZE(sandbox_common);

enum { OPT_INSTANCE = 256, OPT_SOCKET, OPT_SANDBOX, OPT_VERBOSE, OPT_HELP, OPT_VERSION };

static const struct option options[] = {
	{ "instance", required_argument, NULL, OPT_INSTANCE },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "sandbox", required_argument, NULL, OPT_SANDBOX },
	{ "verbose", no_argument, NULL, OPT_VERBOSE },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

static void
print_help(const struct daemon_steps *steps)
{
	printf("Usage: %s --instance NAME [--socket PATH] [--sandbox=enforce|log] [--verbose]\n"
	       "%s\n\n"
	       "  --instance NAME        which one this is (a LUN's name; a portal's number)\n"
	       "  --socket PATH          tgt-ctld's worker socket (default: $TGT_WORKER_SOCKET,\n"
	       "                         " DEFAULT_SOCKET ")\n"
	       "  --sandbox=enforce|log  kill on (default), or only log, a forbidden system call\n"
	       "  --verbose              log more\n"
	       "  --help, --version\n\n"
	       "Started by tgt-run, not by hand.\n",
	       steps->name, steps->summary);
}

/* -1: go on; else the exit status. */
static int
parse_options(struct daemon *d, int argc, char **argv, int *level)
{
	int opt;

	d->socket = getenv("TGT_WORKER_SOCKET");
	if (!d->socket)
		d->socket = DEFAULT_SOCKET;
	argv[0] = (char *)(uintptr_t)d->steps->name; /* what getopt calls us */
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case OPT_INSTANCE:
			d->instance = optarg;
			break;
		case OPT_SOCKET:
			d->socket = optarg;
			break;
		case OPT_SANDBOX:
			if (!sandbox_parse_mode(optarg, &d->sandbox))
				break;
			fprintf(stderr, "%s: --sandbox=%s: must be enforce or log\n",
				d->steps->name, optarg);
			return 2;
		case OPT_VERBOSE:
			*level = LOG_LEVEL_DEBUG;
			break;
		case OPT_HELP:
			print_help(d->steps);
			return 0;
		case OPT_VERSION:
			printf("%s (tgt-ng) %s\n", d->steps->name, TGT_VERSION);
			return 0;
		default: /* getopt has named the option */
			fprintf(stderr, "Try '%s --help'.\n", d->steps->name);
			return 2;
		}
	}
	if (optind < argc)
		fprintf(stderr, "%s: unexpected argument '%s'\n", d->steps->name, argv[optind]);
	else if (!d->instance || !*d->instance)
		fprintf(stderr, "%s: --instance is missing\n", d->steps->name);
	else
		return -1;
	fprintf(stderr, "Try '%s --help'.\n", d->steps->name);
	return 2;
}

/* ---- start-up, blocking ----------------------------------------------- */

static int
send_hello(struct daemon *d, int sock)
{
	Tgt__Hello hello = TGT__HELLO__INIT;
	Tgt__WorkerMsg msg = TGT__WORKER_MSG__INIT;

	hello.version = PROTO_VERSION;
	hello.role = d->steps->role;
	hello.instance = (char *)(uintptr_t)d->instance;
	msg.body_case = TGT__WORKER_MSG__BODY_HELLO;
	msg.hello = &hello;
	return chan_send_fd(sock, &msg.base, NULL, 0);
}

/* Receives the configuration up to ConfigDone, which says who to become. */
static int
configure(struct daemon *d, int sock, uint32_t *uid, uint32_t *gid)
{
	for (;;) {
		struct chan_msg m;
		const Tgt__WorkerMsg *msg;
		int rc = chan_recv_fd(sock, &tgt__worker_msg__descriptor, &m);

		if (rc < 0)
			return rc;
		if (rc == 0)
			return -ECONNRESET;
		msg = (const Tgt__WorkerMsg *)m.body;
		if (msg->body_case == TGT__WORKER_MSG__BODY_CONFIG_DONE) {
			*uid = msg->config_done->uid;
			*gid = msg->config_done->gid;
			chan_msg_done(&m);
			return 0;
		}
		rc = d->steps->configure(d, msg, &m);
		chan_msg_done(&m);
		if (rc < 0)
			return rc;
	}
}

/* Tells ctld and the log why this worker cannot serve. */
static int
fail(int sock, Tgt__Failed *failed, int err, const char *what)
{
	char text[160];
	Tgt__WorkerMsg msg = TGT__WORKER_MSG__INIT;

	if (!failed->text || !*failed->text) {
		snprintf(text, sizeof(text), "%s: %s", what, strerror(-err));
		failed->text = text;
	}
	if (!failed->err)
		failed->err = -err;
	log_err("%s", failed->text);
	msg.body_case = TGT__WORKER_MSG__BODY_FAILED;
	msg.failed = failed;
	chan_send_fd(sock, &msg.base, NULL, 0);
	return 1;
}

/* The common rules, signals to ourselves only (abort), then the worker's own. */
static int
lock_down(struct daemon *d, uint32_t uid, uint32_t gid)
{
	const struct sandbox_rule own_signals =
		SANDBOX_ALLOW_IF(tgkill, 0, UINT64_MAX, (uint64_t)getpid());
	size_t n = sandbox_n_common;
	struct sandbox_rule *rules = calloc(n + 1 + d->steps->n_rules, sizeof(*rules));
	int err;

	if (!rules)
		return -ENOMEM;
	memcpy(rules, sandbox_common, n * sizeof(*rules));
	rules[n++] = own_signals;
	if (d->steps->n_rules)
		memcpy(rules + n, d->steps->rules, d->steps->n_rules * sizeof(*rules));
	n += d->steps->n_rules;
	err = sandbox_enter(d->sandbox, uid, gid, rules, n);
	free(rules);
	return err;
}

/* ---- in the loop ------------------------------------------------------ */

void
daemon_exit(struct daemon *d, int code)
{
	d->exit_code = code;
	ev_break(d->loop, EVBREAK_ALL);
}

int
daemon_send(struct daemon *d, const Tgt__WorkerMsg *msg)
{
	int err = chan_send(&d->ctld, &msg->base, NULL, 0);

	if (err)
		log_limited(LOG_LEVEL_ERR, "a message to tgt-ctld is lost: type=%d: %s",
			    (int)msg->body_case, strerror(-err));
	return err;
}

static void
on_ctld(struct chan *c, struct chan_msg *m, int err)
{
	struct daemon *d = c->owner;

	if (m) {
		err = d->steps->message(d, (const Tgt__WorkerMsg *)m->body, m);
		if (err == -EPROTO) {
			log_err("tgt-ctld broke the protocol: type=%d",
				(int)((const Tgt__WorkerMsg *)m->body)->body_case);
			daemon_exit(d, 1);
		} else if (err) {
			log_warn("a message of tgt-ctld failed: type=%d: %s",
				 (int)((const Tgt__WorkerMsg *)m->body)->body_case,
				 strerror(-err));
		}
		return;
	}
	chan_close(c);
	log_info("tgt-ctld is gone%s%s: ending", err ? ": " : "", err ? strerror(-err) : "");
	if (d->steps->orphaned)
		d->steps->orphaned(d);
	else
		ev_break(d->loop, EVBREAK_ALL);
}

static void
on_signal(struct ev_loop *loop, ev_signal *w, int revents)
{
	struct daemon *d = w->data;

	if (d->steps->stop)
		d->steps->stop(d);
	else
		ev_break(loop, EVBREAK_ALL);
}

static void
on_watchdog(struct ev_loop *loop, ev_timer *w, int revents)
{
	notify_send("WATCHDOG=1", NULL, 0);
}

struct watchers {
	ev_signal term, interrupt;
	ev_timer watchdog;
};

/* Signals go through the loop from here on; before, they kill as usual. */
static void
watch(struct daemon *d, struct watchers *w)
{
	double period = notify_watchdog_period();

	ev_signal_init(&w->term, on_signal, SIGTERM);
	ev_signal_init(&w->interrupt, on_signal, SIGINT);
	w->term.data = w->interrupt.data = d;
	ev_signal_start(d->loop, &w->term);
	ev_signal_start(d->loop, &w->interrupt);
	if (period > 0) {
		ev_timer_init(&w->watchdog, on_watchdog, period, period);
		ev_timer_start(d->loop, &w->watchdog);
	}
}

static int
serve(struct daemon *d, int sock)
{
	Tgt__Ready ready = TGT__READY__INIT;
	Tgt__Failed failed = TGT__FAILED__INIT;
	Tgt__WorkerMsg msg = TGT__WORKER_MSG__INIT;
	int err;

	chan_init(&d->ctld, d->loop, sock, &tgt__worker_msg__descriptor, on_ctld, d);
	err = d->steps->start ? d->steps->start(d, &ready) : 0;
	if (err) {
		err = fail(sock, &failed, err, "cannot start");
		chan_close(&d->ctld);
		return err;
	}
	msg.body_case = TGT__WORKER_MSG__BODY_READY;
	msg.ready = &ready;
	daemon_send(d, &msg);
	notify_send("READY=1", NULL, 0);
	log_debug("ready");
	ev_run(d->loop, 0);
	chan_close(&d->ctld);
	return d->exit_code;
}

int
daemon_main(const struct daemon_steps *steps, void *ctx, int argc, char **argv)
{
	static struct daemon d; /* outlives us: see daemon.h */
	static struct watchers watchers;
	Tgt__Failed failed = TGT__FAILED__INIT;
	uint32_t uid = 0, gid = 0;
	int level = LOG_LEVEL_INFO, sock, rc;

	/* One arena for all threads: the hot path does not allocate, and a
	 * second one would open a file below /proc when it shrinks. */
	mallopt(M_ARENA_MAX, 1);
	d = (struct daemon){ .steps = steps, .ctx = ctx };
	rc = parse_options(&d, argc, argv, &level);
	if (rc >= 0)
		return rc;
	log_open(steps->name, d.instance, level);
	signal(SIGPIPE, SIG_IGN);
	rc = notify_open();
	if (rc < 0)
		log_warn("NOTIFY_SOCKET cannot be reached: %s", strerror(-rc));

	sock = chan_connect(d.socket);
	if (sock < 0) {
		log_err("cannot reach tgt-ctld at %s: %s", d.socket, strerror(-sock));
		return 1;
	}
	rc = send_hello(&d, sock);
	if (!rc)
		rc = configure(&d, sock, &uid, &gid);
	if (rc == -ECONNRESET || rc == -EPIPE) {
		log_err("tgt-ctld closed the channel during configuration");
		close(sock);
		return 1;
	}
	if (rc < 0) {
		rc = fail(sock, &failed, rc, "the configuration cannot be used");
		goto out;
	}
	rc = steps->open ? steps->open(&d, &failed) : 0;
	if (rc < 0) {
		rc = fail(sock, &failed, rc, "cannot open what it serves");
		goto out;
	}
	d.loop = ev_default_loop((steps->loop_backend ? steps->loop_backend : EVBACKEND_EPOLL) |
				 EVFLAG_NOENV);
	if (!d.loop) {
		rc = fail(sock, &failed, -EMFILE, "cannot make an event loop");
		goto out;
	}
	watch(&d, &watchers);
	rc = lock_down(&d, uid, gid);
	if (rc < 0) {
		rc = fail(sock, &failed, rc, "cannot enter the sandbox");
		goto out;
	}
	malloc_trim(0); /* libseccomp's heap was greater than all that follows */
	rc = serve(&d, sock);
	sock = -1;
out:
	if (sock >= 0)
		close(sock);
	return rc;
}
