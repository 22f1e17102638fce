/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who a rule is about: patterns of names, prefixes of addresses. */
#include <stdlib.h>

#include "ctl/access.h"
#include "proto/util.h"
#include "tests/unit/tap.h"

#define IQN "iqn.2026-11.org.example:"

static const struct {
	const char *pattern, *stored; /* NULL: refused */
} patterns[] = {
	{ "ALL", "ALL" },
	{ "*", "ALL" },
	{ IQN "host", IQN "host" },
	{ "iqn.2026-11.ORG.example:Host", "iqn.2026-11.org.example:host" }, /* RFC 3722 */
	{ "iqn.*", "iqn.*" },
	{ "*:host?", "*:host?" },
	{ "i*", "i*" },
	{ "???.2026*", "???.2026*" },
	{ "eui.02004567a425678d", "eui.02004567a425678d" },
	{ "iqn.2026-11.x:\xc3\xa9", "iqn.2026-11.x:\xc3\xa9" },
	{ "", NULL },
	{ "all", NULL },
	{ "192.0.2.1", NULL }, /* never a name: RFC 7143 4.2.7 */
	{ "host", NULL },
	{ "iqn", NULL },
	{ "i?n", NULL },
	{ "iqn.2026-11.x:a b", NULL },
	{ "iqn.2026-11.x:[ab]", NULL }, /* no sets */
	{ "iqn.2026-11.x:a\\*", NULL },
	{ "iqn.2026-11.x:a\n", NULL },
	{ "iqn.2026-11.x:a/b", NULL },
};

static void
test_patterns(void)
{
	char out[ACCESS_PATTERN_MAX + 1], longest[ACCESS_PATTERN_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		int err = access_parse_pattern(patterns[i].pattern, out);

		CHECK_MSG(!err == (patterns[i].stored != NULL), "\"%s\": %d", patterns[i].pattern,
			  err);
		if (!err && patterns[i].stored)
			CHECK_STR(out, patterns[i].stored);
	}
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "iqn.", 4);
	longest[ACCESS_PATTERN_MAX] = 0;
	CHECK_EQ(access_parse_pattern(longest, out), 0);
	CHECK(access_name_matches(out, longest));
	longest[ACCESS_PATTERN_MAX] = 'a';
	longest[ACCESS_PATTERN_MAX + 1] = 0;
	CHECK(access_parse_pattern(longest, out) < 0);
}

static const struct {
	const char *pattern, *name;
	bool matches;
} names[] = {
	{ "ALL", "iqn.x", true },
	{ "ALL", "", true },
	{ "iqn.x", "iqn.x", true },
	{ "iqn.x", "iqn.X", true }, /* one name after RFC 3722 */
	{ "iqn.x", "iqn.xy", false },
	{ "iqn.xy", "iqn.x", false },
	{ "iqn.x", "", false },
	{ "iqn.?", "iqn.x", true },
	{ "iqn.?", "iqn.", false },
	{ "iqn.?", "iqn.xy", false },
	{ "iqn.*", "iqn.", true },
	{ "iqn.*", "iqn.x:y", true },
	{ "*:y", "iqn.x:y", true },
	{ "*:y", "iqn.x:y:z", false },
	{ "*:y", "iqn.x:y:y", true }, /* not the first ':' */
	{ "iqn.*b*c", "iqn.abbcabc", true },
	{ "iqn.*b*c", "iqn.abbcabd", false },
	{ "iqn.**", "iqn.", true },
	{ "*?", "", false },
	{ "*?", "i", true },
	{ "iqn.x.example", "iqn.xyexample", false }, /* a dot is a dot */
};

static void
test_names(void)
{
	char many[100], as[ACCESS_PATTERN_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		CHECK_MSG(access_name_matches(names[i].pattern, names[i].name) == names[i].matches,
			  "%s, %s", names[i].pattern, names[i].name);
	/* Takes no more than length times length. */
	memset(as, 'a', sizeof(as) - 1);
	as[sizeof(as) - 1] = 0;
	for (size_t i = 0; i < sizeof(many) - 2; i += 2)
		memcpy(many + i, "*a", 2);
	strcpy(many + sizeof(many) - 2, "b");
	CHECK(!access_name_matches(many, as));
}

static const struct {
	const char *text, *stored; /* NULL: refused */
} nets[] = {
	{ "ALL", "ALL" },
	{ "192.0.2.1", "192.0.2.1" },
	{ "192.0.2.1/32", "192.0.2.1" },
	{ "192.0.2.129/24", "192.0.2.0/24" },
	{ "192.0.2.129/25", "192.0.2.128/25" },
	{ "0.0.0.0/0", "0.0.0.0/0" },
	{ "2001:db8::1", "2001:db8::1" },
	{ "2001:DB8:0::1/128", "2001:db8::1" },
	{ "2001:db8:ffff::/33", "2001:db8:8000::/33" },
	{ "::/0", "::/0" },
	{ "::ffff:192.0.2.1", "192.0.2.1" },
	{ "::ffff:192.0.2.1/120", "192.0.2.0/24" },
	{ "::ffff:192.0.2.1/96", "0.0.0.0/0" },
	{ "::ffff:192.0.2.1/95", "::fffe:0:0/95" }, /* more than IPv4: IPv6 */
	{ "", NULL },
	{ "all", NULL },
	{ "/24", NULL },
	{ "192.0.2.0/", NULL },
	{ "192.0.2.0/33", NULL },
	{ "2001:db8::/129", NULL },
	{ "192.0.2.0/-1", NULL },
	{ "192.0.2.0/+8", NULL },
	{ "192.0.2.0/08", NULL },
	{ "192.0.2.0/24 ", NULL },
	{ "192.0.2.0/24/24", NULL },
	{ "192.0.2.0/255.255.255.0", NULL },
	{ "192.0.2.0/4294967320", NULL }, /* 24 modulo 2^32 */
	{ "192.0.2", NULL },
	{ "192.0.2.256", NULL },
	{ "192.0.2.1:3260", NULL },
	{ "[2001:db8::1]", NULL },
	{ "fe80::1%lo", NULL },
	{ "localhost", NULL },
	{ "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb", NULL },
};

static void
test_nets(void)
{
	char text[ACCESS_NET_MAX + 1];
	struct access_net n, again;

	for (size_t i = 0; i < ARRAY_SIZE(nets); i++) {
		int err = access_parse_net(nets[i].text, &n);

		CHECK_MSG(!err == (nets[i].stored != NULL), "\"%s\": %d", nets[i].text, err);
		if (err || !nets[i].stored)
			continue;
		access_print_net(&n, text);
		CHECK_STR(text, nets[i].stored);
		CHECK_EQ(access_parse_net(text, &again), 0);
		CHECK(!memcmp(&n, &again, sizeof(n)));
	}
}

static const struct {
	const char *net, *peer;
	bool matches;
} peers[] = {
	{ "ALL", "192.0.2.1:1", true },
	{ "ALL", "[::1]:1", true },
	{ "192.0.2.0/24", "192.0.2.255:65535", true },
	{ "192.0.2.0/24", "192.0.3.0:1", false },
	{ "0.0.0.0/0", "192.0.2.1:1", true },
	{ "0.0.0.0/0", "[2001:db8::1]:1", false }, /* the family is checked */
	{ "::/0", "192.0.2.1:1", false },
	{ "::/0", "[::ffff:192.0.2.1]:1", false }, /* that is IPv4 */
	{ "192.0.2.1", "[::ffff:192.0.2.1]:1", true },
	{ "::ffff:192.0.2.0/120", "192.0.2.7:1", true },
	{ "c000:200::/24", "192.0.2.1:1", false }, /* the same bits */
	{ "192.0.2.0/24", "[c000:200::1]:1", false },
	{ "2001:db8::/32", "[2001:db8:ffff::1]:1", true },
	{ "2001:db8::/32", "[2001:db9::1]:1", false },
};

static void
test_peers(void)
{
	static const char *const bad[] = { "", "192.0.2.1", "::1:3260", ":3260", "[::1", "[]:1", "x:1",
					   "[192.0.2.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1]:1" };
	struct access_net n, peer;

	for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
		CHECK_EQ(access_parse_net(peers[i].net, &n), 0);
		CHECK_EQ(access_parse_peer(peers[i].peer, &peer), 0);
		CHECK_MSG(access_net_matches(&n, &peer) == peers[i].matches, "%s, %s",
			  peers[i].net, peers[i].peer);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_MSG(access_parse_peer(bad[i], &peer) < 0, "%s", bad[i]);
}

/* Every prefix length: the address with its last bit inside turned is outside,
 * with the first one behind it turned is inside. */
static void
every_length(const char *addr, const char *peer, unsigned max)
{
	struct access_net n, p, turned;
	char text[80];

	CHECK_EQ(access_parse_peer(peer, &p), 0);
	for (unsigned bits = 0; bits <= max; bits++) {
		snprintf(text, sizeof(text), "%s/%u", addr, bits);
		CHECK_EQ(access_parse_net(text, &n), 0);
		CHECK_EQ(n.bits, bits);
		CHECK_MSG(access_net_matches(&n, &p), "%s", text);
		for (unsigned bit = 0; bit < max; bit++) {
			turned = p;
			turned.addr[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
			CHECK_MSG(access_net_matches(&n, &turned) == (bit >= bits),
				  "%s, bit %u", text, bit);
		}
	}
}

static void
test_lengths(void)
{
	every_length("192.0.2.165", "192.0.2.165:1", 32);
	every_length("2001:db8:a5:5a::feed:beef", "[2001:db8:a5:5a::feed:beef]:1", 128);
}

int
main(void)
{
	TEST(test_patterns);
	TEST(test_names);
	TEST(test_nets);
	TEST(test_peers);
	TEST(test_lengths);
	return tap_done();
}
