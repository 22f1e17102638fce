/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of the portal that are arithmetic and tables: CmdSN, residuals, the
 * registry of sessions, the catalog of targets.
 */
#include "tap.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "portal/addr.h"
#include "portal/catalog.h"
#include "portal/cmdsn.h"
#include "portal/registry.h"
#include "portal/respond.h"

/* RFC 7143 4.2.2.1 */
static void
test_cmdsn_check(void)
{
	static const struct {
		uint32_t exp, sn;
		enum cmdsn_verdict v;
	} rows[] = {
		{ 100, 100, CMDSN_NEXT },
		{ 100, 101, CMDSN_AHEAD },
		{ 100, 227, CMDSN_AHEAD }, /* MaxCmdSN */
		{ 100, 228, CMDSN_IGNORE },
		{ 100, 99, CMDSN_IGNORE },
		{ 0xfffffffe, 0xfffffffe, CMDSN_NEXT },
		{ 0xfffffffe, 3, CMDSN_AHEAD }, /* over the wrap */
		{ 0xfffffffe, 0x7d, CMDSN_AHEAD },
		{ 0xfffffffe, 0x7e, CMDSN_IGNORE },
		{ 5, 0xffffffff, CMDSN_IGNORE },
		{ 5, 0x80000005, CMDSN_IGNORE },
	};
	struct cmdsn s;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		cmdsn_init(&s, rows[i].exp);
		CHECK_EQ(cmdsn_check(&s, rows[i].sn), rows[i].v);
	}
}

/* MaxCmdSN never goes back; MaxCmdSN = ExpCmdSN - 1 closes the window. */
static void
test_cmdsn_window(void)
{
	struct cmdsn s;

	cmdsn_init(&s, 10);
	CHECK_EQ(cmdsn_max(&s), 137);
	s.exp = 11;
	s.in_use = 1;
	CHECK_EQ(cmdsn_max(&s), 137);
	s.in_use = 0;
	CHECK_EQ(cmdsn_max(&s), 138);
	s.window = 4; /* shrinks: 138 stays announced until it is used up */
	CHECK_EQ(cmdsn_max(&s), 138);
	s.exp = 139;
	s.in_use = 4;
	CHECK_EQ(cmdsn_max(&s), 138);
	CHECK_EQ(cmdsn_check(&s, 139), CMDSN_IGNORE);
	s.in_use = 3;
	CHECK_EQ(cmdsn_max(&s), 139);
	CHECK_EQ(cmdsn_check(&s, 139), CMDSN_NEXT);
}

/* RFC 7143 11.4.5 */
static void
test_residual(void)
{
	enum { O = ISCSI_RSP_OVERFLOW, U = ISCSI_RSP_UNDERFLOW, BO = ISCSI_RSP_BIDI_OVERFLOW,
	       BU = ISCSI_RSP_BIDI_UNDERFLOW };
	static const struct {
		uint32_t edtl_in, edtl_out, in_total, out_len;
		uint32_t flags, count, bidi;
	} rows[] = {
		{ 0, 0, 0, 0, 0, 0, 0 },
		{ 512, 0, 512, 0, 0, 0, 0 },
		{ 512, 0, 100, 0, U, 412, 0 },
		{ 512, 0, 1024, 0, O, 512, 0 },
		{ 0, 512, 0, 512, 0, 0, 0 },
		{ 0, 1024, 0, 512, U, 512, 0 },
		{ 0, 512, 0, 1024, O, 512, 0 },
		{ 0, 0, 36, 0, O, 36, 0 }, /* a read, but no data was expected */
		{ 0, 0, 0, 512, O, 512, 0 },
		{ 512, 512, 512, 512, 0, 0, 0 },
		{ 512, 512, 100, 1024, O | BU, 512, 412 },
		{ 512, 1024, 1000, 1000, U | BO, 24, 488 },
		{ 0xffffffff, 0, 8, 0, U, 0xfffffff7, 0 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct residual r = residual_of(rows[i].edtl_in, rows[i].edtl_out,
						rows[i].in_total, rows[i].out_len);

		CHECK_EQ(r.flags, rows[i].flags);
		CHECK_EQ(r.count, rows[i].count);
		CHECK_EQ(r.bidi, rows[i].bidi);
	}
}

static void
test_registry(void)
{
	static const uint8_t isid[6] = { 1, 2, 3, 4, 5, 6 }, other[6] = { 9 };
	struct registry r;
	struct reg *a, *b, *c;

	registry_init(&r);
	a = registry_add(&r, "iqn.a", isid, "iqn.t", 2);
	b = registry_add(&r, "IQN.A", isid, "iqn.t", 2); /* RFC 3722: the same name */
	c = registry_add(&r, "iqn.a", other, "iqn.t", 2);
	CHECK(a && b && c);
	CHECK(a->tsih && a->tsih != b->tsih && b->tsih != c->tsih);
	CHECK_EQ(a->thread, 0);
	CHECK_EQ(b->thread, 1); /* the one with fewer */
	CHECK(registry_same(&r, b, NULL) == a);
	CHECK(registry_same(&r, b, a) == b);
	CHECK(!registry_same(&r, b, b));
	CHECK(registry_same(&r, c, NULL) == c);
	CHECK(registry_by_tsih(&r, c->tsih) == c);
	CHECK(registry_find(&r, b->id) == b);
	registry_remove(&r, a);
	CHECK(registry_same(&r, b, NULL) == b);
	CHECK_EQ(r.n, 2);
	r.last_tsih = UINT16_MAX - 1; /* TSIH 0 is no TSIH: RFC 7143 11.12.6 */
	a = registry_add(&r, "iqn.x", isid, "iqn.t", 1);
	CHECK_EQ(a->tsih, UINT16_MAX);
	registry_remove(&r, a);
	a = registry_add(&r, "iqn.x", isid, "iqn.t", 1);
	CHECK(a->tsih != 0 && a->tsih != b->tsih && a->tsih != c->tsih);
	registry_remove(&r, a);
	registry_remove(&r, b);
	registry_remove(&r, c);
	CHECK_EQ(r.n, 0);
}

/* What an heir waits for: every LUN until all older ones have said where they have
 * commands left, then these. */
static void
test_barrier(void)
{
	static const uint8_t isid[6] = { 1 };
	static const uint64_t one[] = { 7 }, two[] = { 8, 9 };
	struct registry r;
	struct reg *a, *b, *heir;
	unsigned older;
	uint64_t *lun;
	size_t n;

	registry_init(&r);
	a = registry_add(&r, "iqn.a", isid, "iqn.t", 2);
	b = registry_add(&r, "iqn.a", isid, "iqn.t", 2);
	registry_add(&r, "iqn.b", isid, "iqn.t", 2);
	heir = registry_add(&r, "iqn.a", isid, "iqn.t", 2);
	CHECK(!registry_barrier(&r, heir, &older, &lun, &n));
	registry_busy(a, two, 2);
	CHECK(!registry_barrier(&r, heir, &older, &lun, &n));
	registry_busy(b, one, 1);
	CHECK(registry_barrier(&r, heir, &older, &lun, &n));
	CHECK_EQ(older, 2);
	CHECK(n == 3 && lun[0] == 8 && lun[1] == 9 && lun[2] == 7);
	free(lun);
	registry_busy(a, two, 1);
	registry_remove(&r, b);
	CHECK(registry_barrier(&r, heir, &older, &lun, &n));
	CHECK(older == 1 && n == 1 && lun[0] == 8);
	free(lun);
	registry_remove(&r, a);
	CHECK(registry_barrier(&r, heir, &older, &lun, &n));
	CHECK(older == 0 && n == 0);
	free(lun);
	while ((a = list_first(&r.sessions, struct reg, link)))
		registry_remove(&r, a);
}

static void
test_catalog(void)
{
	struct disco_view v = { 0 };
	struct catalog c;

	catalog_init(&c);
	CHECK_EQ(catalog_target(&c, 1, "iqn.a", "first", 1), 0);
	CHECK_EQ(catalog_target(&c, 2, "iqn.b", "", 1), 0);
	CHECK_EQ(catalog_target(&c, 3, "iqn.a", "again", 2), 0);
	CHECK_EQ(catalog_portal(&c, 1, "127.0.0.1", 3260, 1), 0);
	CHECK_EQ(catalog_portal(&c, 2, "::1", 3260, 1), 0);
	CHECK_STR(catalog_find(&c, "iqn.a")->alias, "again");
	catalog_lock(&c, &v);
	CHECK_EQ(v.n_targets, 2);
	CHECK_EQ(v.targets[0].id, 3);
	CHECK_EQ(v.targets[1].id, 2);
	CHECK_EQ(v.n_portals, 2);
	catalog_unlock(&c);
	catalog_target_remove(&c, "iqn.a");
	catalog_target_remove(&c, "iqn.none");
	catalog_portal_remove(&c, 1);
	CHECK(!catalog_find(&c, "iqn.a"));
	catalog_lock(&c, &v);
	CHECK_EQ(v.n_targets, 1);
	CHECK_STR(v.targets[0].name, "iqn.b");
	CHECK_STR(v.portals[0].addr, "::1");
	catalog_unlock(&c);
	catalog_done(&c);
}

static void
test_addr(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(3260) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_scope_id = 1 };
	struct sockaddr_storage sa = { 0 };
	char buf[64];
	unsigned port;

	inet_pton(AF_INET, "192.0.2.1", &in.sin_addr);
	memcpy(&sa, &in, sizeof(in));
	addr_text(&sa, buf, sizeof(buf), &port);
	CHECK_STR(buf, "192.0.2.1");
	CHECK_EQ(port, 3260);
	inet_pton(AF_INET6, "fe80::1", &in6.sin6_addr);
	memcpy(&sa, &in6, sizeof(in6));
	addr_text(&sa, buf, sizeof(buf), NULL);
	CHECK_STR(buf, "fe80::1");
	sa.ss_family = AF_UNIX;
	addr_text(&sa, buf, sizeof(buf), &port);
	CHECK_STR(buf, "");
}

int
main(void)
{
	TEST(test_cmdsn_check);
	TEST(test_cmdsn_window);
	TEST(test_residual);
	TEST(test_registry);
	TEST(test_barrier);
	TEST(test_catalog);
	TEST(test_addr);
	return tap_done();
}
