/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tgt-run with puppets for processes, for the test programs that include this.
 * The program runs tgt-run in a child, with a --libexec directory in which
 * tgt-ctld and the others are links to the program itself; each of those
 * connects back and does what it is told, and the puppet tgt-ctld hands its
 * descriptors over, so that the tests themselves play tgt-ctld's side of the
 * conversation.
 */
#ifndef TESTS_RUN_STAGE_H
#define TESTS_RUN_STAGE_H

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
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ctl/run.h"
#include "proto/daemon.h"
#include "tests/unit/tap.h"

#define PUPPET_SOCKET "TGT_TEST_PUPPETS"

#pragma GCC diagnostic ignored "-Wunused-function" /* not every program uses all */

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

/* Runs tgt-run with these words. */
static void
start_run(const char *const *words)
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
}

/* The same; returns its first process, tgt-ctld. */
static struct actor
launch(const char *const *words)
{
	start_run(words);
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

/* A puppet's exit status, or -1: this is the test program, and all is set. */
static int
enter_stage(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/'), *name = slash ? slash + 1 : argv[0];

	if (!strncmp(name, "tgt-", 4))
		return puppet(name, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	unsetenv("TGT_LOG");
	return set_stage() < 0 ? 1 : -1;
}

#endif
