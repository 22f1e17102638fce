/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tgt-run with puppets for processes.  This program runs tgt-run in a child,
 * with a --libexec directory in which tgt-ctld and the others are links to
 * this program; each of those connects back and does what it is told, and the
 * puppet tgt-ctld hands its descriptors over, so that the tests themselves
 * play tgt-ctld's side of the conversation.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ctl/run.h"
#include "proto/daemon.h"
#include "tests/unit/tap.h"

#define PUPPET_SOCKET "TGT_TEST_PUPPETS"

/* ======================================================================== */
/* The puppet                                                                */

static int
puppet_hello(int sock, const char *name, int argc, char **argv)
{
	static const char *const vars[] = { "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID",
					    "WATCHDOG_USEC", "TGT_LOG" };
	char text[4096], ctl[CMSG_SPACE(8 * sizeof(int))] = { 0 };
	int fds[8], n = getenv("LISTEN_FDS") ? atoi(getenv("LISTEN_FDS")) : 0;
	struct iovec iov = { .iov_base = text };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	size_t len = (size_t)snprintf(text, sizeof(text), "%s pid=%d", name, (int)getpid());

	for (int i = 1; i < argc; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, " %s", argv[i]);
	for (size_t i = 0; i < ARRAY_SIZE(vars); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, " %s=%s", vars[i],
					getenv(vars[i]) ? getenv(vars[i]) : "");
	for (int fd = 3; fd < 64; fd++) {
		if (fd != sock && fd >= 3 + n && fcntl(fd, F_GETFD) >= 0)
			len += (size_t)snprintf(text + len, sizeof(text) - len, " STRAY=%d", fd);
	}
	iov.iov_len = len;
	if (n) {
		struct cmsghdr *c;

		for (int i = 0; i < n && i < 8; i++)
			fds[i] = 3 + i;
		n = MIN(n, 8);
		mh.msg_control = ctl;
		mh.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, (size_t)n * sizeof(int));
	}
	return sendmsg(sock, &mh, 0) < 0 ? -1 : 0;
}

/* ends when told to; the test's answers arrive one command a datagram */
static int
puppet(const char *name, int argc, char **argv)
{
	int sock = chan_connect(getenv(PUPPET_SOCKET)), p[2];
	char cmd[256];
	ssize_t n;

	if (sock < 0 || puppet_hello(sock, name, argc, argv) < 0 || notify_open() < 0)
		return 98;
	while ((n = recv(sock, cmd, sizeof(cmd) - 1, 0)) > 0) {
		cmd[n] = 0;
		if (!strncmp(cmd, "exit ", 5))
			return atoi(cmd + 5);
		if (!strcmp(cmd, "abort"))
			raise(SIGABRT);
		if (!strcmp(cmd, "deaf"))
			signal(SIGTERM, SIG_IGN);
		if (!strncmp(cmd, "log ", 4))
			dprintf(2, "<4>%s\n", cmd + 4);
		if (!strncmp(cmd, "notify ", 7))
			notify_send(cmd + 7, NULL, 0);
		if (!strncmp(cmd, "store ", 6) && pipe(p) == 0)
			notify_send(cmd + 6, p, 2);
		send(sock, "ok", 2, MSG_NOSIGNAL);
	}
	return 0; /* tgt-run, or the test, is gone */
}

/* ======================================================================== */
/* The test's side                                                           */

struct actor {
	int sock;
	pid_t pid;
	char hello[4096];
	int fds[8];
	int n_fds;
};

static char dir[] = "/tmp/test_run.XXXXXX", libexec[64], state[64], runtime[64], stage_path[64];
static int stage_fd; /* puppets connect here */
static pid_t run_pid;
static int run_out, run_err; /* what tgt-run prints */

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool
readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

/* The next process that tgt-run starts, within 3 s; its sock is -1 if none. */
static struct actor
next_actor(void)
{
	struct actor a = { .sock = -1 };
	char ctl[CMSG_SPACE(8 * sizeof(int))];
	struct iovec iov = { .iov_base = a.hello, .iov_len = sizeof(a.hello) - 1 };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1,
			     .msg_control = ctl, .msg_controllen = sizeof(ctl) };
	struct cmsghdr *c;
	ssize_t n;

	if (!readable(stage_fd, 3000))
		return a;
	a.sock = accept(stage_fd, NULL, NULL);
	n = recvmsg(a.sock, &mh, MSG_CMSG_CLOEXEC);
	a.hello[MAX(n, 0)] = 0;
	c = CMSG_FIRSTHDR(&mh);
	if (c && c->cmsg_type == SCM_RIGHTS) {
		a.n_fds = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(a.fds, CMSG_DATA(c), (size_t)a.n_fds * sizeof(int));
	}
	if (strstr(a.hello, "pid="))
		a.pid = atoi(strstr(a.hello, "pid=") + 4);
	return a;
}

static void
drop_actor(struct actor *a)
{
	for (int i = 0; i < a->n_fds; i++)
		close(a->fds[i]);
	if (a->sock >= 0)
		close(a->sock);
	a->sock = -1;
	a->n_fds = 0;
}

__attribute__((format(printf, 2, 3))) static void
direct(struct actor *a, const char *fmt, ...)
{
	char cmd[256], ok[8];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	send(a->sock, cmd, strlen(cmd), MSG_NOSIGNAL);
	if (readable(a->sock, 3000) && recv(a->sock, ok, sizeof(ok), 0) < 0)
		return;
}

static int
sup_of(const struct actor *ctld)
{
	return ctld->n_fds > 2 ? ctld->fds[2] : -1;
}

/* What tgt-run says to ctld next, within 3 s: NULL if nothing. */
static Tgt__WorkerMsg *
heard(const struct actor *ctld, struct chan_msg *m)
{
	memset(m, 0, sizeof(*m));
	if (!readable(sup_of(ctld), 3000) ||
	    chan_recv_fd(sup_of(ctld), &tgt__worker_msg__descriptor, m) != 1)
		return NULL;
	return (Tgt__WorkerMsg *)m->body;
}

static void
expect_started(const struct actor *ctld, const char *unit, pid_t *pid)
{
	struct chan_msg m;
	Tgt__WorkerMsg *msg = heard(ctld, &m);

	CHECK(msg && msg->body_case == TGT__WORKER_MSG__BODY_UNIT_STARTED);
	if (msg && msg->body_case == TGT__WORKER_MSG__BODY_UNIT_STARTED) {
		CHECK_STR(msg->unit_started->unit, unit);
		if (pid)
			*pid = msg->unit_started->pid;
	}
	chan_msg_done(&m);
}

static void
expect_exited(const struct actor *ctld, const char *unit, Tgt__DeathCause cause, int code,
	      bool again)
{
	struct chan_msg m;
	Tgt__WorkerMsg *msg = heard(ctld, &m);

	CHECK(msg && msg->body_case == TGT__WORKER_MSG__BODY_UNIT_EXITED);
	if (msg && msg->body_case == TGT__WORKER_MSG__BODY_UNIT_EXITED) {
		CHECK_STR(msg->unit_exited->unit, unit);
		CHECK_EQ(msg->unit_exited->cause, cause);
		CHECK_EQ(msg->unit_exited->code, code);
		CHECK_EQ(msg->unit_exited->will_restart, again);
		CHECK(again || !msg->unit_exited->restart_ms);
	}
	chan_msg_done(&m);
}

static void
say_unit(const struct actor *ctld, Tgt__WorkerMsg__BodyCase type, const char *unit)
{
	Tgt__WorkerMsg msg = TGT__WORKER_MSG__INIT;
	Tgt__UnitStart start = TGT__UNIT_START__INIT;
	Tgt__UnitStop stop = TGT__UNIT_STOP__INIT;
	Tgt__UnitKill end = TGT__UNIT_KILL__INIT;

	start.unit = stop.unit = end.unit = (char *)(uintptr_t)unit;
	end.why = (char *)(uintptr_t)"test";
	msg.body_case = type;
	if (type == TGT__WORKER_MSG__BODY_UNIT_START)
		msg.unit_start = &start;
	else if (type == TGT__WORKER_MSG__BODY_UNIT_STOP)
		msg.unit_stop = &stop;
	else
		msg.unit_kill = &end;
	CHECK_EQ(chan_send_fd(sup_of(ctld), &msg.base, NULL, 0), 0);
}

#define say_start(c, u) say_unit(c, TGT__WORKER_MSG__BODY_UNIT_START, u)
#define say_stop(c, u) say_unit(c, TGT__WORKER_MSG__BODY_UNIT_STOP, u)
#define say_kill(c, u) say_unit(c, TGT__WORKER_MSG__BODY_UNIT_KILL, u)

/* Runs tgt-run with these words; returns its first process, tgt-ctld. */
static struct actor
launch(const char *const *words)
{
	char *argv[24] = { (char *)(uintptr_t)"tgt-run" };
	int argc = 1, out[2], err[2];

	while (*words)
		argv[argc++] = (char *)(uintptr_t)*words++;
	argv[argc++] = (char *)(uintptr_t)"--libexec";
	argv[argc++] = libexec;
	CHECK(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0);
	fflush(stdout);
	run_pid = fork();
	if (!run_pid) {
		dup2(out[1], STDOUT_FILENO);
		dup2(err[1], STDERR_FILENO);
		exit(run_main(argc, argv));
	}
	close(out[1]);
	close(err[1]);
	run_out = out[0];
	run_err = err[0];
	return next_actor();
}

static struct actor
launch_service(void)
{
	const char *const words[] = { "--state", state, "--runtime", runtime, NULL };

	return launch(words);
}

/* Waits at most 12 s for tgt-run's end: its exit status, -signal. */
static int
await_end(void)
{
	int st;

	for (int i = 0; i < 1200; i++) {
		if (waitpid(run_pid, &st, WNOHANG) == run_pid) {
			run_pid = 0;
			return WIFEXITED(st) ? WEXITSTATUS(st) : -WTERMSIG(st);
		}
		usleep(10000);
	}
	kill(run_pid, SIGKILL);
	waitpid(run_pid, &st, 0);
	return -1000;
}

/* All of a pipe that is at its end. */
static char *
slurp(int fd)
{
	static char buf[65536];
	size_t len = 0;
	ssize_t n;

	while (readable(fd, 1000) && (n = read(fd, buf + len, sizeof(buf) - 1 - len)) > 0)
		len += (size_t)n;
	buf[len] = 0;
	close(fd);
	return buf;
}

static int
finish(struct actor *ctld)
{
	int rc;

	kill(run_pid, SIGTERM);
	rc = await_end();
	drop_actor(ctld);
	close(run_out);
	slurp(run_err);
	return rc;
}

static bool
alive(pid_t pid)
{
	return kill(pid, 0) == 0;
}

/* ======================================================================== */
/* The tests                                                                 */

static void
test_activation(void)
{
	struct actor ctld = launch_service(), w;
	char expect[64], path[128];
	pid_t pid = 0;

	snprintf(expect, sizeof(expect), "LISTEN_PID=%d", (int)ctld.pid);
	CHECK_EQ(ctld.n_fds, 3);
	CHECK(strstr(ctld.hello, "tgt-ctld "));
	CHECK(strstr(ctld.hello, "--sandbox=enforce --state "));
	CHECK(strstr(ctld.hello, "LISTEN_FDNAMES=control:worker:supervisor "));
	CHECK(strstr(ctld.hello, expect));
	CHECK(strstr(ctld.hello, "WATCHDOG_USEC=5000000"));
	CHECK_MSG(!strstr(ctld.hello, "STRAY"), "%s", ctld.hello);

	/* Workers: told first, then run; no descriptors, no watchdog. */
	say_start(&ctld, "tgt-storaged@disk");
	expect_started(&ctld, "tgt-storaged@disk", &pid);
	w = next_actor();
	CHECK_EQ(w.pid, pid);
	snprintf(path, sizeof(path), "--instance=disk --socket %s/worker.sock ", runtime);
	CHECK_MSG(strstr(w.hello, path), "%s", w.hello);
	CHECK(strstr(w.hello, "LISTEN_FDS= LISTEN_FDNAMES= LISTEN_PID= WATCHDOG_USEC= "));
	CHECK_MSG(!strstr(w.hello, "STRAY"), "%s", w.hello);
	drop_actor(&w); /* ends with 0 by itself */
	expect_exited(&ctld, "tgt-storaged@disk", TGT__DEATH_CAUSE__DEATH_EXIT, 0, true);
	say_stop(&ctld, "tgt-storaged@disk");
	for (int i = 0; i < 3; i++) { /* maybe it was restarted in between */
		struct chan_msg m;
		Tgt__WorkerMsg *msg = heard(&ctld, &m);
		bool last = msg && msg->body_case == TGT__WORKER_MSG__BODY_UNIT_EXITED &&
			    !msg->unit_exited->will_restart;

		chan_msg_done(&m);
		if (last)
			break;
		CHECK(i < 2);
	}
	CHECK_EQ(finish(&ctld), 0);
	CHECK(access(runtime, F_OK) < 0); /* it made it, it removed it */
	CHECK(access(state, F_OK) == 0);
	while (readable(stage_fd, 0)) {
		w = next_actor();
		drop_actor(&w);
	}
}

static void
test_deaths(void)
{
	static const struct {
		const char *order; /* to the puppet; NULL: SIGKILL from outside */
		Tgt__DeathCause cause;
		int code;
	} rows[] = {
		{ "exit 1", TGT__DEATH_CAUSE__DEATH_EXIT, 1 },
		{ "exit 0", TGT__DEATH_CAUSE__DEATH_EXIT, 0 },
		{ "abort", TGT__DEATH_CAUSE__DEATH_OWN_FAULT, SIGABRT },
		{ NULL, TGT__DEATH_CAUSE__DEATH_KILLED, SIGKILL },
	};
	struct actor ctld = launch_service();

	say_start(&ctld, "tgt-scsid@d");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct actor w;
		double t;

		expect_started(&ctld, "tgt-scsid@d", NULL);
		w = next_actor();
		direct(&w, "notify READY=1");
		t = now();
		if (rows[i].order)
			direct(&w, "%s", rows[i].order);
		else
			kill(w.pid, SIGKILL);
		drop_actor(&w);
		expect_exited(&ctld, "tgt-scsid@d", rows[i].cause, rows[i].code, true);
		CHECK(readable(sup_of(&ctld), 1000));
		/* Back soon, because it had been ready: 10 ms and a start. */
		CHECK_MSG(now() - t < 0.5, "back after %.3f s", now() - t);
	}
	/* UnitKill: killed, and back. */
	expect_started(&ctld, "tgt-scsid@d", NULL);
	struct actor w = next_actor();

	say_kill(&ctld, "tgt-scsid@d");
	expect_exited(&ctld, "tgt-scsid@d", TGT__DEATH_CAUSE__DEATH_KILLED, SIGKILL, true);
	drop_actor(&w);
	expect_started(&ctld, "tgt-scsid@d", NULL);
	w = next_actor();
	/* UnitStop: SIGTERM, and not back. */
	say_start(&ctld, "tgt-scsid@d"); /* runs already: nothing happens */
	say_stop(&ctld, "tgt-scsid@d");
	expect_exited(&ctld, "tgt-scsid@d", TGT__DEATH_CAUSE__DEATH_KILLED, SIGTERM, false);
	drop_actor(&w);
	say_stop(&ctld, "tgt-scsid@d"); /* not there: answered all the same */
	expect_exited(&ctld, "tgt-scsid@d", TGT__DEATH_CAUSE__DEATH_NONE, 0, false);
	CHECK(!readable(sup_of(&ctld), 100));
	/* Names that are none are answered, and harm nobody. */
	say_start(&ctld, "tgt-ctld");
	expect_exited(&ctld, "tgt-ctld", TGT__DEATH_CAUSE__DEATH_EXIT, EINVAL, false);
	say_start(&ctld, "tgt-scsid@../../bin/sh");
	expect_exited(&ctld, "tgt-scsid@../../bin/sh", TGT__DEATH_CAUSE__DEATH_EXIT, EINVAL, false);
	CHECK_EQ(finish(&ctld), 0);
}

static void
test_backoff(void)
{
	struct actor ctld = launch_service();
	uint32_t last = 0;

	say_start(&ctld, "tgt-storaged@d");
	for (int i = 0; i < 6; i++) { /* dies young, never ready: slower and slower */
		struct chan_msg m;
		Tgt__WorkerMsg *msg;
		struct actor w;

		expect_started(&ctld, "tgt-storaged@d", NULL);
		w = next_actor();
		direct(&w, "exit 1");
		drop_actor(&w);
		msg = heard(&ctld, &m);
		CHECK(msg && msg->body_case == TGT__WORKER_MSG__BODY_UNIT_EXITED);
		if (msg && msg->body_case == TGT__WORKER_MSG__BODY_UNIT_EXITED) {
			CHECK(msg->unit_exited->restart_ms > last);
			CHECK(i || msg->unit_exited->restart_ms <= 20);
			last = msg->unit_exited->restart_ms;
		}
		chan_msg_done(&m);
	}
	CHECK(last >= 300);
	CHECK_EQ(finish(&ctld), 0); /* also while it waits for a restart */
	while (readable(stage_fd, 0)) {
		struct actor w = next_actor();

		drop_actor(&w);
	}
}

static void
open_listener(const struct actor *ctld, const char *name, const char *addr, uint32_t port,
	      int err, int *fd, uint32_t *real)
{
	Tgt__WorkerMsg msg = TGT__WORKER_MSG__INIT, *got;
	Tgt__ListenerOpen want = TGT__LISTENER_OPEN__INIT;
	struct chan_msg m;

	want.name = (char *)(uintptr_t)name;
	want.addr = (char *)(uintptr_t)addr;
	want.port = port;
	msg.body_case = TGT__WORKER_MSG__BODY_LISTENER_OPEN;
	msg.listener_open = &want;
	CHECK_EQ(chan_send_fd(sup_of(ctld), &msg.base, NULL, 0), 0);
	got = heard(ctld, &m);
	CHECK(got && got->body_case == TGT__WORKER_MSG__BODY_LISTENER_OPENED);
	if (got && got->body_case == TGT__WORKER_MSG__BODY_LISTENER_OPENED) {
		CHECK_STR(got->listener_opened->name, name);
		CHECK_EQ(got->listener_opened->err, err);
		CHECK_EQ(m.n_fds, err == 0);
		if (real)
			*real = got->listener_opened->port;
		if (fd)
			*fd = chan_msg_take_fd(&m, 0);
	}
	chan_msg_done(&m);
}

static void
close_listener(const struct actor *ctld, const char *name)
{
	Tgt__WorkerMsg msg = TGT__WORKER_MSG__INIT;
	Tgt__ListenerClose end = TGT__LISTENER_CLOSE__INIT;

	end.name = (char *)(uintptr_t)name;
	msg.body_case = TGT__WORKER_MSG__BODY_LISTENER_CLOSE;
	msg.listener_close = &end;
	CHECK_EQ(chan_send_fd(sup_of(ctld), &msg.base, NULL, 0), 0);
}

static void
test_listeners(void)
{
	struct actor ctld = launch_service();
	struct sockaddr_in sa = { .sin_family = AF_INET };
	uint32_t port = 0, same = 0;
	int fd = -1, other = -1, c = socket(AF_INET, SOCK_STREAM, 0);
	struct stat a, b;

	open_listener(&ctld, "p0", "127.0.0.1", 0, 0, &fd, &port);
	CHECK(port > 0 && fd >= 0);
	CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
	sa.sin_port = htons((uint16_t)port);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(connect(c, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	CHECK(readable(fd, 1000));
	close(c);
	/* Again: the same socket. */
	open_listener(&ctld, "p0", "127.0.0.1", port, 0, &other, &same);
	CHECK(same == port && fstat(fd, &a) == 0 && fstat(other, &b) == 0 &&
	      a.st_ino == b.st_ino);
	close(other);
	open_listener(&ctld, "p0", "127.0.0.1", port == 1 ? 2 : port - 1, EEXIST, NULL, NULL);
	open_listener(&ctld, "p0", "127.0.0.2", port, EEXIST, NULL, NULL);
	open_listener(&ctld, "p1", "127.0.0.1", port, EADDRINUSE, NULL, NULL);
	open_listener(&ctld, "p1", "no.such.name", 0, EINVAL, NULL, NULL);
	open_listener(&ctld, "p1", "", 0, EINVAL, NULL, NULL);
	open_listener(&ctld, "", "127.0.0.1", 0, EINVAL, NULL, NULL);
	open_listener(&ctld, "p1", "127.0.0.1", 65536, EINVAL, NULL, NULL);
	open_listener(&ctld, "p1", "192.0.2.1", 0, EADDRNOTAVAIL, NULL, NULL);

	/* A new tgt-ctld asks and gets the same one. */
	direct(&ctld, "notify READY=1");
	direct(&ctld, "abort");
	drop_actor(&ctld);
	ctld = next_actor();
	open_listener(&ctld, "p0", "127.0.0.1", port, 0, &other, &same);
	CHECK(same == port && fstat(other, &b) == 0 && a.st_ino == b.st_ino);
	close(other);
	close(fd);
	close_listener(&ctld, "p0");
	open_listener(&ctld, "p1", "127.0.0.1", port, 0, NULL, NULL); /* it is free again */
	CHECK_EQ(finish(&ctld), 0);
}

static void
test_ctld_restart(void)
{
	struct actor ctld = launch_service(), w, again;
	pid_t pid = 0, told = 0;
	ino_t control, stored;
	struct stat st;

	direct(&ctld, "notify READY=1");
	direct(&ctld, "store FDSTORE=1\nFDNAME=lane1");
	direct(&ctld, "store FDSTORE=1\nFDNAME=bad:name"); /* refused */
	direct(&ctld, "store FDSTORE=1\nFDNAME=gone");
	direct(&ctld, "notify FDSTOREREMOVE=1\nFDNAME=gone");
	say_start(&ctld, "tgt-scsid@d");
	expect_started(&ctld, "tgt-scsid@d", &pid);
	w = next_actor();
	/* A worker may not store, nor speak for ctld. */
	direct(&w, "store FDSTORE=1\nFDNAME=intruder");
	CHECK(fstat(ctld.fds[0], &st) == 0);
	control = st.st_ino;

	kill(ctld.pid, SIGKILL);
	drop_actor(&ctld);
	again = next_actor();
	CHECK(strstr(again.hello, "tgt-ctld "));
	CHECK_MSG(strstr(again.hello, "LISTEN_FDNAMES=control:worker:supervisor:lane1:lane1 "),
		  "%s", again.hello);
	CHECK_EQ(again.n_fds, 5);
	CHECK(fstat(again.fds[0], &st) == 0 && st.st_ino == control);
	CHECK(fstat(again.fds[3], &st) == 0);
	stored = st.st_ino;
	CHECK(fstat(again.fds[4], &st) == 0 && st.st_ino == stored); /* two ends of a pipe */
	expect_started(&again, "tgt-scsid@d", &told); /* who is there already */
	CHECK_EQ(told, pid);
	CHECK(alive(pid));
	drop_actor(&w);
	CHECK_EQ(finish(&again), 0);
}

static void
test_stop_order(void)
{
	static const char *const units[] = { "tgt-storaged@d", "tgt-scsid@d", "tgt-portal@0" };
	static const char *const order[] = { "tgt-portal@0", "tgt-scsid@d", "tgt-storaged@d" };
	struct actor ctld = launch_service(), w[3];
	struct chan_msg m;
	Tgt__WorkerMsg *msg;

	for (int i = 0; i < 3; i++) {
		say_start(&ctld, units[i]);
		expect_started(&ctld, units[i], NULL);
		w[i] = next_actor();
	}
	CHECK(strstr(w[2].hello, "WATCHDOG_USEC=5000000"));
	kill(run_pid, SIGINT);
	msg = heard(&ctld, &m);
	CHECK(msg && msg->body_case == TGT__WORKER_MSG__BODY_TERMINATE);
	chan_msg_done(&m);
	for (int i = 0; i < 3; i++)
		expect_exited(&ctld, order[i], TGT__DEATH_CAUSE__DEATH_KILLED, SIGTERM, false);
	CHECK_EQ(await_end(), 0);
	CHECK(!alive(ctld.pid));
	for (int i = 0; i < 3; i++)
		drop_actor(&w[i]);
	drop_actor(&ctld);
	close(run_out);
	slurp(run_err);
}

static void
test_second_signal(void)
{
	struct actor ctld = launch_service(), w;
	double t;

	say_start(&ctld, "tgt-scsid@d");
	w = next_actor();
	direct(&w, "deaf");
	kill(run_pid, SIGTERM);
	usleep(200000);
	CHECK(alive(w.pid)); /* would be killed after 5 s */
	t = now();
	kill(run_pid, SIGTERM);
	CHECK_EQ(await_end(), 0);
	CHECK(now() - t < 2);
	CHECK(!alive(w.pid) && !alive(ctld.pid));
	drop_actor(&w);
	drop_actor(&ctld);
	close(run_out);
	slurp(run_err);
}

static void
test_watchdog(void)
{
	struct actor ctld = launch_service(), w;
	double t;

	direct(&ctld, "notify READY=1");
	say_start(&ctld, "tgt-portal@0");
	expect_started(&ctld, "tgt-portal@0", NULL);
	w = next_actor();
	direct(&w, "notify READY=1");
	t = now();
	usleep(500000);
	direct(&w, "notify WATCHDOG=1"); /* the last sign of life */
	usleep(2000000);
	direct(&ctld, "notify WATCHDOG=1"); /* ctld goes on showing some */
	usleep(2000000);
	direct(&ctld, "notify WATCHDOG=1");
	expect_exited(&ctld, "tgt-portal@0", TGT__DEATH_CAUSE__DEATH_WATCHDOG, SIGKILL, true);
	CHECK_MSG(now() - t > 5.2 && now() - t < 8, "%.1f s", now() - t); /* 0.5 + 5 */
	drop_actor(&w);
	CHECK_EQ(finish(&ctld), 0);
}

static void
test_ctld_never_ready(void)
{
	struct actor ctld = launch_service();

	direct(&ctld, "exit 7");
	drop_actor(&ctld);
	CHECK_EQ(await_end(), 1);
	CHECK(strstr(slurp(run_err), "tgt-ctld ended with status 7 before it was ready"));
	close(run_out);
}

static void
test_shutdown(void)
{
	struct actor ctld = launch_service();
	Tgt__WorkerMsg msg = TGT__WORKER_MSG__INIT;
	Tgt__Shutdown end = TGT__SHUTDOWN__INIT;

	end.code = 3;
	end.why = (char *)(uintptr_t)"the reason";
	msg.body_case = TGT__WORKER_MSG__BODY_SHUTDOWN;
	msg.shutdown = &end;
	CHECK_EQ(chan_send_fd(sup_of(&ctld), &msg.base, NULL, 0), 0);
	CHECK_EQ(await_end(), 3);
	CHECK(strstr(slurp(run_err), "tgt-run: the reason\n"));
	close(run_out);
	drop_actor(&ctld);
}

/* ---- --lun --------------------------------------------------------------- */

/* Answers tgt-run's control requests, one connection, as tgt-ctld would. */
static int
accept_client(struct actor *ctld)
{
	int c = -1;

	if (readable(ctld->fds[0], 3000))
		c = accept4(ctld->fds[0], NULL, NULL, SOCK_CLOEXEC);
	CHECK(c >= 0);
	return c;
}

static Tgt__ControlRequest *
asked(int c, struct chan_msg *m)
{
	memset(m, 0, sizeof(*m));
	if (!readable(c, 3000) || chan_recv_fd(c, &tgt__control_request__descriptor, m) != 1)
		return NULL;
	return (Tgt__ControlRequest *)m->body;
}

static void
answer(int c, const Tgt__ControlRequest *q, int err, const char *text)
{
	Tgt__ControlReply r = TGT__CONTROL_REPLY__INIT;
	Tgt__Portal portal = TGT__PORTAL__INIT, *portals[] = { &portal };
	Tgt__Lun lun = TGT__LUN__INIT, *luns[] = { &lun };

	r.id = q->id;
	r.err = err;
	r.text = (char *)(uintptr_t)text;
	portal.addr = (char *)(uintptr_t)"127.0.0.1";
	portal.port = 40123;
	lun.size = 1 << 20;
	if (!err && q->body_case == TGT__CONTROL_REQUEST__BODY_CREATE_PORTAL) {
		r.n_portal = 1;
		r.portal = portals;
	}
	if (!err && q->body_case == TGT__CONTROL_REQUEST__BODY_CREATE_LUN) {
		r.n_lun = 1;
		r.lun = luns;
	}
	CHECK_EQ(chan_send_fd(c, &r.base, NULL, 0), 0);
}

static void
test_export(void)
{
	const char *const words[] = { "--lun", "/etc/hostname", "--null", "1G", "--read-only", NULL };
	static const Tgt__ControlRequest__BodyCase order[] = {
		TGT__CONTROL_REQUEST__BODY_CREATE_PORTAL, TGT__CONTROL_REQUEST__BODY_CREATE_TARGET,
		TGT__CONTROL_REQUEST__BODY_CREATE_LUN, TGT__CONTROL_REQUEST__BODY_CREATE_MAPPING,
		TGT__CONTROL_REQUEST__BODY_CREATE_LUN, TGT__CONTROL_REQUEST__BODY_CREATE_MAPPING,
	};
	struct actor ctld = launch(words);
	char scratch[128] = "";
	int c = accept_client(&ctld);

	if (strstr(ctld.hello, "--state "))
		sscanf(strstr(ctld.hello, "--state ") + 8, "%127s", scratch);
	CHECK(access(scratch, F_OK) == 0);
	CHECK(strstr(ctld.hello, "TGT_LOG=warn"));
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		struct chan_msg m;
		Tgt__ControlRequest *q = asked(c, &m);

		CHECK(q && q->body_case == order[i]);
		if (!q)
			break;
		if (i == 2) {
			CHECK_STR(q->create_lun->lun->name, "hostname");
			CHECK_STR(q->create_lun->lun->path, "/etc/hostname");
			CHECK_STR(q->create_lun->lun->backend, "rdwr");
			CHECK(q->create_lun->lun->read_only);
		} else if (i == 4) {
			CHECK_STR(q->create_lun->lun->name, "null");
			CHECK_STR(q->create_lun->lun->backend, "null");
			CHECK_EQ(q->create_lun->lun->size, 1 << 30);
		} else if (i == 5) {
			CHECK_STR(q->create_mapping->mapping->target,
				  "iqn.2026-11.org.tgt-ng:hostname");
			CHECK_EQ(q->create_mapping->mapping->number, 1);
		}
		answer(c, q, 0, i == 2 ? "rounded down" : "");
		chan_msg_done(&m);
	}
	CHECK(readable(run_out, 3000));
	CHECK_EQ(finish(&ctld), 0); /* closes run_out and run_err */
	close(c);
	CHECK(access(scratch, F_OK) < 0); /* nothing stays behind */
}

/* The whole of what is printed, and where. */
static void
test_export_text(void)
{
	const char *const words[] = { "--lun", "/etc/hostname", NULL };
	struct actor ctld = launch(words);
	int c = accept_client(&ctld);
	char *text;

	direct(&ctld, "log held back");
	for (int i = 0; i < 4; i++) {
		struct chan_msg m;
		Tgt__ControlRequest *q = asked(c, &m);

		if (q)
			answer(c, q, 0, i == 2 ? "rounded down" : "");
		chan_msg_done(&m);
	}
	CHECK(readable(run_out, 3000));
	direct(&ctld, "log later");
	kill(run_pid, SIGINT);
	CHECK_EQ(await_end(), 0);
	text = slurp(run_out);
	CHECK(strstr(text, "iscsi://127.0.0.1:40123/iqn.2026-11.org.tgt-ng:hostname/0\n"));
	CHECK(strstr(text, "/etc/hostname  1.0 MiB"));
	CHECK(strstr(text, "\nCtrl-C stops it.\n"));
	text = slurp(run_err);
	CHECK(strstr(text, "tgt-run: rounded down\n"));
	CHECK(strstr(text, "held back\n") && strstr(text, "later\n"));
	drop_actor(&ctld);
	close(c);
}

/* What ctld refuses is one line, exit 1, and nothing left. */
static void
test_export_refused(void)
{
	const char *const words[] = { "--lun", "/no/such/file", NULL };
	static const struct {
		int step;
		int err;
		const char *text, *line;
	} rows[] = {
		{ 0, EADDRINUSE, "127.0.0.1:3260: address already in use; choose another",
		  "tgt-run: 127.0.0.1:3260: address already in use; choose another\n" },
		{ 2, ENOENT, "/no/such/file: no such file", "tgt-run: /no/such/file: no such file\n" },
		{ 2, EIO, "", "tgt-run: /no/such/file: Input/output error\n" },
		{ 2, -1, NULL, "tgt-run: tgt-ctld ended at once (status 4)\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct actor ctld = launch(words);
		int c = accept_client(&ctld);
		char *text;

		direct(&ctld, "notify READY=1");
		for (int step = 0; step <= rows[i].step; step++) {
			struct chan_msg m;
			Tgt__ControlRequest *q = asked(c, &m);

			CHECK(q != NULL);
			if (q && step < rows[i].step)
				answer(c, q, 0, "");
			else if (q && rows[i].err > 0)
				answer(c, q, rows[i].err, rows[i].text);
			else
				direct(&ctld, "exit 4");
			chan_msg_done(&m);
		}
		CHECK_EQ(await_end(), 1);
		text = slurp(run_err);
		if (rows[i].err > 0) /* the one line and nothing else */
			CHECK_STR(text, rows[i].line);
		else
			CHECK_MSG(strstr(text, rows[i].line), "%s", text);
		text = slurp(run_out);
		CHECK_STR(text, "");
		drop_actor(&ctld);
		close(c);
	}
}

static void
test_usage(void)
{
	static const struct {
		const char *words[8];
		int rc;
		const char *err;
	} rows[] = {
		{ { "--frob" }, 2, "tgt-run: unrecognized option '--frob'\nTry 'tgt-run --help'.\n" },
		{ { "--lun" }, 2, "tgt-run: option '--lun' requires an argument\n" },
		{ { "disk.img" }, 2, "tgt-run: unexpected argument 'disk.img'; to export" },
		{ { "--portal", "127.0.0.1:1" }, 2, "tgt-run: --portal, --target," },
		{ { "--lun", "a", "--state", "/x" }, 2, "tgt-run: --lun keeps no state" },
		{ { "--lun", "a", "--portal", "x" }, 2, "tgt-run: --portal x: must be" },
		{ { "--lun", "a", "--block-size", "513" }, 2, "tgt-run: --block-size 513: must be" },
		{ { "--null", "0" }, 2, "tgt-run: --null 0: must be a size" },
		{ { "--lun", "" }, 2, "tgt-run: --lun '': no file name" },
		{ { "--sandbox", "off" }, 2, "tgt-run: --sandbox off: must be enforce or log" },
		{ { "--help" }, 0, "" },
		{ { "--version" }, 0, "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int err[2];
		pid_t pid;
		int st = 0;

		CHECK(pipe(err) == 0);
		fflush(stdout);
		pid = fork();
		if (!pid) {
			char *argv[10] = { (char *)(uintptr_t)"x" };
			int n = 1;

			for (; n < 9 && rows[i].words[n - 1]; n++)
				argv[n] = (char *)(uintptr_t)rows[i].words[n - 1];
			dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
			dup2(err[1], STDERR_FILENO);
			exit(run_main(n, argv));
		}
		close(err[1]);
		waitpid(pid, &st, 0);
		CHECK_EQ(WEXITSTATUS(st), rows[i].rc);
		char *text = slurp(err[0]);

		CHECK_MSG(!strncmp(text, rows[i].err, strlen(rows[i].err)), "%s", text);
	}
}

static void
test_two_services(void)
{
	const char *const words[] = { "--state", state, "--runtime", runtime, NULL };
	struct actor ctld = launch_service();
	pid_t first = run_pid;
	int out = run_out, err = run_err;

	launch(words); /* waits in vain for a process, 3 s */
	CHECK_EQ(await_end(), 1);
	CHECK(strstr(slurp(run_err), "another tgt-run serves here"));
	close(run_out);
	run_pid = first;
	run_out = out;
	run_err = err;
	CHECK(access(runtime, F_OK) == 0);
	CHECK_EQ(finish(&ctld), 0);
}

static int
set_stage(void)
{
	char self[PATH_MAX], link[128];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0 || !mkdtemp(dir))
		return -1;
	self[n] = 0;
	snprintf(libexec, sizeof(libexec), "%s/bin", dir);
	snprintf(state, sizeof(state), "%s/state", dir);
	snprintf(runtime, sizeof(runtime), "%s/run", dir);
	snprintf(stage_path, sizeof(stage_path), "%s/stage", dir);
	if (mkdir(libexec, 0700) < 0)
		return -1;
	for (int p = 0; p < RUN_N_PROGS; p++) {
		snprintf(link, sizeof(link), "%s/%s", libexec, run_prog_names[p]);
		if (symlink(self, link) < 0)
			return -1;
	}
	stage_fd = chan_listen(stage_path, 0);
	setenv(PUPPET_SOCKET, stage_path, 1);
	return stage_fd < 0 ? -1 : 0;
}

static void
strike_stage(void)
{
	char path[128];

	for (int p = 0; p < RUN_N_PROGS; p++) {
		snprintf(path, sizeof(path), "%s/%s", libexec, run_prog_names[p]);
		unlink(path);
	}
	unlink(stage_path);
	rmdir(libexec);
	rmdir(state);
	rmdir(dir);
}

int
main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/'), *name = slash ? slash + 1 : argv[0];

	if (!strncmp(name, "tgt-", 4))
		return puppet(name, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	unsetenv("TGT_LOG");
	if (set_stage() < 0)
		return 1;
	TEST(test_usage);
	TEST(test_activation);
	TEST(test_deaths);
	TEST(test_backoff);
	TEST(test_listeners);
	TEST(test_ctld_restart);
	TEST(test_stop_order);
	TEST(test_second_signal);
	TEST(test_watchdog);
	TEST(test_ctld_never_ready);
	TEST(test_shutdown);
	TEST(test_export);
	TEST(test_export_text);
	TEST(test_export_refused);
	TEST(test_two_services);
	strike_stage();
	return tap_done();
}
