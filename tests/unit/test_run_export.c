/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tgt-run's command line, and tgt-run --lun against a tgt-ctld that is this test. */
#include "tests/unit/run_stage.h"

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
	const char *const words[] = { "--lun", "/etc/hostname", "--null", "1G", "--read-only",
				      "--initiator", "iqn.x:*", "--initiator", "iqn.y", NULL };
	static const Tgt__ControlRequest__BodyCase order[] = {
		TGT__CONTROL_REQUEST__BODY_CREATE_PORTAL, TGT__CONTROL_REQUEST__BODY_CREATE_TARGET,
		TGT__CONTROL_REQUEST__BODY_CREATE_LUN, TGT__CONTROL_REQUEST__BODY_CREATE_MAPPING,
		TGT__CONTROL_REQUEST__BODY_CREATE_LUN, TGT__CONTROL_REQUEST__BODY_CREATE_MAPPING,
		TGT__CONTROL_REQUEST__BODY_CREATE_ACCESS, TGT__CONTROL_REQUEST__BODY_CREATE_ACCESS,
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
		} else if (i >= 6) {
			CHECK_STR(q->create_access->access->target,
				  "iqn.2026-11.org.tgt-ng:hostname");
			CHECK_STR(q->create_access->access->initiator, i == 6 ? "iqn.x:*" : "iqn.y");
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

	/* Portal, target, LUN, mapping, rule. */
	direct(&ctld, "log held back");
	for (int i = 0; i < 5; i++) {
		struct chan_msg m;
		Tgt__ControlRequest *q = asked(c, &m);

		CHECK(q && (i < 4 || !strcmp(q->create_access->access->initiator, "ALL")));
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
	CHECK(!strstr(text, "may log in")); /* this machine only */
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
		{ { "--initiator", "iqn.x" }, 2, "tgt-run: --portal, --target, --initiator" },
		{ { "--lun", "a", "--initiator", "host" }, 2, "tgt-run: --initiator host: must be" },
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

int
main(int argc, char **argv)
{
	int rc = enter_stage(argc, argv);

	if (rc >= 0)
		return rc;
	TEST(test_usage);
	TEST(test_export);
	TEST(test_export_text);
	TEST(test_export_refused);
	strike_stage();
	return tap_done();
}
