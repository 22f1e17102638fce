/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tgt-ctld: the control plane.  Start-up, lock-down, and the wiring between
 * sockets and the modules that decide: verbs (operators), broker (workers),
 * state (the file).  It reads nothing that an initiator sends.
 */
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/broker.h"
#include "ctl/clients.h"
#include "ctl/state.h"
#include "ctl/verbs.h"
#include "ctl/wrap.h"
#include "proto/daemon.h"
#include "proto/log.h"

enum {
	FIRST_UID = 1900000000, /* of the workers, when we are root */
	UIDS = 1 << 30, /* none is used twice while we live */
	THREADS_MAX = 4,
	SESSIONS_MAX = 1024,
	CONNECTIONS_MAX = 1088, /* and 64 that have not logged in */
	LOGIN_TIMEOUT_S = 15,
	PING_INTERVAL_S = 10,
	PING_TIMEOUT_S = 10,
};
#define POOL_BUDGET (UINT64_C(64) << 30)

static const struct sandbox_rule own_rules[] = {
	/* operators and workers connect */
	SANDBOX_ALLOW(accept4),
	SANDBOX_ALLOW(getsockopt), /* SO_PEERCRED */
	SANDBOX_ALLOW(geteuid),
	/* the state file, beneath the one directory that landlock leaves us;
	 * openat also makes read-only descriptions of memory (/proc/self/fd) */
	SANDBOX_ALLOW(openat),
	SANDBOX_ALLOW(fsync),
	SANDBOX_ALLOW(renameat),
	SANDBOX_ALLOW(renameat2),
	SANDBOX_ALLOW(unlinkat),
	/* lanes: memory objects, sized and sealed; bells are in the common list */
	SANDBOX_ALLOW(memfd_create),
	SANDBOX_ALLOW(ftruncate),
	SANDBOX_ALLOW(fchmod),
	SANDBOX_ALLOW_IF(fcntl, 1, ~0u, F_ADD_SEALS),
};

struct ctld {
	struct ev_loop *loop;
	struct model model;
	struct state state;
	struct broker *broker;
	struct verbs verbs;
	struct clients clients;
	struct acceptor workers;
	struct chan supervisor;
	ev_timer tick, watchdog;
	ev_signal term, interrupt;
	int fd_control, fd_worker, fd_supervisor;
	int exit_code;
	/* options */
	const char *dir;
	enum sandbox_mode sandbox;
	int level;
};

/* ---- workers --------------------------------------------------------- */

struct conn {
	struct chan chan;
	struct ctld *d;
	struct peer *peer;
};

static void
on_worker_message(struct chan *chan, struct chan_msg *m, int err)
{
	struct conn *c = chan->owner;

	if (m) {
		broker_message(c->d->broker, c->peer, (const Tgt__WorkerMsg *)m->body);
		return;
	}
	if (err)
		log_limited(LOG_LEVEL_WARN, "worker channel: %s", strerror(-err));
	broker_hangup(c->d->broker, c->peer);
}

static void
on_worker(struct acceptor *a, int fd, pid_t pid)
{
	struct ctld *d = a->owner;
	struct conn *c = calloc(1, sizeof(*c));

	if (c)
		c->peer = broker_accept(d->broker, c, pid);
	if (!c || !c->peer) {
		log_limited(LOG_LEVEL_ERR, "no room for the connection of pid=%d", (int)pid);
		free(c);
		close(fd);
		return;
	}
	c->d = d;
	chan_init(&c->chan, d->loop, fd, &tgt__worker_msg__descriptor, on_worker_message, c);
}

static int
op_send(void *ctx, void *conn, const Tgt__WorkerMsg *m, const int *fds, int n)
{
	struct conn *c = conn;

	return chan_send(&c->chan, &m->base, fds, n);
}

static void
op_close(void *ctx, void *conn)
{
	struct conn *c = conn;

	chan_close(&c->chan);
	free(c);
}

static void
op_supervisor(void *ctx, const Tgt__WorkerMsg *m)
{
	struct ctld *d = ctx;
	int err = chan_send(&d->supervisor, &m->base, NULL, 0);

	if (err)
		log_err("a message to the supervisor is lost: type=%d: %s", (int)m->body_case,
			strerror(-err));
}

static void
op_lun_event(void *ctx, struct model_lun *l, enum lun_event ev, int err, const char *text)
{
	struct ctld *d = ctx;

	verbs_lun_event(&d->verbs, l, ev, err, text);
}

static void
op_soon(void *ctx)
{
	struct ctld *d = ctx;

	if (ev_is_active(&d->tick))
		return;
	ev_timer_set(&d->tick, 1., 0.);
	ev_timer_start(d->loop, &d->tick);
}

static void
on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct ctld *d = w->data;

	broker_tick(d->broker);
	verbs_tick(&d->verbs);
}

static const struct broker_ops broker_ops = {
	.send = op_send,
	.close = op_close,
	.supervisor = op_supervisor,
	.lun_event = op_lun_event,
	.soon = op_soon,
};

/* ---- operators ------------------------------------------------------- */

static void
op_reply(void *ctx, void *client, const Tgt__ControlReply *r)
{
	clients_reply(client, r);
}

static int
op_save(void *ctx, char *why)
{
	struct ctld *d = ctx;
	int err = state_save(&d->state, &d->model, why);

	if (err)
		log_err("%s", why);
	return err;
}

static int
op_identify(void *ctx, const char *path, uint64_t *dev, uint64_t *ino)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	*dev = S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev;
	*ino = S_ISBLK(st.st_mode) ? UINT64_MAX : st.st_ino;
	return 0;
}

static const struct verbs_ops verbs_ops = {
	.reply = op_reply,
	.save = op_save,
	.supervisor = op_supervisor,
	.identify = op_identify,
	.soon = op_soon,
};

/* ---- the supervisor -------------------------------------------------- */

static void
on_unit(struct ctld *d, const Tgt__WorkerMsg *m, struct chan_msg *cm)
{
	broker_unit_message(d->broker, m);
}

static void
on_listener(struct ctld *d, const Tgt__WorkerMsg *m, struct chan_msg *cm)
{
	verbs_listener_opened(&d->verbs, m->listener_opened, chan_msg_take_fd(cm, 0));
}

/* SIGTERM follows when the workers are gone. */
static void
on_terminate(struct ctld *d, const Tgt__WorkerMsg *m, struct chan_msg *cm)
{
	log_debug("the supervisor ends the service");
	d->verbs.stopping = true;
	broker_terminate(d->broker);
	clients_stop(&d->clients);
}

static const struct {
	Tgt__WorkerMsg__BodyCase msg;
	void (*handle)(struct ctld *d, const Tgt__WorkerMsg *m, struct chan_msg *cm);
} supervisor_messages[] = {
	{ TGT__WORKER_MSG__BODY_UNIT_STARTED, on_unit },
	{ TGT__WORKER_MSG__BODY_UNIT_EXITED, on_unit },
	{ TGT__WORKER_MSG__BODY_LISTENER_OPENED, on_listener },
	{ TGT__WORKER_MSG__BODY_TERMINATE, on_terminate },
};

static void
end(struct ctld *d, int code)
{
	d->exit_code = code;
	ev_break(d->loop, EVBREAK_ALL);
}

static void
on_supervisor(struct chan *chan, struct chan_msg *cm, int err)
{
	struct ctld *d = chan->owner;
	const Tgt__WorkerMsg *m;

	if (!cm) {
		log_err("the supervisor is gone%s%s: ending", err ? ": " : "",
			err ? strerror(-err) : "");
		chan_close(chan);
		end(d, 1);
		return;
	}
	m = (const Tgt__WorkerMsg *)cm->body;
	for (size_t i = 0; i < ARRAY_SIZE(supervisor_messages); i++)
		if (supervisor_messages[i].msg == m->body_case) {
			supervisor_messages[i].handle(d, m, cm);
			return;
		}
	log_err("message %d of the supervisor is not for tgt-ctld", (int)m->body_case);
}

/* ---- start-up -------------------------------------------------------- */

enum { OPT_STATE = 256, OPT_SANDBOX, OPT_VERBOSE, OPT_HELP, OPT_VERSION };

static const struct option options[] = {
	{ "state", required_argument, NULL, OPT_STATE },
	{ "sandbox", required_argument, NULL, OPT_SANDBOX },
	{ "verbose", no_argument, NULL, OPT_VERBOSE },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

static const char help[] =
	"Usage: tgt-ctld [--state DIR] [--sandbox=enforce|log] [--verbose]\n"
	"The control plane of tgt-ng.  Started by tgt-run, not by hand.\n\n"
	"  --state DIR            where the configuration is kept (default: /var/lib/tgt)\n"
	"  --sandbox=enforce|log  kill on (default), or only log, a forbidden system call\n"
	"  --verbose              log more\n"
	"  --help, --version\n";

/* -1: go on; else the exit status. */
static int
parse_options(struct ctld *d, int argc, char **argv)
{
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case OPT_STATE:
			d->dir = optarg;
			break;
		case OPT_SANDBOX:
			if (!sandbox_parse_mode(optarg, &d->sandbox))
				break;
			fprintf(stderr, "tgt-ctld: --sandbox=%s: must be enforce or log\n", optarg);
			return 2;
		case OPT_VERBOSE:
			d->level = LOG_LEVEL_DEBUG;
			break;
		case OPT_HELP:
			fputs(help, stdout);
			return 0;
		case OPT_VERSION:
			printf("tgt-ctld (tgt-ng) %s\n", TGT_VERSION);
			return 0;
		default: /* getopt has named the option */
			fprintf(stderr, "Try 'tgt-ctld --help'.\n");
			return 2;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "tgt-ctld: unexpected argument '%s'\nTry 'tgt-ctld --help'.\n",
		argv[optind]);
	return 2;
}

/* Takes the sockets of sd_listen_fds(3) by name; closes what it does not know.
 * 0 or -EINVAL. */
static int
take_sockets(struct ctld *d)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");
	int n = count ? atoi(count) : 0;

	d->fd_control = d->fd_worker = d->fd_supervisor = -1;
	if (!pid || strtol(pid, NULL, 10) != getpid() || !names)
		return -EINVAL;
	for (int fd = 3; fd < 3 + n; fd++) {
		size_t len = strcspn(names, ":");

		fcntl(fd, F_SETFD, FD_CLOEXEC);
		if (len == 7 && !strncmp(names, "control", len))
			d->fd_control = fd;
		else if (len == 6 && !strncmp(names, "worker", len))
			d->fd_worker = fd;
		else if (len == 10 && !strncmp(names, "supervisor", len))
			d->fd_supervisor = fd;
		else
			close(fd);
		names += len + (names[len] == ':');
	}
	return d->fd_control < 0 || d->fd_worker < 0 || d->fd_supervisor < 0 ? -EINVAL : 0;
}

/* Two descriptors a LUN and five a lane: thousands are usual. */
static void
raise_descriptor_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return;
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &rl) < 0)
		log_warn("the limit of open descriptors stays low: %s", strerror(errno));
}

static uint32_t
count_threads(void)
{
	cpu_set_t set;
	int n = 1;

	if (!sched_getaffinity(0, sizeof(set), &set))
		n = CPU_COUNT(&set);
	return (uint32_t)MAX(1, MIN(n, THREADS_MAX));
}

static int
lock_down(struct ctld *d)
{
	const char *const dirs[] = { d->dir, NULL };
	const struct sandbox_rule own_signals =
		SANDBOX_ALLOW_IF(tgkill, 0, UINT64_MAX, (uint64_t)getpid());
	size_t n = sandbox_n_common;
	struct sandbox_rule *rules = calloc(n + 1 + ARRAY_SIZE(own_rules), sizeof(*rules));
	int err;

	if (!rules)
		return -ENOMEM;
	memcpy(rules, sandbox_common, n * sizeof(*rules));
	rules[n++] = own_signals; /* abort */
	memcpy(rules + n, own_rules, sizeof(own_rules));
	n += ARRAY_SIZE(own_rules);
	err = sandbox_enter_dirs(d->sandbox, 0, 0, rules, n, dirs);
	free(rules);
	return err;
}

/* Trying again would not help: the whole service ends, and says why. */
static int
give_up(struct ctld *d, const char *why)
{
	Tgt__Shutdown s = TGT__SHUTDOWN__INIT;
	Tgt__WorkerMsg m;

	log_err("%s", why);
	s.code = 1;
	s.why = (char *)(uintptr_t)why;
	chan_send_fd(d->fd_supervisor, &WRAP(&m, SHUTDOWN, shutdown, &s)->base, NULL, 0);
	return 1;
}

static void
on_signal(struct ev_loop *loop, ev_signal *w, int revents)
{
	end(w->data, 0);
}

static void
on_watchdog(struct ev_loop *loop, ev_timer *w, int revents)
{
	notify_send("WATCHDOG=1", NULL, 0);
}

static void
watch(struct ctld *d)
{
	double period = notify_watchdog_period();

	ev_timer_init(&d->tick, on_tick, 1., 0.);
	d->tick.data = d;
	ev_signal_init(&d->term, on_signal, SIGTERM);
	ev_signal_init(&d->interrupt, on_signal, SIGINT);
	d->term.data = d->interrupt.data = d;
	ev_signal_start(d->loop, &d->term);
	ev_signal_start(d->loop, &d->interrupt);
	if (period > 0) {
		ev_timer_init(&d->watchdog, on_watchdog, period, period);
		ev_timer_start(d->loop, &d->watchdog);
	}
}

static int
random_bytes(void *buf, size_t n)
{
	ssize_t got = getrandom(buf, n, 0);

	return got < 0 ? -errno : (size_t)got == n ? 0 : -EIO;
}

static int
serve(struct ctld *d)
{
	int err;

	watch(d);
	chan_init(&d->supervisor, d->loop, d->fd_supervisor, &tgt__worker_msg__descriptor,
		  on_supervisor, d);
	acceptor_start(&d->workers, d->loop, d->fd_worker, on_worker, d);
	clients_start(&d->clients, d->loop, d->fd_control, &d->verbs);
	verbs_start(&d->verbs);
	err = broker_start(d->broker);
	if (err) {
		log_err("the LUNs cannot be started: %s", strerror(-err));
		return 1;
	}
	notify_send("READY=1", NULL, 0);
	log_debug("ready");
	ev_run(d->loop, 0);
	clients_done(&d->clients);
	acceptor_stop(&d->workers);
	broker_free(d->broker);
	verbs_done(&d->verbs);
	model_done(&d->model);
	chan_close(&d->supervisor);
	state_close(&d->state);
	return d->exit_code;
}

int
main(int argc, char **argv)
{
	static struct ctld d = { .dir = "/var/lib/tgt", .level = LOG_LEVEL_INFO };
	struct broker_config cfg = {
		.threads = count_threads(),
		.max_sessions = SESSIONS_MAX,
		.max_connections = CONNECTIONS_MAX,
		.pool_budget = POOL_BUDGET,
		.login_timeout_s = LOGIN_TIMEOUT_S,
		.ping_interval_s = PING_INTERVAL_S,
		.ping_timeout_s = PING_TIMEOUT_S,
		.first_uid = sandbox_can_drop(FIRST_UID, UIDS) ? FIRST_UID : 0,
	};
	char why[STATE_WHY];
	int rc = parse_options(&d, argc, argv);

	if (rc >= 0)
		return rc;
	log_open("tgt-ctld", NULL, d.level);
	signal(SIGPIPE, SIG_IGN);
	umask(077);
	if (!cfg.first_uid && !geteuid())
		log_warn("the workers run as our user: this container has no other users, or "
			 "does not let us become them");
	if (take_sockets(&d)) {
		log_err("no sockets were passed: tgt-ctld is started by tgt-run");
		return 1;
	}
	raise_descriptor_limit();
	rc = notify_open();
	if (rc)
		log_warn("NOTIFY_SOCKET cannot be reached: %s", strerror(-rc));
	if (state_open(&d.state, d.dir, why))
		return give_up(&d, why);
	d.loop = ev_default_loop(EVFLAG_AUTO);
	rc = d.loop ? lock_down(&d) : -ENOSYS;
	if (rc) {
		snprintf(why, sizeof(why), "cannot lock tgt-ctld down: %s", strerror(-rc));
		return give_up(&d, why);
	}
	model_init(&d.model, random_bytes);
	if (state_load(&d.state, &d.model, why))
		return give_up(&d, why);
	d.broker = broker_new(&d.model, &cfg, &broker_ops, &d);
	if (!d.broker)
		return give_up(&d, "out of memory");
	verbs_init(&d.verbs, &d.model, &verbs_ops, &d);
	d.verbs.b = d.broker;
	return serve(&d);
}
