/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state file: there and back, every kind of damage, writing in a directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/state.h"
#include "tests/unit/tap.h"

#define IQN "iqn.2026-11.org.example:disk"

static char why[STATE_WHY];

static int
fake_random(void *buf, size_t n)
{
	static uint8_t next = 1;

	memset(buf, next++, n);
	return 0;
}

static void
fill(struct model *m)
{
	struct lun_spec a = { "a", "rdwr", "/srv/\"odd\" \\ \xc3\xa9.img", 0, 4096, true };
	struct lun_spec n = { "n", "null", "", UINT64_C(1) << 40, 512, false };
	struct lun_spec pending = { "p", "null", "", 512, 512, false };
	struct model_target *t;
	struct model_mapping *p;
	struct model_portal *mp;
	struct model_rule *r;
	struct model_lun *l;

	model_init(m, fake_random);
	CHECK_EQ(model_target_create(m, IQN, "an \"alias\"", 7, &t, why), 0);
	CHECK_EQ(model_lun_create(m, &a, &l, why), 0);
	l->pending = false;
	CHECK_EQ(model_lun_create(m, &n, &l, why), 0);
	l->pending = false;
	CHECK_EQ(model_lun_create(m, &pending, &l, why), 0);
	CHECK_EQ(model_mapping_create(m, IQN, "a", 16000, true, &p, why), 0);
	CHECK_EQ(model_mapping_create(m, IQN, "n", 0, false, &p, why), 0);
	CHECK_EQ(model_rule_create(m, IQN, "iqn.*:h?st", "2001:db8::/33", &r, why), 0);
	CHECK_EQ(model_rule_create(m, IQN, "", "192.0.2.1", &r, why), 0);
	CHECK_EQ(model_target_redirect(t, "[2001:db8::2]:3261", true, why), 0);
	CHECK_EQ(model_portal_create(m, 5, "::1", 3260, 7, &mp, why), 0);
	CHECK_EQ(model_portal_create(m, 0, "127.0.0.1", 0, 1, &mp, why), 0);
	mp->pending = true;
}

static void
test_round_trip(void)
{
	struct model m, back;
	struct model_lun *l, *k;
	char *text, *again;

	fill(&m);
	text = state_print(&m);
	CHECK(text && !strstr(text, "\"p\""));
	model_init(&back, fake_random);
	CHECK_MSG(!state_parse(text, strlen(text), "x", &back, why), "%s", why);
	again = state_print(&back);
	CHECK_STR(again, text);
	l = model_lun_find(&m, "a");
	k = model_lun_find(&back, "a");
	CHECK(l && k && !k->pending && l->naa == k->naa && l->naa_ext == k->naa_ext);
	CHECK_STR(k->path, l->path);
	CHECK_STR(k->serial, l->serial);
	CHECK_EQ(back.n_portals, 1);
	CHECK_EQ(model_target_find(&back, IQN)->n_rules, 2);
	CHECK_STR(model_target_find(&back, IQN)->redirect, "[2001:db8::2]:3261");
	CHECK(model_target_find(&back, IQN)->redirect_permanent);
	CHECK_EQ(back.n_luns, 2);
	free(text);
	free(again);
	model_done(&m);
	model_done(&back);
}

#define EMPTY_BUT(luns, mappings, portals)                                     \
	"{\"tgt-ng\":1,\"targets\":[],\"luns\":[" luns "],\"mappings\":[" mappings \
	"],\"portals\":[" portals "]}"
#define LUN(name, serial, naa)                                                 \
	"{\"name\":\"" name "\",\"backend\":\"null\",\"path\":\"\",\"size\":512,"  \
	"\"block_size\":512,\"read_only\":false,\"serial\":\"" serial "\",\"naa\":\"" naa "\"}"
#define VERSION_2(access)                                                      \
	"{\"tgt-ng\":2,\"targets\":[],\"luns\":[],\"mappings\":[],\"portals\":[],"  \
	"\"access\":[" access "]}"
#define VERSION_3(rest)                                                        \
	"{\"tgt-ng\":3,\"targets\":[],\"luns\":[],\"mappings\":[],\"portals\":[],"  \
	"\"access\":[]" rest "}"
#define RULE(target, initiator, address)                                       \
	"{\"target\":\"" target "\",\"initiator\":\"" initiator "\",\"address\":\"" address "\"}"
#define NAA1 "60000000000000000000000000000001"
#define NAA2 "60000000000000000000000000000002"

static const struct {
	const char *text, *says;
} damage[] = {
	{ "", "x:0: the file ends too early" },
	{ "   ", "too early" },
	{ "{\"tgt-ng\":1,\"targ", "x:17: the file ends too early" },
	{ "{\"tgt-ng\":1}}", "x:12: " },
	{ EMPTY_BUT("", "", "") "x", "x:62: damaged" },
	{ "{\"tgt-ng\":1 \"targets\":[]}", "x:12: damaged" },
	{ "nonsense", "x:1: damaged" },
	{ "[[[[[[[[[[[[[[[[", "damaged" },
	{ "[]", "no state of tgt-ng" },
	{ "{}", "no state of tgt-ng" },
	{ "{\"tgt-ng\":4}", "version 4" },
	{ VERSION_3(""), "does not know" },
	{ VERSION_3(",\"redirects\":[{\"target\":\"t\",\"address\":\"192.0.2.1:1\","
		    "\"permanent\":true}]"), "redirects[0]: no such target" },
	{ VERSION_3(",\"redirects\":[{\"target\":\"t\"}]"), "redirects[0].address" },
	{ "{\"tgt-ng\":0}", "version 0" },
	{ "{\"tgt-ng\":2,\"targets\":[],\"luns\":[],\"mappings\":[],\"portals\":[]}",
	  "does not know" }, /* no rules: cut off, or of another */
	{ VERSION_2("{}"), "access[0].target" },
	{ VERSION_2(RULE("t", "ALL", "ALL")), "access[0]: no such target" },
	{ VERSION_2(RULE("t", "", "")), "access[0]: a rule needs" },
	{ VERSION_2(RULE("t", "ALL", "192.0.2.0/33")), "access[0]: \"192.0.2.0/33\" is no" },
	{ "{\"tgt-ng\":\"1\"}", "no state" },
	{ "{\"tgt-ng\":1,\"a\":1,\"b\":1,\"c\":1,\"d\":1}", "array \"targets\"" },
	{ "{\"tgt-ng\":1,\"more\":1,\"targets\":[],\"luns\":[],\"mappings\":[],\"portals\":[]}",
	  "does not know" },
	{ EMPTY_BUT("1", "", ""), "luns[0] is no object" },
	{ EMPTY_BUT("{}", "", ""), "luns[0].name is missing" },
	{ EMPTY_BUT(LUN("a", "s1", NAA1) "," LUN("a", "s2", NAA2), "", ""),
	  "luns[1]: LUN a is there twice" },
	{ EMPTY_BUT(LUN("a", "s", NAA1) "," LUN("b", "s", NAA2), "", ""), "same serial" },
	{ EMPTY_BUT(LUN("a", "s", NAA1) "," LUN("b", "t", NAA1), "", ""), "same serial or naa" },
	{ EMPTY_BUT(LUN("a", "s", "6000"), "", ""), "naa" },
	{ EMPTY_BUT(LUN("a", "s", "50000000000000000000000000000001"), "", ""), "naa" },
	{ EMPTY_BUT(LUN("a", "s", "6 000000000000000000000000000001"), "", ""), "naa" },
	{ EMPTY_BUT(LUN("inventory", "s", NAA1), "", ""), "luns[0]: " },
	{ EMPTY_BUT(LUN("a\\u0000b", "s", NAA1), "", ""), "luns[0].name" },
	{ EMPTY_BUT(LUN("a", "", NAA1), "", ""), "serial" },
	{ EMPTY_BUT("", "{\"target\":\"t\",\"number\":0,\"lun\":\"a\",\"read_only\":false}", ""),
	  "mappings[0]: no such target" },
	{ EMPTY_BUT("", "{\"target\":\"t\",\"number\":0.5,\"lun\":\"a\",\"read_only\":false}", ""),
	  "mappings[0].number is missing or no int" },
	{ EMPTY_BUT("", "{\"target\":\"t\",\"number\":-1,\"lun\":\"a\",\"read_only\":false}", ""),
	  "out of range" },
	{ EMPTY_BUT("", "", "{\"id\":1,\"addr\":\"::1\",\"port\":65536,\"tpgt\":1}"), "out of range" },
	{ EMPTY_BUT("", "", "{\"id\":1,\"addr\":\"::1\",\"port\":99999999999999999999,\"tpgt\":1}"),
	  "portals[0].port" },
	{ EMPTY_BUT("", "", "{\"id\":1,\"addr\":\"::1\",\"port\":1,\"tpgt\":1,\"x\":0}"),
	  "does not know" },
	{ EMPTY_BUT("", "", "{\"id\":1,\"addr\":\"::1\",\"port\":1,\"tpgt\":1},"
			    "{\"id\":2,\"addr\":\"::1\",\"port\":1,\"tpgt\":1}"), "twice" },
};

static void
test_damage(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(damage); i++) {
		struct model m;

		model_init(&m, fake_random);
		why[0] = 0;
		CHECK_MSG(state_parse(damage[i].text, strlen(damage[i].text), "x", &m, why) < 0,
			  "accepted: %s", damage[i].text);
		CHECK_MSG(!strncmp(why, "x:", 2) && strstr(why, damage[i].says),
			  "%s\n#   says \"%s\", expected \"%s\"", damage[i].text, why,
			  damage[i].says);
		model_done(&m);
	}
}

/* A file of version 1 admitted everybody, and still does. */
static void
test_version_1(void)
{
	static const char text[] =
		"{\"tgt-ng\":1,\"targets\":[{\"name\":\"" IQN "\",\"alias\":\"\",\"tpgt\":1}],"
		"\"luns\":[],\"mappings\":[],\"portals\":[]}";
	struct model m;

	model_init(&m, fake_random);
	CHECK_MSG(!state_parse(text, strlen(text), "x", &m, why), "%s", why);
	CHECK_EQ(m.n_targets, 1);
	CHECK(model_admits(model_target_find(&m, IQN), "iqn.x", "192.0.2.1:1"));
	model_done(&m);
}

/* Every shorter file is refused. */
static void
test_truncation(void)
{
	struct model m;
	char *text;

	fill(&m);
	text = state_print(&m);
	for (size_t n = 0; n < strlen(text) - 1; n++) {
		struct model back;
		int err;

		model_init(&back, fake_random);
		err = state_parse(text, n, "x", &back, why);
		CHECK_MSG(err < 0, "%zu bytes of %zu were accepted", n, strlen(text));
		model_done(&back);
	}
	free(text);
	model_done(&m);
}

static void
test_directory(void)
{
	char dir[] = "/tmp/tgt-state.XXXXXX", sub[64], file[80];
	struct state s, other;
	struct model m, back;
	struct stat st;
	int fd;

	CHECK(mkdtemp(dir) != NULL);
	snprintf(sub, sizeof(sub), "%s/new", dir);
	snprintf(file, sizeof(file), "%s/" STATE_FILE, sub);
	CHECK_MSG(!state_open(&s, sub, why), "%s", why);
	CHECK(state_open(&other, sub, why) < 0); /* locked */
	CHECK(strstr(why, "in use"));
	model_init(&back, fake_random);
	CHECK_EQ(state_load(&s, &back, why), 0); /* no file: nothing configured */
	CHECK_EQ(back.n_luns, 0);
	fill(&m);
	CHECK_EQ(state_save(&s, &m, why), 0);
	CHECK_EQ(stat(file, &st), 0);
	CHECK_EQ(st.st_mode & 0777, 0600);
	CHECK_EQ(faccessat(s.dirfd, STATE_FILE ".new", F_OK, 0), -1);
	CHECK_EQ(state_load(&s, &back, why), 0);
	CHECK_EQ(back.n_luns, 2);
	model_done(&back);

	/* A damaged file is named, and left as it is. */
	CHECK_EQ(truncate(file, 40), 0);
	model_init(&back, fake_random);
	CHECK_EQ(state_load(&s, &back, why), -EINVAL);
	CHECK_MSG(!strncmp(why, file, strlen(file)) && strstr(why, ":40:"), "%s", why);
	CHECK_EQ(stat(file, &st), 0);
	CHECK_EQ(st.st_size, 40);
	model_done(&back);

	/* What cannot be written leaves the old file. */
	fd = openat(s.dirfd, STATE_FILE ".new", O_CREAT | O_EXCL | O_WRONLY, 0600);
	CHECK(fd >= 0);
	close(fd);
	CHECK_EQ(state_save(&s, &m, why), 0); /* a left-over temporary is no obstacle */
	CHECK_EQ(mkdirat(s.dirfd, STATE_FILE ".new", 0700), 0);
	CHECK(state_save(&s, &m, why) < 0);
	CHECK(strstr(why, "nothing was changed"));
	model_init(&back, fake_random);
	CHECK_EQ(state_load(&s, &back, why), 0);
	CHECK_EQ(back.n_luns, 2);
	unlinkat(s.dirfd, STATE_FILE ".new", AT_REMOVEDIR);
	unlinkat(s.dirfd, STATE_FILE, 0);
	state_close(&s);
	rmdir(sub);
	rmdir(dir);
	model_done(&m);
	model_done(&back);
}

int
main(void)
{
	TEST(test_round_trip);
	TEST(test_damage);
	TEST(test_version_1);
	TEST(test_truncation);
	TEST(test_directory);
	return tap_done();
}
