/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one start-up order, from outside: a small worker in a child, this
 * program as its tgt-ctld and its supervisor.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/daemon.h"
#include "proto/log.h"
#include "tests/unit/tap.h"

static char dir[] = "/tmp/test_daemon.XXXXXX", path[64], notify_path[64];
static int listening, notify_sock, worker_err;
static pid_t worker_pid;

/* ---- the worker ---------------------------------------------------------- */

static int configured, opened_with;

static int
on_configure(struct daemon *d, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	if (msg->body_case != TGT__WORKER_MSG__BODY_TARGET_REMOVE)
		return -EPROTO;
	configured++;
	return 0;
}

static int
on_open(struct daemon *d, Tgt__Failed *failed)
{
	opened_with = configured;
	if (!strcmp(d->instance, "broken")) {
		failed->text = (char *)(uintptr_t)"x.img: no such file";
		failed->permanent = true;
		return -ENOENT;
	}
	return !strcmp(d->instance, "terse") ? -EACCES : 0;
}

static int
on_start(struct daemon *d, Tgt__Ready *ready)
{
	ready->store_size = (uint64_t)opened_with;
	return !strcmp(d->instance, "late") ? -ENOSPC : 0;
}

static int
on_message(struct daemon *d, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	Tgt__WorkerMsg answer = TGT__WORKER_MSG__INIT;
	Tgt__LaneReleased released = TGT__LANE_RELEASED__INIT;

	if (msg->body_case == TGT__WORKER_MSG__BODY_LANE_EPOCH) {
		released.lane = msg->lane_epoch->lane;
		answer.body_case = TGT__WORKER_MSG__BODY_LANE_RELEASED;
		answer.lane_released = &released;
		return daemon_send(d, &answer);
	}
	if (msg->body_case == TGT__WORKER_MSG__BODY_LANE_CLOSE)
		abort();
	if (msg->body_case == TGT__WORKER_MSG__BODY_LANE_REVOKE)
		socket(AF_INET, SOCK_STREAM, 0); /* not on the list */
	if (msg->body_case == TGT__WORKER_MSG__BODY_LISTENER_REMOVE)
		daemon_exit(d, 9);
	return msg->body_case == TGT__WORKER_MSG__BODY_LUN_LIST ? -EPROTO : 0;
}

static const struct daemon_steps steps = {
	.name = "tgt-test", .summary = "A worker for tests.", .role = TGT__ROLE__ROLE_SCSID,
	.configure = on_configure, .open = on_open, .start = on_start, .message = on_message,
};

/* ---- its tgt-ctld -------------------------------------------------------- */

static int
launch(const char *instance)
{
	struct pollfd p = { .fd = listening, .events = POLLIN };
	int err[2];

	fflush(stdout);
	if (pipe(err) < 0)
		return -1;
	worker_pid = fork();
	if (!worker_pid) {
		char *argv[] = { (char *)(uintptr_t)"x", (char *)(uintptr_t)"--instance",
				 (char *)(uintptr_t)instance, (char *)(uintptr_t)"--socket", path,
				 NULL };

		dup2(err[1], 2);
		setenv("NOTIFY_SOCKET", notify_path, 1);
		setenv("WATCHDOG_USEC", "100000", 1);
		exit(daemon_main(&steps, NULL, 5, argv));
	}
	close(err[1]);
	worker_err = err[0];
	return poll(&p, 1, 3000) > 0 ? accept(listening, NULL, NULL) : -1;
}

static int
await_end(void)
{
	int st = 0;

	close(worker_err);
	for (int i = 0; i < 500; i++) {
		if (waitpid(worker_pid, &st, WNOHANG) == worker_pid)
			return WIFEXITED(st) ? WEXITSTATUS(st) : -WTERMSIG(st);
		usleep(10000);
	}
	kill(worker_pid, SIGKILL);
	waitpid(worker_pid, &st, 0);
	return -1000;
}

static const Tgt__WorkerMsg *
heard(int c, struct chan_msg *m)
{
	struct pollfd p = { .fd = c, .events = POLLIN };
	static const Tgt__WorkerMsg nothing = TGT__WORKER_MSG__INIT;

	memset(m, 0, sizeof(*m));
	if (poll(&p, 1, 3000) <= 0 || chan_recv_fd(c, &tgt__worker_msg__descriptor, m) != 1)
		return &nothing;
	return (const Tgt__WorkerMsg *)m->body;
}

/* Says one of the messages without content. */
static void
say(int c, Tgt__WorkerMsg__BodyCase type)
{
	static Tgt__TargetRemove target = TGT__TARGET_REMOVE__INIT;
	static Tgt__ConfigDone done = TGT__CONFIG_DONE__INIT;
	static Tgt__LaneEpoch epoch = TGT__LANE_EPOCH__INIT;
	static Tgt__LaneClose lane_close = TGT__LANE_CLOSE__INIT;
	static Tgt__LaneRevoke revoke = TGT__LANE_REVOKE__INIT;
	static Tgt__ListenerRemove listener = TGT__LISTENER_REMOVE__INIT;
	static Tgt__LunList list = TGT__LUN_LIST__INIT;
	const struct {
		Tgt__WorkerMsg__BodyCase type;
		ProtobufCMessage *body;
	} all[] = {
		{ TGT__WORKER_MSG__BODY_TARGET_REMOVE, &target.base },
		{ TGT__WORKER_MSG__BODY_CONFIG_DONE, &done.base },
		{ TGT__WORKER_MSG__BODY_LANE_EPOCH, &epoch.base },
		{ TGT__WORKER_MSG__BODY_LANE_CLOSE, &lane_close.base },
		{ TGT__WORKER_MSG__BODY_LANE_REVOKE, &revoke.base },
		{ TGT__WORKER_MSG__BODY_LISTENER_REMOVE, &listener.base },
		{ TGT__WORKER_MSG__BODY_LUN_LIST, &list.base },
	};
	Tgt__WorkerMsg msg = TGT__WORKER_MSG__INIT;

	msg.body_case = type;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (all[i].type == type)
			msg.hello = (Tgt__Hello *)(void *)all[i].body; /* one pointer, a union */
	}
	CHECK_EQ(chan_send_fd(c, &msg.base, NULL, 0), 0);
}

static void
expect_hello(int c, const char *instance)
{
	struct chan_msg m;
	const Tgt__WorkerMsg *msg = heard(c, &m);

	CHECK_EQ(msg->body_case, TGT__WORKER_MSG__BODY_HELLO);
	if (msg->body_case == TGT__WORKER_MSG__BODY_HELLO) {
		CHECK_EQ(msg->hello->version, PROTO_VERSION);
		CHECK_EQ(msg->hello->role, TGT__ROLE__ROLE_SCSID);
		CHECK_STR(msg->hello->instance, instance);
	}
	chan_msg_done(&m);
}

static int
launch_ready(const char *instance)
{
	int c = launch(instance);
	struct chan_msg m;
	const Tgt__WorkerMsg *msg;

	CHECK(c >= 0);
	expect_hello(c, instance);
	say(c, TGT__WORKER_MSG__BODY_TARGET_REMOVE);
	say(c, TGT__WORKER_MSG__BODY_TARGET_REMOVE);
	say(c, TGT__WORKER_MSG__BODY_CONFIG_DONE);
	msg = heard(c, &m);
	CHECK_EQ(msg->body_case, TGT__WORKER_MSG__BODY_READY);
	if (msg->body_case == TGT__WORKER_MSG__BODY_READY)
		CHECK_EQ(msg->ready->store_size, 2); /* configured before opened */
	chan_msg_done(&m);
	return c;
}

/* ---- tests --------------------------------------------------------------- */

static void
test_life(void)
{
	struct pollfd p = { .fd = notify_sock, .events = POLLIN };
	int c = launch_ready("good"), beats = 0;
	struct chan_msg m;
	char note[64];

	CHECK(poll(&p, 1, 3000) > 0);
	CHECK(recv(notify_sock, note, sizeof(note), 0) == 7 && !memcmp(note, "READY=1", 7));
	for (int i = 0; i < 3; i++) { /* half of WATCHDOG_USEC: 50 ms */
		CHECK(poll(&p, 1, 2000) > 0);
		beats += recv(notify_sock, note, sizeof(note), 0) == 10;
	}
	CHECK_EQ(beats, 3);
	say(c, TGT__WORKER_MSG__BODY_LANE_EPOCH);
	CHECK_EQ(heard(c, &m)->body_case, TGT__WORKER_MSG__BODY_LANE_RELEASED);
	chan_msg_done(&m);
	kill(worker_pid, SIGTERM);
	CHECK_EQ(await_end(), 0);
	close(c);
}

static void
test_ends(void)
{
	static const struct {
		Tgt__WorkerMsg__BodyCase say;
		int rc;
	} rows[] = {
		{ TGT__WORKER_MSG__BODY__NOT_SET, 0 }, /* tgt-ctld is gone */
		{ TGT__WORKER_MSG__BODY_LUN_LIST, 1 }, /* -EPROTO of the message step */
		{ TGT__WORKER_MSG__BODY_LISTENER_REMOVE, 9 }, /* daemon_exit */
		{ TGT__WORKER_MSG__BODY_LANE_CLOSE, -SIGABRT }, /* abort is an own fault... */
		{ TGT__WORKER_MSG__BODY_LANE_REVOKE, -SIGSYS }, /* ...and so is this */
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int c = launch_ready("good"), rc;

		if (rows[i].say == TGT__WORKER_MSG__BODY__NOT_SET)
			close(c);
		else
			say(c, rows[i].say);
		rc = await_end();
		CHECK_MSG(rc == rows[i].rc, "row %zu: %d", i, rc);
		if (rows[i].say != TGT__WORKER_MSG__BODY__NOT_SET)
			close(c);
	}
}

static void
test_failures(void)
{
	static const struct {
		const char *instance;
		Tgt__WorkerMsg__BodyCase say; /* instead of the configuration */
		int err;
		const char *text;
		bool permanent;
	} rows[] = {
		{ "broken", 0, ENOENT, "x.img: no such file", true },
		{ "terse", 0, EACCES, "cannot open what it serves: Permission denied", false },
		{ "late", 0, ENOSPC, "cannot start: No space left on device", false },
		{ "good", TGT__WORKER_MSG__BODY_LUN_LIST, EPROTO,
		  "the configuration cannot be used: Protocol error", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int c = launch(rows[i].instance);
		struct chan_msg m;
		const Tgt__WorkerMsg *msg;

		expect_hello(c, rows[i].instance);
		say(c, rows[i].say ? rows[i].say : TGT__WORKER_MSG__BODY_CONFIG_DONE);
		msg = heard(c, &m);
		CHECK_EQ(msg->body_case, TGT__WORKER_MSG__BODY_FAILED);
		if (msg->body_case == TGT__WORKER_MSG__BODY_FAILED) {
			CHECK_EQ(msg->failed->err, rows[i].err);
			CHECK_STR(msg->failed->text, rows[i].text);
			CHECK_EQ(msg->failed->permanent, rows[i].permanent);
		}
		chan_msg_done(&m);
		CHECK_EQ(await_end(), 1);
		close(c);
	}
	/* tgt-ctld ends during configuration; SIGTERM during it. */
	close(launch("good"));
	CHECK_EQ(await_end(), 1);
	int c = launch("good");

	expect_hello(c, "good");
	kill(worker_pid, SIGTERM);
	CHECK_EQ(await_end(), -SIGTERM);
	close(c);
}

static void
test_usage(void)
{
	static const struct {
		const char *words[4];
		int rc;
	} rows[] = {
		{ { "--frob" }, 2 },
		{ { "--instance" }, 2 },
		{ { NULL }, 2 }, /* no instance */
		{ { "--instance", "" }, 2 },
		{ { "--instance", "a", "b" }, 2 },
		{ { "--instance", "a", "--sandbox=off" }, 2 },
		{ { "--help" }, 0 },
		{ { "--version" }, 0 },
		{ { "--instance", "a", "--socket=/no/such/socket" }, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int st = 0, n = 0;
		pid_t pid;

		fflush(stdout);
		pid = fork();
		if (!pid) {
			char *argv[6] = { (char *)(uintptr_t)"x" };

			while (n < 4 && rows[i].words[n]) {
				argv[n + 1] = (char *)(uintptr_t)rows[i].words[n];
				n++;
			}
			close(1);
			close(2);
			exit(daemon_main(&steps, NULL, n + 1, argv));
		}
		waitpid(pid, &st, 0);
		CHECK_MSG(WIFEXITED(st) && WEXITSTATUS(st) == rows[i].rc, "row %zu: %d", i, st);
	}
}

/* One line a call, whatever is in the text. */
static void
test_log(void)
{
	static const char expect[] = "<6>tgt-x[lun]: a?b?[31m c\n<4>tgt-x[lun]:  ";
	char buf[4096], *at;
	int p[2], old = dup(2);
	ssize_t n;

	CHECK(pipe(p) == 0);
	dup2(p[1], 2);
	log_open("tgt-x", "lun", LOG_LEVEL_INFO);
	log_info("a\nb\x1b[31m %s", "c");
	log_debug("not seen");
	log_warn("%2000s|", "long");
	dup2(old, 2);
	n = read(p[0], buf, sizeof(buf) - 1);
	CHECK(n > 0);
	buf[MAX(n, 0)] = 0;
	CHECK(!strncmp(buf, expect, sizeof(expect) - 1));
	at = strchr(buf, '\n');
	CHECK(at && strlen(at + 1) == 1024 - 1 && strchr(at + 1, '\n')[1] == 0);
	close(p[0]);
	close(p[1]);
	close(old);
}

int
main(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	signal(SIGPIPE, SIG_IGN);
	unsetenv("TGT_LOG");
	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/worker.sock", dir);
	snprintf(notify_path, sizeof(notify_path), "%s/notify.sock", dir);
	listening = chan_listen(path, 0);
	notify_sock = socket(AF_UNIX, SOCK_DGRAM, 0);
	strcpy(sa.sun_path, notify_path);
	if (listening < 0 || bind(notify_sock, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return 1;
	TEST(test_usage);
	TEST(test_life);
	TEST(test_ends);
	TEST(test_failures);
	TEST(test_log);
	unlink(path);
	unlink(notify_path);
	rmdir(dir);
	return tap_done();
}
