/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor: what it starts, restarts, stops, keeps and tells tgt-ctld. */
#include "tests/unit/run_stage.h"

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

static void
test_two_services(void)
{
	const char *const words[] = { "--state", state, "--runtime", runtime, NULL };
	struct actor ctld = launch_service();
	pid_t first = run_pid;
	int out = run_out, err = run_err;

	start_run(words);
	CHECK_EQ(await_end(), 1);
	CHECK(strstr(slurp(run_err), "another tgt-run serves here"));
	close(run_out);
	run_pid = first;
	run_out = out;
	run_err = err;
	CHECK(access(runtime, F_OK) == 0);
	CHECK_EQ(finish(&ctld), 0);
}

int
main(int argc, char **argv)
{
	int rc = enter_stage(argc, argv);

	if (rc >= 0)
		return rc;
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
	TEST(test_two_services);
	strike_stage();
	return tap_done();
}
