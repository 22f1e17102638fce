/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text format, RFC 7143 6.1.
 */
#include <errno.h>
#include <stdlib.h>

#include "portal/text.h"
#include "proto/util.h"
#include "tests/unit/tap.h"

#define SPAN(s) ((struct text_span){ (s), sizeof(s) - 1 })

static void
test_pairs(void)
{
	struct text_span in = SPAN("A=1\0\0Bb.c-d+e@f_g=x=y,z\0X#NEW=\0");
	struct text_pair p;

	CHECK_EQ(text_next(&in, &p), 1);
	CHECK(text_equal(p.key, "A") && text_equal(p.value, "1"));
	CHECK_EQ(text_next(&in, &p), 1);
	CHECK(text_equal(p.key, "Bb.c-d+e@f_g") && text_equal(p.value, "x=y,z"));
	CHECK_EQ(text_next(&in, &p), 1);
	CHECK(text_equal(p.key, "X#NEW") && text_equal(p.value, ""));
	CHECK_EQ(text_next(&in, &p), 0);
	CHECK_EQ(text_next(&in, &p), 0);
}

#define K63 "K23456789012345678901234567890123456789012345678901234567890123"

static void
test_bad_pairs(void)
{
	static const struct {
		const char *text;
		size_t len;
		int want;
	} rows[] = {
#define ROW(s, w) { s, sizeof(s) - 1, w }
		ROW("A=1\0", 1),
		ROW("A=1", -EPROTO), /* no NUL at the end */
		ROW("A1\0", -EPROTO), /* no '=' */
		ROW("=1\0", -EPROTO), /* no key */
		ROW("1A=1\0", -EPROTO), /* a standard-label begins with a letter */
		ROW("A B=1\0", -EPROTO),
		ROW("A\x80=1\0", -EPROTO),
		ROW(K63 "=1\0", 1), /* 63 bytes are the most */
		ROW(K63 "4=1\0", -EPROTO),
		ROW("\0\0\0", 0),
		ROW("", 0),
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		/* An exact copy, so that a sanitizer sees a read too far. */
		char *copy = malloc(rows[i].len + !rows[i].len);
		struct text_span in = { copy, rows[i].len };
		struct text_pair p;

		memcpy(copy, rows[i].text, rows[i].len);
		CHECK_MSG(text_next(&in, &p) == rows[i].want, "row %zu", i);
		free(copy);
	}
}

static void
test_numbers(void)
{
	static const struct {
		const char *s;
		int rc;
		uint64_t n;
	} rows[] = {
		{ "0", 0, 0 },
		{ "512", 0, 512 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "0x1F", 0, 31 },
		{ "0Xffffffffffffffff", 0, UINT64_MAX },
		{ "0x0", 0, 0 },
		{ "18446744073709551616", -EPROTO, 0 },
		{ "99999999999999999999", -EPROTO, 0 },
		{ "0x10000000000000000", -EPROTO, 0 },
		{ "", -EPROTO, 0 },
		{ "0x", -EPROTO, 0 },
		{ "00", -EPROTO, 0 },
		{ "012", -EPROTO, 0 },
		{ "-1", -EPROTO, 0 },
		{ "+1", -EPROTO, 0 },
		{ " 1", -EPROTO, 0 },
		{ "1 ", -EPROTO, 0 },
		{ "1a", -EPROTO, 0 },
		{ "0xg", -EPROTO, 0 },
		{ "512~1024", -EPROTO, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t n = 0;
		struct text_span s = { rows[i].s, strlen(rows[i].s) };

		CHECK_MSG(text_number(s, &n) == rows[i].rc, "\"%s\"", rows[i].s);
		CHECK_MSG(n == rows[i].n, "\"%s\": %" PRIu64, rows[i].s, n);
	}
}

static void
test_bool_and_list(void)
{
	struct text_span list = SPAN("a,,bc,"), item;
	bool b = false;

	CHECK_EQ(text_bool(SPAN("Yes"), &b), 0);
	CHECK(b);
	CHECK_EQ(text_bool(SPAN("No"), &b), 0);
	CHECK(!b);
	CHECK_EQ(text_bool(SPAN("yes"), &b), -EPROTO); /* 6.1: case matters */
	CHECK_EQ(text_bool(SPAN(""), &b), -EPROTO);
	CHECK_EQ(text_bool(SPAN("Yes,No"), &b), -EPROTO);

	CHECK(text_list_next(&list, &item) && text_equal(item, "a"));
	CHECK(text_list_next(&list, &item) && text_equal(item, ""));
	CHECK(text_list_next(&list, &item) && text_equal(item, "bc"));
	CHECK(text_list_next(&list, &item) && text_equal(item, ""));
	CHECK(!text_list_next(&list, &item));
}

static void
test_names(void)
{
	char longest[224];

	memset(longest, 'x', sizeof(longest));
	memcpy(longest, "iqn.", 4);
	CHECK(text_is_name(SPAN("iqn.2001-04.com.example:storage:diskarrays-sn-a8675309")));
	CHECK(text_is_name(SPAN("eui.02004567A425678D")));
	CHECK(text_is_name(SPAN("naa.52004567BA64678D")));
	CHECK(text_is_name(SPAN("iqn.2001-04.com.example:\xc3\xa4"))); /* 4.2.7.2: UTF-8 */
	CHECK(text_is_name((struct text_span){ longest, 223 }));
	CHECK(!text_is_name((struct text_span){ longest, 224 })); /* 4.2.7.1 */
	CHECK(!text_is_name(SPAN("")));
	CHECK(!text_is_name(SPAN("iqn.")));
	CHECK(!text_is_name(SPAN("host1")));
	CHECK(!text_is_name(SPAN("iqn.a b")));
	CHECK(!text_is_name(SPAN("iqn.a\n")));
	CHECK(!text_is_name(SPAN("iqn.a\x7f")));
}

static void
test_buf(void)
{
	struct text_buf b;
	char big[600];

	memset(big, 'v', sizeof(big));
	text_buf_init(&b, 1000);
	text_add(&b, "Key", "value");
	text_add_number(&b, "N", UINT64_MAX);
	CHECK_EQ(b.len, 10 + 23);
	CHECK_MEM(b.ptr, "Key=value\0N=18446744073709551615\0", 33);
	text_buf_append(&b, big, 600); /* beyond the first allocation */
	CHECK_EQ(b.err, 0);
	CHECK_EQ(b.len, 633);
	text_buf_append(&b, big, 368); /* beyond max: kept as it was */
	CHECK_EQ(b.err, -EMSGSIZE);
	CHECK_EQ(b.len, 633);
	text_add(&b, "a", "b"); /* the error sticks */
	CHECK_EQ(b.len, 633);
	text_buf_reset(&b);
	text_buf_append(&b, big, 600);
	text_buf_append(&b, big, 400); /* exactly max */
	CHECK_EQ(b.err, 0);
	CHECK_EQ(b.len, 1000);
	text_buf_done(&b);
	CHECK(!b.ptr && !b.len && b.max == 1000);
}

int
main(void)
{
	TEST(test_pairs);
	TEST(test_bad_pairs);
	TEST(test_numbers);
	TEST(test_bool_and_list);
	TEST(test_names);
	TEST(test_buf);
	return tap_done();
}
