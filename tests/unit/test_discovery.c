/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SendTargets and text requests in the full feature phase (RFC 7143 6.4, 11.10,
 * 11.11, appendix C).
 */
#include <stdlib.h>

#include "portal/discovery.h"
#include "portal/textreq.h"
#include "proto/util.h"
#include "tests/unit/tap.h"

static const struct disco_portal portals[] = {
	{ "192.0.2.1", 3260, 1 },
	{ "2001:db8::1", 3261, 2 },
};
static const struct disco_target targets[] = { { "iqn.x:a", 7 }, { "iqn.x:b", 9 } };
static const uint32_t visible[] = { 7, 9 };
static const struct disco_view view = {
	.targets = targets, .n_targets = 2, .portals = portals, .n_portals = 2, .discovery = true,
	.visible = visible, .n_visible = 2,
};

static char text[16 << 20];

static void
show(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		text[i] = p[i] ? p[i] : ';';
	text[len] = '\0';
}

static bool
ask(const struct disco_view *v, const char *value)
{
	struct text_buf b;
	bool ok;

	text_buf_init(&b, 1 << 20);
	ok = discovery_send_targets(v, (struct text_span){ value, strlen(value) }, &b);
	show(b.ptr, b.len);
	text_buf_done(&b);
	return ok;
}

#define PORTALS "TargetAddress=192.0.2.1:3260,1;TargetAddress=[2001:db8::1]:3261,2;"

static void
test_send_targets(void)
{
	struct disco_view normal = view;

	CHECK(ask(&view, "All"));
	CHECK_STR(text, "TargetName=iqn.x:a;" PORTALS "TargetName=iqn.x:b;" PORTALS);
	CHECK(ask(&view, "iqn.x:b"));
	CHECK_STR(text, "TargetName=iqn.x:b;" PORTALS);
	CHECK(ask(&view, "iqn.x:c"));
	CHECK_STR(text, "");
	CHECK(!ask(&view, "")); /* "nothing" is for normal sessions */
	CHECK_STR(text, "");

	normal.discovery = false;
	normal.own_target = "iqn.x:a";
	CHECK(ask(&normal, ""));
	CHECK_STR(text, "TargetName=iqn.x:a;" PORTALS);
	CHECK(ask(&normal, "iqn.x:a"));
	CHECK_STR(text, "TargetName=iqn.x:a;" PORTALS);
	CHECK(ask(&normal, "iqn.x:b")); /* not of another's */
	CHECK_STR(text, "");
	CHECK(!ask(&normal, "All"));
	normal.own_target = NULL;
	CHECK(ask(&normal, ""));
	CHECK_STR(text, "");
}

/* Who may not log in to a target is not told of it, nor of its name. */
static void
test_visible(void)
{
	static const uint32_t second[] = { 1, 9, 11 };
	struct disco_view some = view;

	some.visible = second;
	some.n_visible = 3;
	CHECK(ask(&some, "All"));
	CHECK_STR(text, "TargetName=iqn.x:b;" PORTALS);
	CHECK(ask(&some, "iqn.x:a"));
	CHECK_STR(text, "");
	CHECK(ask(&some, "iqn.x:b"));
	CHECK_STR(text, "TargetName=iqn.x:b;" PORTALS);
	some.visible = NULL; /* none: nothing, not everything */
	some.n_visible = 0;
	CHECK(ask(&some, "All"));
	CHECK_STR(text, "");
}

static void
test_addresses(void)
{
	static const struct {
		const char *addr, *local, *want;
	} rows[] = {
		{ "127.0.0.1", "192.0.2.9", "TargetAddress=127.0.0.1:3260,1;" },
		{ "0.0.0.0", "192.0.2.9", "TargetAddress=192.0.2.9:3260,1;" },
		{ "::", "2001:db8::9", "TargetAddress=[2001:db8::9]:3260,1;" },
		{ "::", "::ffff:192.0.2.9", "TargetAddress=192.0.2.9:3260,1;" },
		{ "::1", "::1", "TargetAddress=[::1]:3260,1;" },
		{ "0.0.0.0", NULL, "TargetAddress=0.0.0.0:3260,1;" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct disco_view v = { .local_addr = rows[i].local };
		struct disco_portal p = { rows[i].addr, 3260, 1 };
		struct text_buf b;

		text_buf_init(&b, 200);
		discovery_address(&v, &p, &b);
		show(b.ptr, b.len);
		CHECK_STR(text, rows[i].want);
		text_buf_done(&b);
	}
}

static struct textreq tr;
static struct login_limits limits;
static struct textreq_reply reply;
static struct pdu_text_req req;

static void
start(bool discovery, uint32_t max_send)
{
	struct iscsi_params params;

	login_limits_default(&limits);
	iscsi_params_default(&params);
	params.max_send_data = max_send;
	textreq_done(&tr);
	textreq_init(&tr, &limits, &params, discovery);
	req = (struct pdu_text_req){ .itt = 5, .ttt = ISCSI_TAG_NONE, .final = true };
}

static int
send_text(const struct disco_view *v, const char *s)
{
	size_t len = strlen(s);
	uint8_t *data = malloc(len + 1);
	int rc;

	for (size_t i = 0; i < len; i++)
		data[i] = s[i] == ';' ? 0 : (uint8_t)s[i];
	rc = textreq_input(&tr, &req, data, (uint32_t)len, v, &reply);
	free(data);
	if (!rc)
		show((const char *)reply.data, reply.rsp.data_len);
	return rc;
}

static void
test_simple(void)
{
	start(true, 8192);
	CHECK_EQ(send_text(&view, "SendTargets=All;"), 0);
	CHECK(reply.rsp.final && !reply.rsp.cont && reply.rsp.ttt == ISCSI_TAG_NONE);
	CHECK_EQ(reply.rsp.itt, 5);
	CHECK_STR(text, "TargetName=iqn.x:a;" PORTALS "TargetName=iqn.x:b;" PORTALS);
	CHECK_EQ(send_text(&view, "SendTargets=;"), 0);
	CHECK_STR(text, "SendTargets=Reject;");
	CHECK_EQ(send_text(&view, "X-y=1;"), 0);
	CHECK_STR(text, "X-y=NotUnderstood;");
	CHECK_EQ(send_text(&view, ""), 0);
	CHECK(reply.rsp.final && reply.rsp.data_len == 0);
}

static void
test_renegotiate(void)
{
	start(false, 8192);
	CHECK_EQ(send_text(&view, "MaxRecvDataSegmentLength=65536;"), 0);
	CHECK_EQ(tr.keys.params.max_send_data, 65536);
	/* again, in another exchange */
	CHECK_EQ(send_text(&view, "MaxRecvDataSegmentLength=4096;"), 0);
	CHECK_EQ(tr.keys.params.max_send_data, 4096);
	/* 7.12: a failed one changes nothing */
	CHECK_EQ(send_text(&view, "MaxRecvDataSegmentLength=512;MaxBurstLength=512;"),
		 ISCSI_REJECT_PROTOCOL_ERROR);
	CHECK_EQ(tr.keys.params.max_send_data, 4096);
	CHECK_EQ(send_text(&view, "MaxRecvDataSegmentLength=511;"), ISCSI_REJECT_PROTOCOL_ERROR);
	CHECK_EQ(send_text(&view, "no pair;"), ISCSI_REJECT_PROTOCOL_ERROR);
	CHECK_EQ(send_text(&view, "X-y=1"), ISCSI_REJECT_PROTOCOL_ERROR);

	/* F=0: the exchange stays open; a later failure undoes its beginning */
	req.final = false;
	CHECK_EQ(send_text(&view, "MaxRecvDataSegmentLength=1024;"), 0);
	CHECK(!reply.rsp.final && reply.rsp.ttt != ISCSI_TAG_NONE);
	CHECK_EQ(tr.keys.params.max_send_data, 1024);
	req.ttt = reply.rsp.ttt;
	CHECK_EQ(send_text(&view, "MaxRecvDataSegmentLength=2048;"), ISCSI_REJECT_PROTOCOL_ERROR);
	CHECK_EQ(tr.keys.params.max_send_data, 4096);
}

static void
test_tags(void)
{
	start(true, 8192);
	req.ttt = 1; /* nothing is open */
	CHECK_EQ(send_text(&view, "SendTargets=All;"), ISCSI_REJECT_PROTOCOL_ERROR);
	req.ttt = ISCSI_TAG_NONE;
	req.final = false;
	req.cont = true;
	CHECK_EQ(send_text(&view, "SendTar"), 0);
	CHECK(!reply.rsp.final && !reply.rsp.cont && reply.rsp.data_len == 0);
	CHECK(reply.rsp.ttt != ISCSI_TAG_NONE);
	req.ttt = reply.rsp.ttt;
	req.cont = false;
	req.final = true;
	CHECK_EQ(send_text(&view, "gets=iqn.x:a;"), 0);
	CHECK_STR(text, "TargetName=iqn.x:a;" PORTALS);
	CHECK(reply.rsp.final);
	CHECK_EQ(send_text(&view, ""), ISCSI_REJECT_PROTOCOL_ERROR); /* it is over */

	req.ttt = ISCSI_TAG_NONE; /* another task's tag with our TTT */
	req.final = false;
	req.cont = true;
	CHECK_EQ(send_text(&view, "SendTar"), 0);
	req.ttt = reply.rsp.ttt;
	req.itt = 6;
	CHECK_EQ(send_text(&view, "gets=All;"), ISCSI_REJECT_PROTOCOL_ERROR);

	req.itt = 5; /* more than 64 KiB of C: the exchange ends */
	req.ttt = ISCSI_TAG_NONE;
	static char kilo[1025];
	int rc = 0, n = 0;

	memset(kilo, 'a', 1024);
	while (!rc && n++ < 1000) {
		rc = send_text(&view, kilo);
		req.ttt = reply.rsp.ttt;
	}
	CHECK_EQ(rc, ISCSI_REJECT_PROTOCOL_ERROR);
	CHECK_EQ(n, 65);
	CHECK(tr.in.ptr == NULL); /* and gives its memory back */
}

/* Ten thousand targets to an initiator that takes 512 bytes at a time. */
static void
test_many_targets(void)
{
	enum { N = 10000 };
	static char names[N][32];
	static struct disco_target many[N];
	static uint32_t ids[N];
	struct disco_view v = view;
	char *want = NULL;
	size_t got = 0;
	struct text_buf all;

	for (int i = 0; i < N; i++) {
		snprintf(names[i], sizeof(names[i]), "iqn.2020-01.x:%d", i);
		many[i].name = names[i];
		many[i].id = ids[i] = (uint32_t)i + 1;
	}
	v.targets = many;
	v.n_targets = N;
	v.visible = ids;
	v.n_visible = N;
	CHECK(ask(&v, "All"));
	want = strdup(text);
	start(true, 512);
	text_buf_init(&all, 1 << 24);
	CHECK_EQ(send_text(&v, "SendTargets=All;"), 0);
	for (;;) {
		CHECK(reply.rsp.data_len <= 512);
		text_buf_append(&all, text, reply.rsp.data_len);
		got++;
		if (reply.rsp.final)
			break;
		CHECK(reply.rsp.cont && reply.rsp.ttt != ISCSI_TAG_NONE);
		req.ttt = reply.rsp.ttt;
		if (send_text(&v, ""))
			break;
	}
	CHECK(reply.rsp.final && !reply.rsp.cont);
	CHECK_EQ(all.len, strlen(want));
	CHECK(!memcmp(all.ptr, want, all.len));
	CHECK_EQ(got, (all.len + 511) / 512);
	text_buf_done(&all);
	free(want);

	req.ttt = ISCSI_TAG_NONE; /* text where only an empty request may come */
	CHECK_EQ(send_text(&v, "SendTargets=All;"), 0);
	req.ttt = reply.rsp.ttt;
	CHECK_EQ(send_text(&v, "X-a=1;"), ISCSI_REJECT_PROTOCOL_ERROR);
	req.ttt = ISCSI_TAG_NONE; /* starting over in the middle is allowed */
	CHECK_EQ(send_text(&v, "SendTargets=All;"), 0);
	CHECK_EQ(send_text(&v, "SendTargets=iqn.2020-01.x:7;"), 0);
	CHECK_STR(text, "TargetName=iqn.2020-01.x:7;" PORTALS);
}

int
main(void)
{
	TEST(test_send_targets);
	TEST(test_visible);
	TEST(test_addresses);
	TEST(test_simple);
	TEST(test_renegotiate);
	TEST(test_tags);
	TEST(test_many_targets);
	textreq_done(&tr);
	return tap_done();
}
