/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration's rules: names, numbers, limits, identity, idempotence. */
#include <errno.h>
#include <stdlib.h>

#include "ctl/model.h"
#include "tests/unit/tap.h"

#define IQN "iqn.2026-11.org.example:disk"

static uint64_t state = 1;
static char why[MODEL_WHY];

static int
fake_random(void *buf, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		((uint8_t *)buf)[i] = (uint8_t)(state >> 40);
	}
	return 0;
}

static const struct {
	const char *name;
	bool ok;
	const char *clause;
} iqns[] = {
	{ IQN, true, "RFC 7143 4.2.7.4" },
	{ "iqn.1986-03.com.sun", true, "4.2.7.4" },
	{ "iqn.2026-11.org.example:disk_1", true, "tgt's configurations have '_'" },
	{ "eui.02004567a425678d", true, "4.2.7.5" },
	{ "naa.52004567ba64678d", true, "4.2.7.6" },
	{ "naa.62004567ba64678d0123456789abcdef", true, "4.2.7.6" },
	{ "iqn.2026-11.org.example:Disk", false, "4.2.7.3, RFC 3722: lower case" },
	{ "iqn.2026-11.org.example:a b", false, "RFC 3722" },
	{ "iqn.2026-13.org.example", false, "no month" },
	{ "iqn.2026-1.org.example", false, "yyyy-mm" },
	{ "iqn.2026-11.", false, "no authority" },
	{ "eui.02004567a425678", false, "16 digits" },
	{ "naa.52004567ba64678dff", false, "16 or 32 digits" },
	{ "disk", false, "no type" },
	{ "", false, "empty" },
	{ "iqn.2026-11.org.example:\n", false, "a line feed" },
};

static void
test_iqns(void)
{
	char longest[MODEL_IQN_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(iqns); i++)
		CHECK_MSG(model_iqn_ok(iqns[i].name) == iqns[i].ok, "\"%s\" (%s)", iqns[i].name,
			  iqns[i].clause);
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "iqn.2026-11.org", 15);
	longest[MODEL_IQN_MAX] = 0;
	CHECK(model_iqn_ok(longest)); /* RFC 7143 4.2.7.1: 223 bytes */
	longest[MODEL_IQN_MAX] = 'a';
	longest[MODEL_IQN_MAX + 1] = 0;
	CHECK(!model_iqn_ok(longest));
}

static void
test_names(void)
{
	static const char *const good[] = { "a", "Disk-1_x.img", "0" };
	static const char *const bad[] = { "", ".", "..", "inventory", "a/b", "a@b", "a b", "\xc3\xa9" };
	char longest[MODEL_NAME_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		CHECK_MSG(model_name_ok(good[i]), "%s", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_MSG(!model_name_ok(bad[i]), "%s", bad[i]);
	memset(longest, 'x', sizeof(longest));
	longest[MODEL_NAME_MAX] = 0;
	CHECK(model_name_ok(longest));
	longest[MODEL_NAME_MAX] = 'x';
	longest[MODEL_NAME_MAX + 1] = 0;
	CHECK(!model_name_ok(longest));
}

/* SAM-5 4.7.7: peripheral below 256, flat space above; single level. */
static void
test_lun_addresses(void)
{
	for (uint32_t n = 0; n <= MODEL_NUMBER_MAX; n++)
		CHECK_EQ(model_lun_decode(model_lun_encode(n)), n);
	CHECK_EQ(model_lun_encode(5), 0x0005000000000000);
	CHECK_EQ(model_lun_encode(255), 0x00ff000000000000);
	CHECK_EQ(model_lun_encode(256), 0x4100000000000000);
	CHECK_EQ(model_lun_encode(16383), 0x7fff000000000000);
	CHECK_EQ(model_lun_decode(0x4005000000000000), 5); /* flat, small */
	CHECK_EQ(model_lun_decode(0x3e80000000000000), 16000); /* as Linux sends it */
	CHECK_EQ(model_lun_decode(0x0005000000000001), -1); /* a second level */
	CHECK_EQ(model_lun_decode(0x8005000000000000), -1); /* logical unit addressing */
	CHECK_EQ(model_lun_decode(0xc101000000000000), -1); /* well-known REPORT LUNS */
	CHECK_EQ(model_lun_decode(UINT64_MAX), -1);
}

static struct model_lun *
add_lun(struct model *m, const char *name)
{
	struct lun_spec s = { name, "rdwr", "/srv/a.img", 0, 0, false };
	struct model_lun *l = NULL;

	CHECK_EQ(model_lun_create(m, &s, &l, why), 0);
	if (l)
		l->pending = false;
	return l;
}

static void
test_targets(void)
{
	struct model m;
	struct model_target *t, *again;

	model_init(&m, fake_random);
	CHECK_EQ(model_target_create(&m, IQN, "a disk", 0, &t, why), 0);
	CHECK_EQ(t->tpgt, 1);
	CHECK_EQ(model_target_create(&m, IQN, "a disk", 1, &again, why), MODEL_SAME);
	CHECK(again == t);
	CHECK_EQ(model_target_create(&m, IQN, "another", 1, &again, why), -EEXIST);
	CHECK(strstr(why, "alias"));
	CHECK_EQ(model_target_create(&m, IQN, "a disk", 2, &again, why), -EEXIST);
	CHECK(strstr(why, "tag"));
	CHECK_EQ(model_target_create(&m, IQN ":2", "", 65536, &again, why), -EINVAL);
	CHECK_EQ(model_target_create(&m, "disk", "", 1, &again, why), -EINVAL);
	CHECK_EQ(model_target_create(&m, IQN ":2", "a\nb", 1, &again, why), -EINVAL);
	CHECK_EQ(m.n_targets, 1);
	model_done(&m);
}

static void
test_redirects(void)
{
	static const struct {
		const char *to, *stored; /* NULL: refused */
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1:3260" }, /* RFC 7143 13.8: the well-known port */
		{ "192.0.2.1:3261", "192.0.2.1:3261" },
		{ "[2001:DB8::1]:3260", "[2001:db8::1]:3260" },
		{ "2001:db8::1", "[2001:db8::1]:3260" },
		{ "", "" },
		{ "host:3260", NULL },
		{ "192.0.2.1:65536", NULL },
		{ "192.0.2.1:3260,1", NULL },
		{ "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535",
		  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
	};
	struct model m;
	struct model_target *t;

	model_init(&m, fake_random);
	CHECK_EQ(model_target_create(&m, IQN, "", 1, &t, why), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int err = model_target_redirect(t, rows[i].to, false, why);

		CHECK_MSG(err == (!rows[i].stored ? -EINVAL : i == 3 ? MODEL_SAME : 0), "%s: %d",
			  rows[i].to, err);
		if (rows[i].stored)
			CHECK_STR(t->redirect, rows[i].stored);
	}
	CHECK_EQ(model_target_redirect(t, "192.0.2.1", true, why), 0);
	CHECK_EQ(model_target_redirect(t, "192.0.2.1", true, why), MODEL_SAME);
	CHECK_EQ(model_target_redirect(t, "192.0.2.1", false, why), 0);
	CHECK_EQ(model_target_redirect(t, "", true, why), -EINVAL);
	CHECK_STR(t->redirect, "192.0.2.1:3260");
	model_done(&m);
}

static void
test_rules(void)
{
	static const struct {
		const char *initiator, *peer;
		bool admitted;
	} logins[] = {
		{ "iqn.2026-11.org.example:a", "192.0.2.7:1000", true }, /* both of rule 1 */
		{ "iqn.2026-11.org.example:a", "192.0.3.7:1000", false }, /* one of them */
		{ "iqn.2026-11.org.example:b", "192.0.2.7:1000", false },
		{ "iqn.2026-11.org.example:b", "[2001:db8::7]:1000", true }, /* rule 2 */
		{ "iqn.2026-11.org.example:c", "10.0.0.1:1000", true }, /* rule 3 */
		{ "iqn.2026-11.org.example:c", "", false }, /* from nowhere */
	};
	struct model m;
	struct model_target *t, *u;
	struct model_rule *r, *q;
	char name[32];

	model_init(&m, fake_random);
	CHECK_EQ(model_target_create(&m, IQN, "", 1, &t, why), 0);
	CHECK_EQ(model_target_create(&m, IQN "2", "", 1, &u, why), 0);
	CHECK(t->id && u->id && t->id != u->id);
	CHECK(!model_admits(t, "iqn.2026-11.org.example:a", "127.0.0.1:1")); /* default deny */
	CHECK_EQ(model_rule_create(&m, IQN, "", "", &r, why), -EINVAL);
	CHECK_EQ(model_rule_create(&m, IQN, "host", "", &r, why), -EINVAL);
	CHECK(strstr(why, "iSCSI name"));
	CHECK_EQ(model_rule_create(&m, IQN, "", "192.0.2.0/33", &r, why), -EINVAL);
	CHECK(strstr(why, "no address"));
	CHECK_EQ(model_rule_create(&m, IQN ":x", "ALL", "", &r, why), -ENOENT);
	CHECK_EQ(model_rule_create(&m, IQN, "iqn.*:A", "192.0.2.9/24", &r, why), 0);
	CHECK_STR(r->initiator, "iqn.*:a");
	CHECK_STR(r->address, "192.0.2.0/24");
	CHECK_EQ(model_rule_create(&m, IQN, "iqn.*:a", "192.0.2.0/24", &q, why), MODEL_SAME);
	CHECK(q == r);
	CHECK_EQ(model_rule_create(&m, IQN, "", "2001:db8::/64", &q, why), 0);
	CHECK_STR(q->initiator, "ALL");
	CHECK_EQ(model_rule_create(&m, IQN, "iqn.*:c", "", &q, why), 0);
	CHECK_EQ(t->n_rules, 3);
	for (size_t i = 0; i < ARRAY_SIZE(logins); i++)
		CHECK_MSG(model_admits(t, logins[i].initiator, logins[i].peer) ==
			  logins[i].admitted, "%s from %s", logins[i].initiator, logins[i].peer);
	CHECK(!model_admits(u, "iqn.2026-11.org.example:c", "10.0.0.1:1")); /* another's rules */
	CHECK_EQ(model_rule_find(&m, IQN, "iqn.*:a", "", &q, why), -ENOENT);
	CHECK_EQ(model_rule_find(&m, IQN, "iqn.*:a", "192.0.2.1/24", &q, why), 0);
	CHECK(q == r);
	model_rule_unlink(r);
	CHECK(!model_admits(t, logins[0].initiator, logins[0].peer));
	model_rule_free(r);
	for (int i = 0; i < MODEL_RULES - 2; i++) {
		snprintf(name, sizeof(name), "iqn.%d", i);
		CHECK_EQ(model_rule_create(&m, IQN, name, "", &q, why), 0);
	}
	CHECK_EQ(model_rule_create(&m, IQN, "iqn.more", "", &q, why), -ENOSPC);
	model_done(&m);
}

static void
test_luns(void)
{
	struct lun_spec s = { "a", "rdwr", "/srv/a.img", 0, 0, false }, d;
	struct model m;
	struct model_lun *l, *k;

	model_init(&m, fake_random);
	CHECK_EQ(model_lun_create(&m, &s, &l, why), 0);
	CHECK_EQ(l->block_size, 512);
	CHECK(l->pending);
	CHECK_EQ(model_lun_create(&m, &s, &k, why), -EBUSY); /* being created */
	l->pending = false;
	CHECK_EQ(model_lun_create(&m, &s, &k, why), MODEL_SAME);
	CHECK(k == l);
#define DIFFERS(field, value, word)                                            \
	do {                                                                   \
		d = s;                                                         \
		d.field = value;                                               \
		CHECK_EQ(model_lun_create(&m, &d, &k, why), -EEXIST);          \
		CHECK_MSG(strstr(why, word), "%s", why);                       \
	} while (0)
	DIFFERS(path, "/srv/b.img", "path");
	DIFFERS(block_size, 4096, "block size");
	DIFFERS(read_only, true, "writable");
#define REFUSED(field, value, word)                                            \
	do {                                                                   \
		d = s;                                                         \
		d.name = "b";                                                  \
		d.field = value;                                               \
		CHECK_EQ(model_lun_create(&m, &d, &k, why), -EINVAL);          \
		CHECK_MSG(strstr(why, word), "%s", why);                       \
	} while (0)
	REFUSED(name, "inventory", "name");
	REFUSED(name, "a/b", "name");
	REFUSED(backend, "floppy", "backend");
	REFUSED(path, "relative", "absolute");
	REFUSED(path, "", "absolute");
	REFUSED(path, "/a\nb", "absolute");
	REFUSED(size, 1 << 20, "size of the file");
	REFUSED(block_size, 777, "block size");
	REFUSED(block_size, 256, "block size");
	REFUSED(block_size, 8192, "block size");
	REFUSED(backend, "null", "path");
	d = (struct lun_spec){ "n", "null", "", 0, 4096, false };
	CHECK_EQ(model_lun_create(&m, &d, &k, why), -EINVAL);
	d.size = 6144;
	CHECK_EQ(model_lun_create(&m, &d, &k, why), -EINVAL);
	d.size = UINT64_MAX - 4095;
	CHECK_EQ(model_lun_create(&m, &d, &k, why), -EINVAL);
	d.size = 8192;
	CHECK_EQ(model_lun_create(&m, &d, &k, why), 0);
	CHECK_EQ(m.n_luns, 2);
	model_done(&m);
}

/* SPC-4 7.8.6.6.5: NAA 6h; ours says "locally administered" in the company id. */
static void
test_identity(void)
{
	struct model m;
	struct model_lun *l[64];
	char name[16];

	model_init(&m, fake_random);
	for (int i = 0; i < 64; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		l[i] = add_lun(&m, name);
		CHECK_EQ(l[i]->naa >> 60, 6);
		CHECK(l[i]->naa >> 36 & 0x020000);
		CHECK_EQ(strlen(l[i]->serial), 16);
		for (int j = 0; j < i; j++)
			CHECK(strcmp(l[i]->serial, l[j]->serial) &&
			      (l[i]->naa != l[j]->naa || l[i]->naa_ext != l[j]->naa_ext));
	}
	model_done(&m);
}

static void
test_mappings(void)
{
	struct model m;
	struct model_target *t;
	struct model_lun *a, *b;
	struct model_mapping *p, *q;

	model_init(&m, fake_random);
	CHECK_EQ(model_target_create(&m, IQN, "", 1, &t, why), 0);
	a = add_lun(&m, "a");
	b = add_lun(&m, "b");
	add_lun(&m, "c");
	CHECK_EQ(model_mapping_create(&m, IQN, "a", -1, false, &p, why), 0);
	CHECK_EQ(p->number, 0);
	CHECK_EQ(model_mapping_create(&m, IQN, "a", -1, false, &q, why), MODEL_SAME);
	CHECK(q == p);
	CHECK_EQ(model_mapping_create(&m, IQN, "a", 0, false, &q, why), MODEL_SAME);
	CHECK_EQ(model_mapping_create(&m, IQN, "a", 1, false, &q, why), -EEXIST);
	CHECK_EQ(model_mapping_create(&m, IQN, "a", 0, true, &q, why), -EEXIST);
	CHECK_EQ(model_mapping_create(&m, IQN, "b", 0, false, &q, why), -EEXIST);
	CHECK_EQ(model_mapping_create(&m, IQN, "b", MODEL_NUMBER_MAX + 1, false, &q, why), -EINVAL);
	CHECK_EQ(model_mapping_create(&m, IQN, "nobody", -1, false, &q, why), -ENOENT);
	CHECK_EQ(model_mapping_create(&m, IQN ":x", "b", -1, false, &q, why), -ENOENT);
	CHECK_EQ(model_mapping_create(&m, IQN, "c", MODEL_NUMBER_MAX, true, &q, why), 0);
	CHECK_EQ(model_mapping_create(&m, IQN, "b", -1, false, &q, why), 0);
	CHECK_EQ(q->number, 1); /* the lowest free one */
	CHECK(t->mappings.next == &p->link && p->link.next == &q->link); /* by number */
	CHECK_EQ(model_lun_unmapped(&m, a, why), -EBUSY);
	CHECK(strstr(why, IQN));
	model_mapping_unlink(p);
	CHECK_EQ(model_lun_unmapped(&m, a, why), 0);
	CHECK_EQ(a->n_mappings, 0);
	model_mapping_relink(p);
	CHECK(t->mappings.next == &p->link);
	model_target_unlink(&m, t);
	CHECK_EQ(b->n_mappings, 0);
	CHECK_EQ(model_lun_unmapped(&m, b, why), 0);
	model_target_relink(&m, t);
	CHECK_EQ(b->n_mappings, 1);
	b->pending = true;
	model_mapping_unlink(q);
	model_mapping_free(q);
	CHECK_EQ(model_mapping_create(&m, IQN, "b", -1, false, &q, why), -ENOENT);
	model_done(&m);
}

static void
test_portals(void)
{
	struct model m;
	struct model_portal *p, *q;
	char canon[MODEL_ADDR_MAX + 1];

	model_init(&m, fake_random);
	CHECK_EQ(model_portal_create(&m, 0, "127.0.0.1", 3260, 0, &p, why), 0);
	CHECK_EQ(p->id, 1);
	CHECK_EQ(p->tpgt, 1);
	CHECK_EQ(model_portal_create(&m, 0, "127.0.0.1", 3260, 1, &q, why), MODEL_SAME);
	CHECK_EQ(model_portal_create(&m, 0, "127.0.0.1", 3260, 2, &q, why), -EEXIST);
	CHECK_EQ(model_portal_create(&m, 0, "0:0:0:0:0:0:0:1", 3260, 1, &q, why), 0);
	CHECK_STR(q->addr, "::1");
	CHECK_EQ(q->id, 2);
	CHECK_EQ(model_portal_create(&m, 2, "127.0.0.2", 3260, 1, &q, why), -EEXIST);
	CHECK_EQ(model_portal_create(&m, 0, "localhost", 3260, 1, &q, why), -EINVAL);
	CHECK_EQ(model_portal_create(&m, 0, "127.0.0.1", 65536, 1, &q, why), -EINVAL);
	CHECK_EQ(model_portal_create(&m, 0, "127.0.0.1", 0, 1, &q, why), 0);
	CHECK_EQ(model_portal_create(&m, 0, "127.0.0.1", 0, 1, &q, why), 0); /* another */
	CHECK_EQ(m.n_portals, 4);
	CHECK_EQ(model_addr_canon("::ffff:1.2.3.4", canon), 0);
	CHECK_EQ(model_addr_canon("1.2.3", canon), -EINVAL);
	model_done(&m);
}

int
main(void)
{
	TEST(test_iqns);
	TEST(test_names);
	TEST(test_lun_addresses);
	TEST(test_targets);
	TEST(test_redirects);
	TEST(test_rules);
	TEST(test_luns);
	TEST(test_identity);
	TEST(test_mappings);
	TEST(test_portals);
	return tap_done();
}
