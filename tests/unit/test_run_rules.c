/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tgt-run decides: names, delays, causes, notifications, words. */
#include <errno.h>
#include <signal.h>

#include "ctl/run_rules.h"
#include "proto/util.h"
#include "tests/unit/tap.h"

static void
test_units(void)
{
	static const struct {
		const char *s;
		int rc;
		enum run_prog prog;
		const char *instance;
	} rows[] = {
		{ "tgt-portal@0", 0, RUN_PORTAL, "0" },
		{ "tgt-portal@12", 0, RUN_PORTAL, "12" },
		{ "tgt-scsid@inventory", 0, RUN_SCSID, "inventory" },
		{ "tgt-scsid@disk.img_1-A", 0, RUN_SCSID, "disk.img_1-A" },
		{ "tgt-storaged@0123456789012345678901234567890123456789012345678901234567890123", 0,
		  RUN_STORAGED, "0123456789012345678901234567890123456789012345678901234567890123" },
		{ "tgt-storaged@01234567890123456789012345678901234567890123456789012345678901234",
		  -EINVAL, 0, "" },
		{ "tgt-ctld", -EINVAL, 0, "" },
		{ "tgt-ctld@x", -EINVAL, 0, "" },
		{ "tgt-ctld@", -EINVAL, 0, "" },
		{ "tgt-scsid", -EINVAL, 0, "" },
		{ "tgt-scsid@", -EINVAL, 0, "" },
		{ "tgt-scsi@a", -EINVAL, 0, "" },
		{ "tgt-scsidx@a", -EINVAL, 0, "" },
		{ "tgt-portal@a", -EINVAL, 0, "" },
		{ "tgt-portal@12345", -EINVAL, 0, "" },
		{ "tgt-scsid@a/b", -EINVAL, 0, "" },
		{ "tgt-scsid@a b", -EINVAL, 0, "" },
		{ "tgt-scsid@a@b", -EINVAL, 0, "" },
		{ "../sh@a", -EINVAL, 0, "" },
		{ "@a", -EINVAL, 0, "" },
		{ "", -EINVAL, 0, "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct run_unit_name id = { 0 };

		CHECK_MSG(run_parse_unit(rows[i].s, &id) == rows[i].rc, "row %zu", i);
		CHECK_EQ(id.prog, rows[i].prog);
		CHECK_STR(id.instance, rows[i].instance);
	}
}

static void
test_backoff(void)
{
	struct run_backoff b = { 0 };
	double d = 0;

	CHECK(run_backoff_next(&b, true, 100) == 0.01);
	CHECK(run_backoff_next(&b, false, 0.2) == 0.02); /* young, never ready */
	CHECK(run_backoff_next(&b, false, 0.2) == 0.04);
	CHECK(run_backoff_next(&b, false, 30) == 0.04); /* old: no quicker, no slower */
	for (int i = 0; i < 20; i++)
		d = run_backoff_next(&b, false, 0);
	CHECK(d == 5.0);
	CHECK(run_backoff_next(&b, true, 0.001) == 0.01); /* was ready: from the start */
	b.delay = 0;
	CHECK(run_backoff_next(&b, false, 0) == 0.01); /* the first restart */
}

static void
test_causes(void)
{
	static const struct {
		int status;
		bool watchdog, oom;
		Tgt__DeathCause cause;
		int code;
	} rows[] = {
		{ 0 << 8, false, false, TGT__DEATH_CAUSE__DEATH_EXIT, 0 },
		{ 3 << 8, true, true, TGT__DEATH_CAUSE__DEATH_EXIT, 3 },
		{ SIGSEGV, false, false, TGT__DEATH_CAUSE__DEATH_OWN_FAULT, SIGSEGV },
		{ SIGSEGV | 0x80, false, true, TGT__DEATH_CAUSE__DEATH_OWN_FAULT, SIGSEGV },
		{ SIGBUS, false, false, TGT__DEATH_CAUSE__DEATH_OWN_FAULT, SIGBUS },
		{ SIGABRT, false, false, TGT__DEATH_CAUSE__DEATH_OWN_FAULT, SIGABRT },
		{ SIGILL, false, false, TGT__DEATH_CAUSE__DEATH_OWN_FAULT, SIGILL },
		{ SIGFPE, false, false, TGT__DEATH_CAUSE__DEATH_OWN_FAULT, SIGFPE },
		{ SIGSYS, false, false, TGT__DEATH_CAUSE__DEATH_OWN_FAULT, SIGSYS },
		{ SIGKILL, false, false, TGT__DEATH_CAUSE__DEATH_KILLED, SIGKILL },
		{ SIGTERM, false, true, TGT__DEATH_CAUSE__DEATH_KILLED, SIGTERM },
		{ SIGKILL, true, true, TGT__DEATH_CAUSE__DEATH_WATCHDOG, SIGKILL },
		{ SIGKILL, false, true, TGT__DEATH_CAUSE__DEATH_OOM, SIGKILL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int code = -1;

		CHECK_EQ(run_death_cause(rows[i].status, rows[i].watchdog, rows[i].oom, &code),
			 rows[i].cause);
		CHECK_EQ(code, rows[i].code);
	}
}

static void
test_notes(void)
{
	static const struct {
		const char *s;
		int rc;
		struct run_note note;
	} rows[] = {
		{ "READY=1", 0, { .ready = true, .fdname = "stored" } },
		{ "READY=1\n", 0, { .ready = true, .fdname = "stored" } },
		{ "READY=0", 0, { .fdname = "stored" } },
		{ "WATCHDOG=1", 0, { .watchdog = true, .fdname = "stored" } },
		{ "WATCHDOG=trigger", 0, { .fdname = "stored" } },
		{ "STATUS=READY=1", 0, { .fdname = "stored" } },
		{ "FDSTORE=1\nFDNAME=l1.sub", 0, { .fdstore = true, .fdname = "l1.sub" } },
		{ "FDNAME=x\nFDSTOREREMOVE=1", 0, { .fdremove = true, .fdname = "x" } },
		{ "FDSTORE=1\nFDNAME=a:b", -EPROTO, { .fdstore = true, .fdname = "stored" } },
		{ "FDSTORE=1\nFDNAME=", -EPROTO, { .fdstore = true, .fdname = "stored" } },
		{ "FDNAME=a b", -EPROTO, { .fdname = "stored" } },
		{ "", 0, { .fdname = "stored" } },
		{ "\n\n\n", 0, { .fdname = "stored" } },
	};
	struct run_note n;
	char lng[300];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct run_note *e = &rows[i].note;

		CHECK_MSG(run_parse_note(rows[i].s, strlen(rows[i].s), &n) == rows[i].rc, "row %zu",
			  i);
		CHECK(n.ready == e->ready && n.watchdog == e->watchdog &&
		      n.fdstore == e->fdstore && n.fdremove == e->fdremove);
		CHECK_STR(n.fdname, e->fdname);
	}
	CHECK_EQ(run_parse_note("READY=1", 6, &n), 0); /* no NUL is relied on */
	CHECK(!n.ready);
	memset(lng, 'a', sizeof(lng));
	memcpy(lng, "FDNAME=", 7);
	CHECK_EQ(run_parse_note(lng, 7 + RUN_FDNAME_MAX, &n), 0);
	CHECK_EQ(strlen(n.fdname), RUN_FDNAME_MAX);
	CHECK_EQ(run_parse_note(lng, 8 + RUN_FDNAME_MAX, &n), -EPROTO);
}

static void
test_portals(void)
{
	static const struct {
		const char *s;
		int rc;
		const char *addr;
		uint32_t port;
	} rows[] = {
		{ "127.0.0.1:3260", 0, "127.0.0.1", 3260 },
		{ "127.0.0.1", 0, "127.0.0.1", 0 },
		{ "127.0.0.1:0", 0, "127.0.0.1", 0 },
		{ "127.0.0.1:65535", 0, "127.0.0.1", 65535 },
		{ "127.0.0.1:65536", -EINVAL, NULL, 0 },
		{ "127.0.0.1:999999", -EINVAL, NULL, 0 },
		{ "127.0.0.1:", -EINVAL, NULL, 0 },
		{ "127.0.0.1:-1", -EINVAL, NULL, 0 },
		{ "127.0.0.1:80x", -EINVAL, NULL, 0 },
		{ "[::1]:3260", 0, "::1", 3260 },
		{ "[::1]", 0, "::1", 0 },
		{ "::1", 0, "::1", 0 },
		{ "::", 0, "::", 0 },
		{ "[::1", -EINVAL, NULL, 0 },
		{ "[::1]x", -EINVAL, NULL, 0 },
		{ "[127.0.0.1]:3260", -EINVAL, NULL, 0 },
		{ "localhost:3260", -EINVAL, NULL, 0 },
		{ ":3260", -EINVAL, NULL, 0 },
		{ "3260", -EINVAL, NULL, 0 },
		{ "", -EINVAL, NULL, 0 },
		{ "[]:1", -EINVAL, NULL, 0 },
		{ "1234567890123456789012345678901234567890123456789012345678901234567890", -EINVAL,
		  NULL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char addr[64];
		uint32_t port = 77;

		CHECK_MSG(run_parse_portal(rows[i].s, addr, &port) == rows[i].rc, "%s", rows[i].s);
		if (rows[i].rc)
			continue;
		CHECK_STR(addr, rows[i].addr);
		CHECK_EQ(port, rows[i].port);
	}
}

static void
test_sizes(void)
{
	static const struct {
		const char *s;
		int rc;
		uint64_t n;
		const char *human;
	} rows[] = {
		{ "0", 0, 0, "0 bytes" },
		{ "1023", 0, 1023, "1023 bytes" },
		{ "1k", 0, 1024, "1.0 KiB" },
		{ "1536", 0, 1536, "1.5 KiB" },
		{ "1K", 0, 1024, "1.0 KiB" },
		{ "1G", 0, 1ull << 30, "1.0 GiB" },
		{ "1GiB", 0, 1ull << 30, "1.0 GiB" },
		{ "20T", 0, 20ull << 40, "20.0 TiB" },
		{ "15E", 0, 15ull << 60, "15.0 EiB" },
		{ "16E", -ERANGE, 0, "" },
		{ "18446744073709551615", 0, UINT64_MAX, "15.9 EiB" },
		{ "18446744073709551616", -ERANGE, 0, "" },
		{ "1GB", -EINVAL, 0, "" }, /* 10^9 or 2^30? */
		{ "G", -EINVAL, 0, "" },
		{ "-1", -EINVAL, 0, "" },
		{ " 1", -EINVAL, 0, "" },
		{ "1 G", -EINVAL, 0, "" },
		{ "1.5G", -EINVAL, 0, "" },
		{ "", -EINVAL, 0, "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t n = 99;
		char human[32];

		CHECK_MSG(run_parse_size(rows[i].s, &n) == rows[i].rc, "%s", rows[i].s);
		if (rows[i].rc)
			continue;
		CHECK_EQ(n, rows[i].n);
		run_human_size(n, human);
		CHECK_STR(human, rows[i].human);
	}
}

static void
test_names(void)
{
	static const struct {
		const char *path;
		unsigned n;
		const char *lun, *iqn;
	} rows[] = {
		{ "/a/b/disk.img", 1, "disk.img", "iqn.2026-11.org.tgt-ng:disk.img" },
		{ "disk.img", 2, "disk.img-2", "iqn.2026-11.org.tgt-ng:disk.img" },
		{ "/My Disk_1.IMG", 1, "My-Disk_1.IMG", "iqn.2026-11.org.tgt-ng:my-disk-1.img" },
		{ "/\xc3\xa4/\xc3\xa4", 1, "--", "iqn.2026-11.org.tgt-ng:--" },
		{ "/dir/", 1, "x", "iqn.2026-11.org.tgt-ng:disk" },
		{ "inventory", 1, "inventory-1", "iqn.2026-11.org.tgt-ng:inventory" },
		{ "a'$(reboot)'b", 1, "a---reboot--b", "iqn.2026-11.org.tgt-ng:a---reboot--b" },
	};
	char lng[400], lun[RUN_INSTANCE_MAX + 1], iqn[RUN_IQN_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		run_lun_name(rows[i].path, rows[i].n, lun);
		run_target_name(rows[i].path, iqn);
		CHECK_STR(lun, rows[i].lun);
		CHECK_STR(iqn, rows[i].iqn);
	}
	memset(lng, 'a', sizeof(lng));
	lng[sizeof(lng) - 1] = 0;
	run_lun_name(lng, 123, lun);
	CHECK_EQ(strlen(lun), RUN_INSTANCE_MAX);
	CHECK_STR(lun + RUN_INSTANCE_MAX - 4, "-123");
	run_target_name(lng, iqn);
	CHECK_EQ(strlen(iqn), RUN_IQN_MAX);
}

int
main(void)
{
	TEST(test_units);
	TEST(test_backoff);
	TEST(test_causes);
	TEST(test_notes);
	TEST(test_portals);
	TEST(test_sizes);
	TEST(test_names);
	return tap_done();
}
