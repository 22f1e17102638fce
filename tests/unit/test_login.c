/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The login dialogue, PDU by PDU (RFC 7143 6.3, 11.12, 11.13).
 */
#include <errno.h>
#include <stdlib.h>

#include "portal/login.h"
#include "portal/pdu.h"
#include "proto/util.h"
#include "tests/unit/tap.h"

#define WHO  "InitiatorName=iqn.2020-01.org.x:i;TargetName=iqn.2020-01.org.x:t;"
#define WHOD "InitiatorName=iqn.2020-01.org.x:i;SessionType=Discovery;"

enum { T = 0x80, C = 0x40, SEC_OP = 0x01, SEC_FF = 0x03, OP_FF = 0x07, OP = 0x04, SEC = 0x00 };

static struct login *login;
static uint8_t req[48]; /* the next request's header */
static const uint8_t *pdu; /* the last response */
static size_t pdu_len;
static char text[70000]; /* its text, NULs as ';' */

static void
start(void)
{
	struct login_limits limits;

	login_free(login);
	login_limits_default(&limits);
	login = login_new(&limits, 7);
	memset(req, 0, sizeof(req));
	req[0] = 0x43;
	memcpy(req + 8, "\x80\x12\x34\x56\x00\x01", 6);
	put_be32(req + 16, 0xc0ffee);
	put_be16(req + 20, 1);
	put_be32(req + 24, 100);
}

static uint8_t
flags(void)
{
	return pdu[1];
}

static unsigned
status(void)
{
	return get_be16(pdu + 36);
}

static void
take_response(enum login_verdict v)
{
	pdu = login_out(login, &pdu_len);
	text[0] = '\0';
	if (v == LOGIN_COMMIT || v == LOGIN_CLOSE)
		return;
	size_t len = get_be24(pdu + 5);

	CHECK_EQ(pdu[0], 0x23);
	CHECK_EQ(pdu_len, 48 + ((len + 3) & ~(size_t)3));
	CHECK_MEM(pdu + 8, req + 8, 6);
	CHECK_EQ(get_be32(pdu + 16), get_be32(req + 16));
	CHECK_EQ(get_be32(pdu + 28), 100);
	CHECK_EQ(get_be32(pdu + 32), 100 + 127);
	for (size_t i = 0; i < len; i++)
		text[i] = pdu[48 + i] ? (char)pdu[48 + i] : ';';
	text[len] = '\0';
}

/* Sends @len bytes of ';'-separated text with the flag byte @f. */
static enum login_verdict
send_len(uint8_t f, const char *s, size_t len)
{
	uint8_t *rest = calloc(1, len + 4);
	enum login_verdict v;
	int n;

	for (size_t i = 0; i < len; i++)
		rest[i] = s[i] == ';' ? 0 : (uint8_t)s[i];
	req[1] = f;
	put_be24(req + 5, (uint32_t)len);
	n = login_rest(req);
	v = login_input(login, req, n < 0 ? NULL : rest, n < 0 ? 0 : (size_t)n);
	free(rest);
	take_response(v);
	return v;
}

static enum login_verdict
say(uint8_t f, const char *s)
{
	return send_len(f, s, strlen(s));
}

static void
test_three_stages(void)
{
	start();
	CHECK_EQ(say(T | SEC_OP, WHO "SessionType=Normal;AuthMethod=None;InitiatorAlias=host;"),
		 LOGIN_SEND);
	CHECK_EQ(flags(), T | SEC_OP);
	CHECK_EQ(status(), 0);
	CHECK_EQ(get_be32(pdu + 24), 0); /* StatSN */
	CHECK_EQ(get_be16(pdu + 14), 0); /* 11.13.4: TSIH only at the end */
	CHECK_STR(text, "AuthMethod=None;TargetPortalGroupTag=7;");
	CHECK_EQ(say(T | OP_FF, "HeaderDigest=None;InitialR2T=No;ImmediateData=Yes;"
				"MaxBurstLength=262144;FirstBurstLength=65536;"
				"MaxRecvDataSegmentLength=131072;"), LOGIN_COMMIT);
	const struct login_result *r = login_result(login);

	CHECK_STR(r->initiator, "iqn.2020-01.org.x:i");
	CHECK_STR(r->target, "iqn.2020-01.org.x:t");
	CHECK_STR(r->initiator_alias, "host");
	CHECK(!r->discovery && r->tsih == 0 && r->cid == 1 && r->tpgt == 7);
	CHECK_EQ(r->params.max_send_data, 131072);
	CHECK_EQ(r->params.max_recv_data, 262144);
	CHECK(!r->params.initial_r2t && r->params.immediate_data);

	CHECK_EQ(login_commit(login, 0x1234, "disks"), LOGIN_DONE);
	take_response(LOGIN_DONE);
	CHECK_EQ(flags(), T | OP_FF);
	CHECK_EQ(status(), 0);
	CHECK_EQ(get_be16(pdu + 14), 0x1234);
	CHECK_EQ(get_be32(pdu + 24), 1);
	CHECK_STR(text, "HeaderDigest=None;InitialR2T=No;ImmediateData=Yes;MaxBurstLength=262144;"
			"FirstBurstLength=65536;MaxRecvDataSegmentLength=262144;"
			"TargetAlias=disks;");
	CHECK_EQ(r->tsih, 0x1234);
	CHECK_EQ(r->exp_cmd_sn, 100); /* 11.12.8: the login is immediate */
	CHECK_EQ(r->stat_sn, 2);
}

static void
test_direct(void)
{
	start(); /* Security -> Full Feature */
	CHECK_EQ(say(T | SEC_FF, WHO "AuthMethod=CHAP,None;"), LOGIN_COMMIT);
	CHECK_EQ(login_result(login)->params.max_recv_data, 8192); /* never declared */
	CHECK(login_result(login)->params.initial_r2t);
	CHECK_EQ(login_commit(login, 1, NULL), LOGIN_DONE);
	take_response(LOGIN_DONE);
	CHECK_EQ(flags(), T | SEC_FF);
	CHECK_STR(text, "AuthMethod=None;TargetPortalGroupTag=7;");

	start(); /* Operational -> Full Feature */
	CHECK_EQ(say(T | OP_FF, WHO), LOGIN_COMMIT);
	CHECK_EQ(login_commit(login, 1, NULL), LOGIN_DONE);
	take_response(LOGIN_DONE);
	CHECK_EQ(flags(), T | OP_FF);
	CHECK_STR(text, "TargetPortalGroupTag=7;MaxRecvDataSegmentLength=262144;");

	start(); /* in small steps, without T */
	CHECK_EQ(say(SEC, WHO), LOGIN_SEND);
	CHECK_EQ(flags(), 0);
	CHECK_EQ(say(SEC, "AuthMethod=None;"), LOGIN_SEND);
	CHECK_STR(text, "AuthMethod=None;"); /* the tag only once */
	CHECK_EQ(say(T | SEC_OP, ""), LOGIN_SEND);
	CHECK_EQ(say(OP, "InitialR2T=No;"), LOGIN_SEND);
	CHECK_EQ(flags(), OP);
	CHECK_EQ(say(OP, "ImmediateData=No;"), LOGIN_SEND);
	CHECK_STR(text, "ImmediateData=No;");
	CHECK_EQ(say(T | OP_FF, ""), LOGIN_COMMIT);
	CHECK(!login_result(login)->params.initial_r2t);
}

static void
test_discovery(void)
{
	start();
	CHECK_EQ(say(T | OP_FF, WHOD "MaxConnections=1;"), LOGIN_COMMIT);
	CHECK(login_result(login)->discovery);
	CHECK_STR(login_result(login)->target, "");
	CHECK_EQ(login_commit(login, 5, "alias"), LOGIN_DONE);
	take_response(LOGIN_DONE);
	CHECK_STR(text, "MaxConnections=Irrelevant;MaxRecvDataSegmentLength=262144;");
}

static void
test_refusals(void)
{
	static const struct {
		const char *clause;
		uint8_t flags;
		const char *text;
		unsigned status;
	} rows[] = {
		{ "13.5 InitiatorName missing", T | OP_FF, "TargetName=iqn.x:t;", 0x0207 },
		{ "13.4 TargetName missing", T | OP_FF, "InitiatorName=iqn.x:i;", 0x0207 },
		{ "11.12.3 CSG 2", T | 0x0b, WHO, 0x0200 },
		{ "11.12.3 CSG 3", T | 0x0f, WHO, 0x0200 },
		{ "11.12.3 NSG 2", T | 0x02, WHO, 0x0200 },
		{ "11.12.3 NSG = CSG", T | 0x05, WHO, 0x0200 },
		{ "11.12.3 NSG < CSG", T | 0x04, WHO, 0x0200 },
		{ "11.12.3 security to security", T | 0x00, WHO, 0x0200 },
		{ "11.12.2 T with C", T | C | OP_FF, WHO, 0x0200 },
		{ "12.1 only CHAP", T | SEC_OP, WHO "AuthMethod=CHAP;", 0x0201 },
		{ "6.3 key twice", T | OP_FF, WHO "InitialR2T=No;InitialR2T=No;", 0x0200 },
		{ "6.3 name twice", T | OP_FF, WHO "InitiatorName=iqn.x:j;", 0x0200 },
		{ "13.17 illegal value", T | OP_FF, WHO "MaxOutstandingR2T=0;", 0x0200 },
		{ "13.21 session type", T | OP_FF, WHO "SessionType=Boot;", 0x0209 },
		{ "6.1 no NUL", T | OP_FF, WHO "InitialR2T=No", 0x0200 },
		{ "12 operational key in security", T | SEC_FF, WHO "InitialR2T=No;", 0x0200 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		start();
		enum login_verdict v = say(rows[i].flags, rows[i].text);

		CHECK_MSG(v == LOGIN_REFUSED && status() == rows[i].status,
			  "%s: verdict %d status %04x", rows[i].clause, (int)v, status());
		CHECK_EQ(login_status(login), rows[i].status);
		CHECK_EQ(pdu_len, 48);
		CHECK(!(flags() & T));
	}
}

static void
test_bad_headers(void)
{
	start(); /* 11.12.4, 11.12.5: a range that holds 0 is fine */
	req[2] = 5;
	CHECK_EQ(say(T | OP_FF, WHO), LOGIN_COMMIT);
	start();
	req[2] = 5;
	req[3] = 1;
	CHECK_EQ(say(T | OP_FF, WHO), LOGIN_REFUSED);
	CHECK_EQ(status(), 0x0205);

	start(); /* not immediate */
	req[0] = 0x03;
	CHECK_EQ(say(T | OP_FF, WHO), LOGIN_REFUSED);
	CHECK_EQ(status(), 0x0200);

	start(); /* the reserved tag */
	put_be32(req + 16, 0xffffffff);
	CHECK_EQ(say(T | OP_FF, WHO), LOGIN_REFUSED);

	start(); /* AHS; a data segment too long: not even read */
	req[4] = 1;
	CHECK_EQ(login_rest(req), -EPROTO);
	CHECK_EQ(say(T | OP_FF, WHO), LOGIN_REFUSED);
	start();
	put_be24(req + 5, 8192);
	CHECK_EQ(login_rest(req), 8192);
	put_be24(req + 5, 8193);
	CHECK_EQ(login_rest(req), -EPROTO);
	CHECK_EQ(login_input(login, req, NULL, 0), LOGIN_REFUSED);

	/* 6.3: another PDU first: close; once begun: 020Bh */
	start();
	req[0] = 0x40;
	CHECK_EQ(login_rest(req), -EPROTO);
	CHECK_EQ(login_input(login, req, NULL, 0), LOGIN_CLOSE);
	start();
	CHECK_EQ(say(OP, WHO), LOGIN_SEND);
	req[0] = 0x01;
	CHECK_EQ(say(T | OP_FF, ""), LOGIN_REFUSED);
	CHECK_EQ(status(), 0x020b);
}

/* 11.12: what must stay the same within one login */
static void
test_changes(void)
{
	static const struct {
		const char *what;
		uint8_t at;
	} rows[] = { { "ISID", 13 }, { "TSIH", 15 }, { "ITT", 19 }, { "CID", 21 } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		start();
		CHECK_EQ(say(OP, WHO), LOGIN_SEND);
		req[rows[i].at] ^= 1;
		req[1] = T | OP_FF;
		put_be24(req + 5, 0);
		enum login_verdict v = login_input(login, req, NULL, 0);

		CHECK_MSG(v == LOGIN_REFUSED, "%s changed: %d", rows[i].what, (int)v);
	}
	start(); /* the stage does not change by itself, and never back */
	CHECK_EQ(say(SEC, WHO), LOGIN_SEND);
	CHECK_EQ(say(OP, ""), LOGIN_REFUSED);
	start();
	CHECK_EQ(say(T | SEC_OP, WHO), LOGIN_SEND);
	CHECK_EQ(say(SEC, ""), LOGIN_REFUSED);
	start(); /* 6.3.1: the session type belongs into the first request */
	CHECK_EQ(say(OP, WHO), LOGIN_SEND);
	CHECK_EQ(say(OP, "SessionType=Discovery;"), LOGIN_REFUSED);
	start(); /* 6.3: twice in one login, two requests */
	CHECK_EQ(say(OP, WHO "InitialR2T=No;"), LOGIN_SEND);
	CHECK_EQ(say(OP, "InitialR2T=No;"), LOGIN_REFUSED);
	CHECK_EQ(status(), 0x0200);
}

/* 11.12.2: text over several requests, cut anywhere */
static void
test_continued_request(void)
{
	static const char whole[] = WHO "MaxRecvDataSegmentLength=4096;InitialR2T=No;";

	for (size_t cut = 1; cut < sizeof(whole) - 1; cut++) {
		start();
		CHECK_EQ(send_len(C | OP, whole, cut), LOGIN_SEND);
		CHECK_EQ(flags(), OP);
		CHECK_EQ(pdu_len, 48);
		CHECK_EQ(send_len(T | OP_FF, whole + cut, sizeof(whole) - 1 - cut), LOGIN_COMMIT);
		CHECK_EQ(login_result(login)->params.max_send_data, 4096);
	}
}

/* 64 KiB of text are taken, one byte more is not */
static void
test_text_limit(void)
{
	static char chunk[8192];
	size_t sent = 0;

	memset(chunk, ';', sizeof(chunk)); /* empty strings between the pairs */
	memcpy(chunk, WHO, sizeof(WHO) - 1);
	start();
	while (sent < 65536 - 8192) {
		CHECK_EQ(send_len(C | OP, chunk, sizeof(chunk)), LOGIN_SEND);
		memset(chunk, ';', sizeof(chunk));
		sent += sizeof(chunk);
	}
	CHECK_EQ(send_len(T | OP_FF, chunk, sizeof(chunk)), LOGIN_COMMIT);

	start();
	for (sent = 0; sent < 65536; sent += sizeof(chunk))
		CHECK_EQ(send_len(C | OP, chunk, sizeof(chunk)), LOGIN_SEND);
	CHECK_EQ(send_len(C | OP, chunk, 1), LOGIN_REFUSED);
	CHECK_EQ(status(), 0x0200);

	start(); /* endless empty requests end, too */
	int rounds = 0;

	while (say(C | OP, "") == LOGIN_SEND)
		rounds++;
	CHECK_EQ(rounds, 1024);
}

/* 11.13.2: our answer over several responses; the initiator asks for more with
 * empty requests; the stage changes with the last one only */
static void
test_continued_response(void)
{
	static char big[8192], all[65536];
	size_t len = sizeof(WHO) - 1, n = 0;
	enum login_verdict v;

	memcpy(big, WHO, len);
	for (; len + 4 <= 6000; len += 4, n++)
		memcpy(big + len, "a=b;", 4);
	start();
	v = send_len(T | OP_FF, big, len);
	all[0] = '\0';
	while (v == LOGIN_SEND) {
		CHECK_EQ(flags(), C | OP);
		CHECK_EQ(get_be24(pdu + 5), 8192);
		strcat(all, text);
		v = say(T | OP_FF, "");
	}
	CHECK_EQ(v, LOGIN_COMMIT);
	CHECK_EQ(login_commit(login, 9, "a"), LOGIN_DONE);
	take_response(LOGIN_DONE);
	CHECK_EQ(flags(), T | OP_FF);
	strcat(all, text);
	CHECK_EQ(strlen(all), n * 16 + strlen("TargetPortalGroupTag=7;"
					      "MaxRecvDataSegmentLength=262144;TargetAlias=a;"));

	start(); /* text where only an empty request may come */
	CHECK_EQ(send_len(T | OP_FF, big, len), LOGIN_SEND);
	CHECK_EQ(say(T | OP_FF, "InitialR2T=No;"), LOGIN_REFUSED);

	start(); /* 16 answer bytes for 4 asked: more than 64 KiB is refused */
	memcpy(big, WHO, sizeof(WHO) - 1);
	for (len = sizeof(WHO) - 1; len + 4 <= 8192; len += 4)
		memcpy(big + len, "a=b;", 4);
	CHECK_EQ(send_len(C | OP, big, len), LOGIN_SEND);
	CHECK_EQ(send_len(C | OP, big + sizeof(WHO) - 1, len - sizeof(WHO) + 1), LOGIN_SEND);
	CHECK_EQ(send_len(T | OP_FF, big + sizeof(WHO) - 1, len - sizeof(WHO) + 1),
		 LOGIN_REFUSED);
	CHECK_EQ(status(), 0x0200);
}

/* An alias that does not fit any more is left out, not cut. */
static void
test_alias_no_room(void)
{
	start();
	CHECK_EQ(say(T | OP_FF, WHO "MaxRecvDataSegmentLength=512;"), LOGIN_COMMIT);
	char alias[600];

	memset(alias, 'x', sizeof(alias));
	alias[sizeof(alias) - 1] = '\0';
	CHECK_EQ(login_commit(login, 9, alias), LOGIN_DONE);
	take_response(LOGIN_DONE);
	CHECK_STR(text, "TargetPortalGroupTag=7;MaxRecvDataSegmentLength=262144;");
}

static void
test_caller_refuses(void)
{
	start();
	CHECK_EQ(say(T | OP_FF, WHO), LOGIN_COMMIT);
	CHECK_EQ(login_refuse(login, ISCSI_LOGIN_NOT_FOUND), LOGIN_REFUSED);
	take_response(LOGIN_REFUSED);
	CHECK_EQ(status(), 0x0203);
	CHECK_EQ(pdu_len, 48); /* nothing of the negotiation goes out */
	CHECK_STR(login_initiator(login), "iqn.2020-01.org.x:i");

	start(); /* a session to join: the caller knows the sessions */
	put_be16(req + 14, 0x77);
	CHECK_EQ(say(T | OP_FF, WHO), LOGIN_COMMIT);
	CHECK_EQ(login_result(login)->tsih, 0x77);
	CHECK_EQ(login_refuse(login, ISCSI_LOGIN_NO_SESSION), LOGIN_REFUSED);
	take_response(LOGIN_REFUSED);
	CHECK_EQ(status(), 0x020a);
	CHECK_EQ(get_be16(pdu + 14), 0x77);

	start(); /* the timer, before any request */
	CHECK_EQ(login_refuse(login, ISCSI_LOGIN_UNAVAILABLE), LOGIN_CLOSE);
	start(); /* and between requests */
	CHECK_EQ(say(OP, WHO), LOGIN_SEND);
	CHECK_EQ(login_refuse(login, ISCSI_LOGIN_NO_RESOURCES), LOGIN_REFUSED);
	take_response(LOGIN_REFUSED);
	CHECK_EQ(status(), 0x0302);
}

/* RFC 7143 11.13.5, 13.8: TargetAddress without a tag, and nothing else. */
static void
test_redirect(void)
{
	static const struct {
		bool permanent;
		const char *to;
		unsigned status;
	} rows[] = {
		{ false, "192.0.2.1:3260", 0x0101 },
		{ true, "[2001:db8::1]:3261", 0x0102 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char want[64];

		start();
		CHECK_EQ(say(T | OP_FF, WHO), LOGIN_COMMIT);
		CHECK_EQ(login_redirect(login, rows[i].permanent, rows[i].to), LOGIN_REFUSED);
		take_response(LOGIN_REFUSED);
		CHECK_EQ(status(), rows[i].status);
		snprintf(want, sizeof(want), "TargetAddress=%s;", rows[i].to);
		CHECK_STR(text, want);
		CHECK(!(pdu[1] & 0x80)); /* no transit */
		CHECK_EQ(get_be16(pdu + 14), 0); /* no session */
	}
}

int
main(void)
{
	TEST(test_three_stages);
	TEST(test_direct);
	TEST(test_discovery);
	TEST(test_refusals);
	TEST(test_bad_headers);
	TEST(test_changes);
	TEST(test_continued_request);
	TEST(test_text_limit);
	TEST(test_continued_response);
	TEST(test_alias_no_room);
	TEST(test_caller_refuses);
	TEST(test_redirect);
	login_free(login);
	return tap_done();
}
