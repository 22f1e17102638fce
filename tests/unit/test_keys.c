/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text keys: every key's answer and result, every refusal (RFC 7143 12, 13).
 */
#include <stdlib.h>

#include "portal/keys.h"
#include "proto/util.h"
#include "tests/unit/tap.h"

enum { SEC = ISCSI_STAGE_SECURITY, OP = ISCSI_STAGE_OPERATIONAL, FFP = ISCSI_STAGE_FULL_FEATURE };

static struct login_limits limits;
static struct keys keys;
static char answer[70000]; /* NULs shown as ';' */

static void
start(void)
{
	login_limits_default(&limits);
	keys_init(&keys, &limits);
}

/* @text: pairs ended by ';' instead of NUL. */
static int
say(int stage, const char *text)
{
	size_t len = strlen(text);
	char *copy = malloc(len + 1);
	struct text_buf out;
	int rc;

	for (size_t i = 0; i < len; i++)
		copy[i] = text[i] == ';' ? '\0' : text[i];
	text_buf_init(&out, ISCSI_TEXT_MAX);
	rc = keys_negotiate(&keys, (enum iscsi_stage)stage,
			    (struct text_span){ copy, len }, &out);
	for (size_t i = 0; i < out.len; i++)
		answer[i] = out.ptr[i] ? out.ptr[i] : ';';
	answer[out.len] = '\0';
	text_buf_done(&out);
	free(copy);
	return rc;
}

/* One key, its answer, or the status of the refusal. */
static const struct {
	const char *clause;
	int stage;
	const char *text, *answer;
	int status;
} rows[] = {
	{ "12.1 AuthMethod", SEC, "AuthMethod=None;", "AuthMethod=None;", 0 },
	{ "12.1 AuthMethod", SEC, "AuthMethod=CHAP,None;", "AuthMethod=None;", 0 },
	{ "12.1 AuthMethod", SEC, "AuthMethod=KRB5,SRP,CHAP;", "", 0x0201 },
	{ "12.1 AuthMethod", SEC, "AuthMethod=CHAP;", "", 0x0201 },
	{ "12.1 AuthMethod", SEC, "AuthMethod=;", "", 0x0201 },
	{ "12.1 AuthMethod", SEC, "AuthMethod=none;", "", 0x0201 },
	{ "12 only in the security stage", OP, "AuthMethod=None;", "", 0x0200 },
	{ "13.1 HeaderDigest", OP, "HeaderDigest=None;", "HeaderDigest=None;", 0 },
	{ "13.1 HeaderDigest", OP, "HeaderDigest=CRC32C,None;", "HeaderDigest=CRC32C;", 0 },
	{ "13.1 HeaderDigest", OP, "HeaderDigest=CRC32C;", "HeaderDigest=CRC32C;", 0 },
	{ "13.1 DataDigest", OP, "DataDigest=None,CRC32C;", "DataDigest=None;", 0 },
	{ "13.1 DataDigest", OP, "DataDigest=X-new,CRC32C,None;", "DataDigest=CRC32C;", 0 },
	{ "13.1 not a digest", OP, "DataDigest=MD5;", "", 0x0200 },
	{ "13.2 MaxConnections", OP, "MaxConnections=8;", "MaxConnections=1;", 0 },
	{ "13.2 MaxConnections", OP, "MaxConnections=0;", "", 0x0200 },
	{ "13.2 MaxConnections", OP, "MaxConnections=65536;", "", 0x0200 },
	{ "13.3 full feature only", OP, "SendTargets=All;", "", 0x0200 },
	{ "13.3 full feature only", SEC, "SendTargets=All;", "", 0x0200 },
	{ "13.4 TargetName", SEC, "TargetName=iqn.2020-01.org.x:t;", "", 0 },
	{ "13.4 not a name", SEC, "TargetName=disk1;", "", 0x0200 },
	{ "13.4 login only", FFP, "TargetName=iqn.2020-01.org.x:t;", "", 0x0200 },
	{ "13.5 InitiatorName", OP, "InitiatorName=iqn.2020-01.org.x:i;", "", 0 },
	{ "13.5 empty", OP, "InitiatorName=;", "", 0x0200 },
	{ "13.6 target's", OP, "TargetAlias=me;", "", 0x0200 },
	{ "13.6 an opinion on ours", OP, "TargetAlias=NotUnderstood;", "", 0 },
	{ "13.7 InitiatorAlias", SEC, "InitiatorAlias=a host;", "", 0 },
	{ "13.8 target's", OP, "TargetAddress=1.2.3.4;", "", 0x0200 },
	{ "13.9 target's", OP, "TargetPortalGroupTag=1;", "", 0x0200 },
	{ "13.9 an opinion on ours", OP, "TargetPortalGroupTag=Irrelevant;", "", 0 },
	{ "13.10 OR", OP, "InitialR2T=Yes;", "InitialR2T=Yes;", 0 },
	{ "13.10 OR", OP, "InitialR2T=No;", "InitialR2T=No;", 0 },
	{ "13.10 boolean", OP, "InitialR2T=1;", "", 0x0200 },
	{ "13.11 AND", OP, "ImmediateData=Yes;", "ImmediateData=Yes;", 0 },
	{ "13.11 AND", OP, "ImmediateData=No;", "ImmediateData=No;", 0 },
	{ "13.11 boolean", OP, "ImmediateData=no;", "", 0x0200 },
	{ "13.12 declared", OP, "MaxRecvDataSegmentLength=512;", "", 0 },
	{ "13.12 declared", OP, "MaxRecvDataSegmentLength=16777215;", "", 0 },
	{ "13.12 declared", FFP, "MaxRecvDataSegmentLength=65536;", "", 0 },
	{ "13.12 too small", OP, "MaxRecvDataSegmentLength=511;", "", 0x0200 },
	{ "13.12 too large", OP, "MaxRecvDataSegmentLength=16777216;", "", 0x0200 },
	{ "13.13 min", OP, "MaxBurstLength=16776192;", "MaxBurstLength=1048576;", 0 },
	{ "13.13 min", OP, "MaxBurstLength=512;", "MaxBurstLength=512;", 0 },
	{ "13.13 hex", OP, "MaxBurstLength=0x200;", "MaxBurstLength=512;", 0 },
	{ "13.13 range", OP, "MaxBurstLength=511;", "", 0x0200 },
	{ "13.13 range", OP, "MaxBurstLength=16777216;", "", 0x0200 },
	{ "13.13 overflow", OP, "MaxBurstLength=4294967808;", "", 0x0200 },
	{ "13.13 LO", FFP, "MaxBurstLength=8192;", "", 0x0200 },
	{ "12 other keys not in security", SEC, "MaxBurstLength=8192;", "", 0x0200 },
	{ "13.14 min", OP, "FirstBurstLength=262145;", "FirstBurstLength=262144;", 0 },
	{ "13.14 at most MaxBurstLength", OP, "FirstBurstLength=262144;MaxBurstLength=4096;",
	  "MaxBurstLength=4096;FirstBurstLength=4096;", 0 },
	{ "13.14 range", OP, "FirstBurstLength=0;", "", 0x0200 },
	{ "13.15 max", OP, "DefaultTime2Wait=0;", "DefaultTime2Wait=2;", 0 },
	{ "13.15 max", OP, "DefaultTime2Wait=3600;", "DefaultTime2Wait=3600;", 0 },
	{ "13.15 range", OP, "DefaultTime2Wait=3601;", "", 0x0200 },
	{ "13.16 min", OP, "DefaultTime2Retain=20;", "DefaultTime2Retain=0;", 0 },
	{ "13.16 range", OP, "DefaultTime2Retain=-1;", "", 0x0200 },
	{ "13.17 min", OP, "MaxOutstandingR2T=1;", "MaxOutstandingR2T=1;", 0 },
	{ "13.17 min", OP, "MaxOutstandingR2T=65535;", "MaxOutstandingR2T=8;", 0 },
	{ "13.17 range", OP, "MaxOutstandingR2T=0;", "", 0x0200 },
	{ "13.18 OR", OP, "DataPDUInOrder=No;", "DataPDUInOrder=Yes;", 0 },
	{ "13.19 OR", OP, "DataSequenceInOrder=No;", "DataSequenceInOrder=Yes;", 0 },
	{ "13.20 min", OP, "ErrorRecoveryLevel=2;", "ErrorRecoveryLevel=0;", 0 },
	{ "13.20 range", OP, "ErrorRecoveryLevel=3;", "", 0x0200 },
	{ "13.21 SessionType", SEC, "SessionType=Discovery;", "", 0 },
	{ "13.21 SessionType", OP, "SessionType=Normal;", "", 0 },
	{ "13.21 unknown type", OP, "SessionType=Boot;", "", 0x0209 },
	{ "13.22 private key", OP, "X-org.example.k=1;", "X-org.example.k=NotUnderstood;", 0 },
	{ "6.2 unknown key", SEC, "Foo=1;", "Foo=NotUnderstood;", 0 },
	{ "6.2 unknown key", FFP, "Foo=1;", "Foo=NotUnderstood;", 0 },
	{ "6.1 case matters", OP, "maxconnections=1;", "maxconnections=NotUnderstood;", 0 },
	{ "13.23 TaskReporting", OP, "TaskReporting=FastAbort,RFC3720;",
	  "TaskReporting=RFC3720;", 0 },
	{ "13.23 none we have", OP, "TaskReporting=FastAbort;", "", 0x0200 },
	{ "13.24 iSCSIProtocolLevel", OP, "iSCSIProtocolLevel=2;", "iSCSIProtocolLevel=1;", 0 },
	{ "13.24 iSCSIProtocolLevel", OP, "iSCSIProtocolLevel=0;", "iSCSIProtocolLevel=0;", 0 },
	{ "13.24 range", OP, "iSCSIProtocolLevel=32;", "", 0x0200 },
	{ "13.25 obsolete", OP, "IFMarker=Yes;OFMarker=No;", "IFMarker=No;OFMarker=No;", 0 },
	{ "13.25 obsolete", OP, "IFMarkInt=2048~8192;OFMarkInt=1;",
	  "IFMarkInt=Reject;OFMarkInt=Reject;", 0 },
	{ "6.1 no equals sign", OP, "MaxConnections;", "", 0x0200 },
	{ "6.1 no NUL", OP, "MaxConnections=1", "", 0x0200 },
	{ "6.3 twice", OP, "InitialR2T=No;InitialR2T=No;", "", 0x0200 },
	{ "6.3 twice", SEC, "SessionType=Normal;SessionType=Discovery;", "", 0x0200 },
	{ "empty text", OP, "", "", 0 },
};

static void
test_table(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		start();
		int rc = say(rows[i].stage, rows[i].text);

		CHECK_MSG(rc == rows[i].status, "%s: %s -> status %04x", rows[i].clause,
			  rows[i].text, (unsigned)rc);
		if (!rows[i].status)
			CHECK_MSG(!strcmp(answer, rows[i].answer), "%s: %s -> %s",
				  rows[i].clause, rows[i].text, answer);
	}
}

static void
test_results(void)
{
	start();
	CHECK_EQ(say(OP, "MaxRecvDataSegmentLength=65536;MaxBurstLength=524288;"
			 "FirstBurstLength=131072;InitialR2T=No;ImmediateData=No;"
			 "MaxOutstandingR2T=4;DefaultTime2Wait=5;DefaultTime2Retain=7;"), 0);
	CHECK_EQ(keys.params.max_send_data, 65536);
	CHECK_EQ(keys.params.max_recv_data, 8192); /* 13.12: default until declared */
	CHECK_EQ(keys.params.max_burst, 524288);
	CHECK_EQ(keys.params.first_burst, 131072);
	CHECK(!keys.params.initial_r2t && !keys.params.immediate_data);
	CHECK_EQ(keys.params.max_outstanding_r2t, 4);
	CHECK_EQ(keys.params.time2wait, 5);
	CHECK_EQ(keys.params.time2retain, 0);
	CHECK(keys.params.data_pdu_in_order && keys.params.data_sequence_in_order);

	struct text_buf out;

	text_buf_init(&out, 100);
	keys_declare_recv(&keys, &out);
	keys_declare_recv(&keys, &out); /* once */
	CHECK_EQ(out.len, sizeof("MaxRecvDataSegmentLength=262144"));
	CHECK_EQ(keys.params.max_recv_data, 262144);
	text_buf_done(&out);

	start();
	say(SEC, "InitiatorName=iqn.2020-01.org.x:i;InitiatorAlias=a\tb;TargetName=eui.0123;");
	CHECK_STR(keys.initiator, "iqn.2020-01.org.x:i");
	CHECK_STR(keys.target, "eui.0123");
	CHECK_STR(keys.alias, "a?b");
}

/* 13.10, 13.11: four combinations of the two, for each preference of ours. */
static void
test_r2t_immediate(void)
{
	for (int bits = 0; bits < 16; bits++) {
		bool r2t = bits & 1, imm = bits & 2, our_r2t = bits & 4, our_imm = bits & 8;
		char text[80];

		start();
		limits.initial_r2t = our_r2t;
		limits.immediate_data = our_imm;
		snprintf(text, sizeof(text), "InitialR2T=%s;ImmediateData=%s;",
			 r2t ? "Yes" : "No", imm ? "Yes" : "No");
		CHECK_EQ(say(OP, text), 0);
		CHECK_EQ(keys.params.initial_r2t, r2t || our_r2t);
		CHECK_EQ(keys.params.immediate_data, imm && our_imm);
		snprintf(text, sizeof(text), "InitialR2T=%s;ImmediateData=%s;",
			 r2t || our_r2t ? "Yes" : "No", imm && our_imm ? "Yes" : "No");
		CHECK_STR(answer, text);
	}
}

/* 13.14 across several texts of one login */
static void
test_bursts(void)
{
	start();
	CHECK_EQ(say(OP, "MaxBurstLength=4096;"), 0);
	CHECK_EQ(keys.params.first_burst, 4096); /* the default may not stay above */
	CHECK_EQ(say(OP, "FirstBurstLength=65536;"), 0);
	CHECK_STR(answer, "FirstBurstLength=4096;");

	start();
	CHECK_EQ(say(OP, "FirstBurstLength=65536;"), 0);
	CHECK_EQ(say(OP, "MaxBurstLength=4096;"), 0x0200); /* answered too high already */
	CHECK_EQ(keys.params.max_burst, 262144); /* and nothing was taken over */
}

static void
test_scope(void)
{
	start();
	CHECK_EQ(say(OP, "MaxConnections=1;SessionType=Discovery;HeaderDigest=None;"
			 "DefaultTime2Wait=2;FirstBurstLength=512;"), 0);
	CHECK(keys.discovery); /* known before the keys that depend on it */
	CHECK_STR(answer, "MaxConnections=Irrelevant;HeaderDigest=None;DefaultTime2Wait=2;"
			  "FirstBurstLength=Irrelevant;");
	CHECK_EQ(keys.params.first_burst, 65536);

	start();
	keys.leading = false;
	CHECK_EQ(say(OP, "InitialR2T=No;DataDigest=None;"), 0);
	CHECK_STR(answer, "InitialR2T=Irrelevant;DataDigest=None;");
	CHECK(keys.params.initial_r2t);

	start();
	CHECK_EQ(say(SEC, "InitiatorName=iqn.2020-01.org.x:i;"), 0);
	keys_close_identity(&keys);
	CHECK_EQ(say(SEC, "SessionType=Discovery;"), 0x0200);
	CHECK_EQ(say(OP, "TargetName=iqn.2020-01.org.x:t;"), 0x0200);
	keys_restart(&keys);
	CHECK_EQ(say(OP, "InitialR2T=No;"), 0);
	CHECK_EQ(say(OP, "InitialR2T=No;"), 0x0200); /* 6.3, also in a later text */
}

static bool
fake_targets(void *arg, struct text_span value, struct text_buf *reply)
{
	text_add(reply, "TargetName", arg);
	return text_equal(value, "All");
}

static void
test_send_targets(void)
{
	char name[] = "iqn.x:t";

	start();
	CHECK_EQ(say(FFP, "SendTargets=All;"), 0);
	CHECK_STR(answer, "SendTargets=Reject;"); /* nobody to ask */
	keys_restart(&keys);
	keys.send_targets = fake_targets;
	keys.arg = name;
	CHECK_EQ(say(FFP, "SendTargets=All;"), 0);
	CHECK_STR(answer, "TargetName=iqn.x:t;");
}

static void
test_digests(void)
{
	start();
	CHECK_EQ(say(OP, "HeaderDigest=CRC32C,None;DataDigest=None,CRC32C;"), 0);
	/* 6.2.1: the initiator's order decides */
	CHECK_STR(answer, "HeaderDigest=CRC32C;DataDigest=None;");
	CHECK_EQ(keys.params.header_digest, ISCSI_DIGEST_CRC32C);
	CHECK_EQ(keys.params.data_digest, ISCSI_DIGEST_NONE);
	start();
	limits.digests = 1u << ISCSI_DIGEST_NONE;
	CHECK_EQ(say(OP, "DataDigest=CRC32C,None;"), 0);
	CHECK_STR(answer, "DataDigest=None;");
	start();
	limits.digests = 1u << ISCSI_DIGEST_NONE;
	CHECK_EQ(say(OP, "HeaderDigest=CRC32C;"), 0x0200); /* none that we have */
}

/* Amplification: "a=b" is 4 bytes, its NotUnderstood 16. */
static void
test_many_unknown(void)
{
	static char text[16000 + 1];
	struct text_buf out;

	start();
	for (int i = 0; i < 4000; i++)
		memcpy(text + 4 * i, "a=b;", 4);
	CHECK_EQ(say(OP, text), 0);
	CHECK_EQ(strlen(answer), 4000 * 16);
	text_buf_init(&out, 1000);
	for (int i = 0; i < 16000; i++)
		if (text[i] == ';')
			text[i] = '\0';
	CHECK_EQ(keys_negotiate(&keys, ISCSI_STAGE_OPERATIONAL,
				(struct text_span){ text, 16000 }, &out), 0);
	CHECK(out.err && out.len <= 1000); /* the caller sees that it was cut */
	text_buf_done(&out);
}

int
main(void)
{
	TEST(test_table);
	TEST(test_results);
	TEST(test_r2t_immediate);
	TEST(test_bursts);
	TEST(test_scope);
	TEST(test_send_targets);
	TEST(test_digests);
	TEST(test_many_unknown);
	return tap_done();
}
