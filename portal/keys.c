/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of text keys and the one function that goes through a text with
 * it.  Pure but for the growth of the reply buffer.
 */
#include "portal/keys.h"

#include <stddef.h>
#include <string.h>

#include "proto/util.h"

enum key_flag {
	KF_SECURITY = 1 << 0, /* stages in which the initiator may send it */
	KF_OPERATIONAL = 1 << 1,
	KF_FULL = 1 << 2,
	KF_LEADING = 1 << 3, /* LO: for the session, on its first connection */
	KF_NORMAL = 1 << 4, /* irrelevant in discovery sessions */

	KF_LOGIN = KF_SECURITY | KF_OPERATIONAL,
	KF_ANY = KF_LOGIN | KF_FULL,
	KF_SESSION = KF_OPERATIONAL | KF_LEADING | KF_NORMAL,
};

/* Keys that others depend on come first, those that depend last. */
enum key_pass { PASS_IDENTITY, PASS_MAIN, PASS_LAST, PASS_COUNT };

struct key {
	const char *name;
	size_t len;
	/* 0 or a login status. */
	int (*take)(struct keys *k, const struct key *row, struct text_span v,
		    struct text_buf *reply);
	unsigned flags; /* enum key_flag */
	enum key_pass pass;
	uint64_t min, max; /* of a number */
	size_t param; /* offset of the result in struct iscsi_params */
	size_t limit; /* offset of our bound in struct login_limits */
	const char *const *choices; /* of a list, in the order of the mask's bits */
	const char *fixed; /* the one answer of an obsolete key */
};

static uint32_t *
param_number(struct keys *k, const struct key *row)
{
	return (uint32_t *)(void *)((char *)&k->params + row->param);
}

static uint32_t
limit_number(const struct keys *k, const struct key *row)
{
	uint32_t v;

	memcpy(&v, (const char *)k->limits + row->limit, sizeof(v));
	return v;
}

/* ---- kinds of values ------------------------------------------------------ */

static int
read_number(const struct key *row, struct text_span v, uint32_t *out)
{
	uint64_t n;

	if (text_number(v, &n) || n < row->min || n > row->max)
		return ISCSI_LOGIN_INITIATOR_ERROR;
	*out = (uint32_t)n;
	return 0;
}

static int
take_min(struct keys *k, const struct key *row, struct text_span v, struct text_buf *reply)
{
	uint32_t n;

	if (read_number(row, v, &n))
		return ISCSI_LOGIN_INITIATOR_ERROR;
	n = MIN(n, limit_number(k, row));
	*param_number(k, row) = n;
	text_add_number(reply, row->name, n);
	return 0;
}

static int
take_max(struct keys *k, const struct key *row, struct text_span v, struct text_buf *reply)
{
	uint32_t n;

	if (read_number(row, v, &n))
		return ISCSI_LOGIN_INITIATOR_ERROR;
	n = MAX(n, limit_number(k, row));
	*param_number(k, row) = n;
	text_add_number(reply, row->name, n);
	return 0;
}

/* FirstBurstLength never exceeds MaxBurstLength (13.14). */
static int
take_first_burst(struct keys *k, const struct key *row, struct text_span v,
		 struct text_buf *reply)
{
	uint32_t n;

	if (read_number(row, v, &n))
		return ISCSI_LOGIN_INITIATOR_ERROR;
	n = MIN(n, MIN(k->limits->first_burst, k->params.max_burst));
	k->params.first_burst = n;
	text_add_number(reply, row->name, n);
	return 0;
}

static int
declare_number(struct keys *k, const struct key *row, struct text_span v, struct text_buf *reply)
{
	return read_number(row, v, param_number(k, row));
}

static int
take_bool(struct keys *k, const struct key *row, struct text_span v, struct text_buf *reply,
	  bool is_or)
{
	bool offer, ours, result;

	if (text_bool(v, &offer))
		return ISCSI_LOGIN_INITIATOR_ERROR;
	memcpy(&ours, (const char *)k->limits + row->limit, sizeof(ours));
	result = is_or ? offer || ours : offer && ours;
	memcpy((char *)&k->params + row->param, &result, sizeof(result));
	text_add(reply, row->name, result ? "Yes" : "No");
	return 0;
}

static int
take_and(struct keys *k, const struct key *row, struct text_span v, struct text_buf *reply)
{
	return take_bool(k, row, v, reply, false);
}

static int
take_or(struct keys *k, const struct key *row, struct text_span v, struct text_buf *reply)
{
	return take_bool(k, row, v, reply, true);
}

/* The first of the initiator's list that we support (6.2.1). */
static int
take_list(struct keys *k, const struct key *row, struct text_span v, struct text_buf *reply)
{
	uint32_t mask = limit_number(k, row);
	struct text_span item;

	while (text_list_next(&v, &item))
		for (uint32_t i = 0; row->choices[i]; i++) {
			if (!(mask >> i & 1) || !text_equal(item, row->choices[i]))
				continue;
			*param_number(k, row) = i;
			text_add(reply, row->name, row->choices[i]);
			return 0;
		}
	return ISCSI_LOGIN_INITIATOR_ERROR;
}

static int
take_auth_method(struct keys *k, const struct key *row, struct text_span v,
		 struct text_buf *reply)
{
	struct text_span item;

	while (text_list_next(&v, &item))
		if (text_equal(item, "None")) {
			k->auth_none = true;
			text_add(reply, row->name, "None");
			return 0;
		}
	return ISCSI_LOGIN_AUTH_FAILED;
}

static int
take_session_type(struct keys *k, const struct key *row, struct text_span v,
		  struct text_buf *reply)
{
	k->discovery = text_equal(v, "Discovery");
	if (!k->discovery && !text_equal(v, "Normal"))
		return ISCSI_LOGIN_SESSION_TYPE;
	return 0;
}

static int
copy_name(char dst[ISCSI_NAME_MAX + 1], struct text_span v)
{
	if (!text_is_name(v))
		return ISCSI_LOGIN_INITIATOR_ERROR;
	memcpy(dst, v.ptr, v.len);
	dst[v.len] = '\0';
	return 0;
}

static int
take_initiator_name(struct keys *k, const struct key *row, struct text_span v,
		    struct text_buf *reply)
{
	return copy_name(k->initiator, v);
}

static int
take_target_name(struct keys *k, const struct key *row, struct text_span v,
		 struct text_buf *reply)
{
	return copy_name(k->target, v);
}

static int
take_alias(struct keys *k, const struct key *row, struct text_span v, struct text_buf *reply)
{
	/* For people to read: no control characters. At most ISCSI_VALUE_MAX bytes,
	 * which is checked for all rows. */
	for (size_t i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.ptr[i];

		k->alias[i] = (char)(c < ' ' || c == 0x7f ? '?' : c);
	}
	k->alias[v.len] = '\0';
	return 0;
}

/* What only a target declares; an initiator may at most say that it did not
 * like it. */
static int
take_target_only(struct keys *k, const struct key *row, struct text_span v,
		 struct text_buf *reply)
{
	if (text_equal(v, "NotUnderstood") || text_equal(v, "Irrelevant") ||
	    text_equal(v, "Reject"))
		return 0;
	return ISCSI_LOGIN_INITIATOR_ERROR;
}

static int
take_fixed(struct keys *k, const struct key *row, struct text_span v, struct text_buf *reply)
{
	text_add(reply, row->name, row->fixed);
	return 0;
}

static int
take_send_targets(struct keys *k, const struct key *row, struct text_span v,
		  struct text_buf *reply)
{
	if (!k->send_targets || !k->send_targets(k->arg, v, reply))
		text_add(reply, row->name, "Reject");
	return 0;
}

/* ---- the table ------------------------------------------------------------ */

static const char *const digest_choices[] = {
	[ISCSI_DIGEST_NONE] = "None", [ISCSI_DIGEST_CRC32C] = "CRC32C", NULL
};
static const char *const report_choices[] = {
	[ISCSI_REPORT_RFC3720] = "RFC3720",
	[ISCSI_REPORT_RESPONSE_FENCE] = "ResponseFence",
	[ISCSI_REPORT_FAST_ABORT] = "FastAbort",
	NULL
};

#define KEY(text) .name = (text), .len = sizeof(text) - 1
#define RESULT(field) .param = offsetof(struct iscsi_params, field)
#define LIMIT(field) .limit = offsetof(struct login_limits, field)
#define BOTH(field) RESULT(field), LIMIT(field)
#define RANGE(lo, hi) .min = (lo), .max = (hi)

enum { SEGMENT_MIN = 512, SEGMENT_MAX = 16777215 };

/* clang-format off */
static const struct key table[] = {
	/* RFC 7143 12.1 */
	{ KEY("AuthMethod"), take_auth_method, KF_SECURITY, PASS_MAIN },
	/* 13.1 */
	{ KEY("HeaderDigest"), take_list, KF_OPERATIONAL, PASS_MAIN,
	  RESULT(header_digest), LIMIT(digests), .choices = digest_choices },
	{ KEY("DataDigest"), take_list, KF_OPERATIONAL, PASS_MAIN,
	  RESULT(data_digest), LIMIT(digests), .choices = digest_choices },
	/* 13.2 .. 13.9 */
	{ KEY("MaxConnections"), take_min, KF_SESSION, PASS_MAIN, RANGE(1, 65535),
	  BOTH(max_connections) },
	{ KEY("SendTargets"), take_send_targets, KF_FULL, PASS_MAIN },
	{ KEY("TargetName"), take_target_name, KF_LOGIN, PASS_IDENTITY },
	{ KEY("InitiatorName"), take_initiator_name, KF_LOGIN, PASS_IDENTITY },
	{ KEY("TargetAlias"), take_target_only, KF_ANY, PASS_MAIN },
	{ KEY("InitiatorAlias"), take_alias, KF_ANY, PASS_MAIN },
	{ KEY("TargetAddress"), take_target_only, KF_ANY, PASS_MAIN },
	{ KEY("TargetPortalGroupTag"), take_target_only, KF_LOGIN, PASS_MAIN },
	/* 13.10 .. 13.20 */
	{ KEY("InitialR2T"), take_or, KF_SESSION, PASS_MAIN, BOTH(initial_r2t) },
	{ KEY("ImmediateData"), take_and, KF_SESSION, PASS_MAIN, BOTH(immediate_data) },
	{ KEY("MaxRecvDataSegmentLength"), declare_number, KF_ANY, PASS_MAIN,
	  RANGE(SEGMENT_MIN, SEGMENT_MAX), RESULT(max_send_data) },
	{ KEY("MaxBurstLength"), take_min, KF_SESSION, PASS_MAIN,
	  RANGE(SEGMENT_MIN, SEGMENT_MAX), BOTH(max_burst) },
	{ KEY("FirstBurstLength"), take_first_burst, KF_SESSION, PASS_LAST,
	  RANGE(SEGMENT_MIN, SEGMENT_MAX) },
	{ KEY("DefaultTime2Wait"), take_max, KF_OPERATIONAL | KF_LEADING, PASS_MAIN,
	  RANGE(0, 3600), BOTH(time2wait) },
	{ KEY("DefaultTime2Retain"), take_min, KF_OPERATIONAL | KF_LEADING, PASS_MAIN,
	  RANGE(0, 3600), BOTH(time2retain) },
	{ KEY("MaxOutstandingR2T"), take_min, KF_SESSION, PASS_MAIN, RANGE(1, 65535),
	  BOTH(max_outstanding_r2t) },
	{ KEY("DataPDUInOrder"), take_or, KF_SESSION, PASS_MAIN, BOTH(data_pdu_in_order) },
	{ KEY("DataSequenceInOrder"), take_or, KF_SESSION, PASS_MAIN,
	  BOTH(data_sequence_in_order) },
	{ KEY("ErrorRecoveryLevel"), take_min, KF_OPERATIONAL | KF_LEADING, PASS_MAIN,
	  RANGE(0, 2), BOTH(error_recovery_level) },
	/* 13.21 .. 13.25, RFC 7144 7.1.1 */
	{ KEY("SessionType"), take_session_type, KF_LOGIN, PASS_IDENTITY },
	{ KEY("TaskReporting"), take_list, KF_SESSION, PASS_MAIN, BOTH(task_reporting),
	  .choices = report_choices },
	{ KEY("iSCSIProtocolLevel"), take_min, KF_SESSION, PASS_MAIN, RANGE(0, 31),
	  BOTH(protocol_level) },
	{ KEY("IFMarker"), take_fixed, KF_OPERATIONAL, PASS_MAIN, .fixed = "No" },
	{ KEY("OFMarker"), take_fixed, KF_OPERATIONAL, PASS_MAIN, .fixed = "No" },
	{ KEY("IFMarkInt"), take_fixed, KF_OPERATIONAL, PASS_MAIN, .fixed = "Reject" },
	{ KEY("OFMarkInt"), take_fixed, KF_OPERATIONAL, PASS_MAIN, .fixed = "Reject" },
};
/* clang-format on */

_Static_assert(ARRAY_SIZE(table) <= 64, "keys.seen has a bit for each row");

static const struct key *
find(struct text_span name)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].len == name.len && !memcmp(table[i].name, name.ptr, name.len))
			return &table[i];
	return NULL;
}

static bool
seen(const struct keys *k, const char *name)
{
	const struct key *row = find((struct text_span){ name, strlen(name) });

	return k->seen >> (row - table) & 1;
}

/* ---- going through a text -------------------------------------------------- */

static unsigned
stage_flag(enum iscsi_stage stage)
{
	static const unsigned flags[] = {
		[ISCSI_STAGE_SECURITY] = KF_SECURITY,
		[ISCSI_STAGE_OPERATIONAL] = KF_OPERATIONAL,
		[ISCSI_STAGE_FULL_FEATURE] = KF_FULL,
	};

	return flags[stage];
}

static int
take_row(struct keys *k, unsigned stage, const struct key *row, struct text_span v,
	 struct text_buf *reply)
{
	uint64_t bit = UINT64_C(1) << (row - table);

	/* Twice in one negotiation is a protocol error (6.3), also with equal values. */
	if (!(row->flags & stage) || (k->seen & bit) || v.len > ISCSI_VALUE_MAX)
		return ISCSI_LOGIN_INITIATOR_ERROR;
	k->seen |= bit;
	if ((k->discovery && (row->flags & KF_NORMAL)) ||
	    (!k->leading && (row->flags & KF_LEADING))) {
		text_add(reply, row->name, "Irrelevant");
		return 0;
	}
	return row->take(k, row, v, reply);
}

static int
run_pass(struct keys *k, unsigned stage, enum key_pass pass, struct text_span text,
	 struct text_buf *reply)
{
	struct text_pair p;
	int rc;

	while ((rc = text_next(&text, &p)) > 0) {
		const struct key *row = find(p.key);
		int status;

		if ((row ? row->pass : PASS_MAIN) != pass)
			continue;
		if (!row) {
			text_add_span(reply, p.key, "NotUnderstood");
			continue;
		}
		status = take_row(k, stage, row, p.value, reply);
		if (status)
			return status;
	}
	return rc ? ISCSI_LOGIN_INITIATOR_ERROR : 0;
}

/* FirstBurstLength <= MaxBurstLength must hold for the result, whichever of
 * the two was negotiated, in whichever order. */
static int
check_bursts(struct keys *k)
{
	if (k->params.first_burst <= k->params.max_burst)
		return 0;
	if (seen(k, "FirstBurstLength"))
		return ISCSI_LOGIN_INITIATOR_ERROR; /* answered too high already */
	k->params.first_burst = k->params.max_burst;
	return 0;
}

int
keys_negotiate(struct keys *k, enum iscsi_stage stage, struct text_span text,
	       struct text_buf *reply)
{
	struct iscsi_params before = k->params;
	int status = 0;

	for (int pass = 0; pass < PASS_COUNT && !status; pass++)
		status = run_pass(k, stage_flag(stage), (enum key_pass)pass, text, reply);
	if (!status)
		status = check_bursts(k);
	if (status)
		k->params = before;
	return status;
}

void
keys_declare_recv(struct keys *k, struct text_buf *reply)
{
	if (k->declared_recv)
		return;
	k->declared_recv = true;
	k->params.max_recv_data = k->limits->max_recv_data;
	text_add_number(reply, "MaxRecvDataSegmentLength", k->limits->max_recv_data);
}

void
keys_close_identity(struct keys *k)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].pass == PASS_IDENTITY)
			k->seen |= UINT64_C(1) << i;
}

void
keys_restart(struct keys *k)
{
	k->seen = 0;
}

/* ---- initial values -------------------------------------------------------- */

void
keys_init(struct keys *k, const struct login_limits *limits)
{
	memset(k, 0, sizeof(*k));
	k->limits = limits;
	k->leading = true;
	iscsi_params_default(&k->params);
}

void
iscsi_params_default(struct iscsi_params *p)
{
	*p = (struct iscsi_params){
		.max_connections = 1,
		.max_send_data = 8192,
		.max_recv_data = 8192,
		.max_burst = 262144,
		.first_burst = 65536,
		.max_outstanding_r2t = 1,
		.time2wait = 2,
		.time2retain = 20,
		.protocol_level = 1,
		.initial_r2t = true,
		.immediate_data = true,
		.data_pdu_in_order = true,
		.data_sequence_in_order = true,
	};
}

void
login_limits_default(struct login_limits *l)
{
	*l = (struct login_limits){
		.max_connections = 1,
		.max_recv_data = 262144,
		.max_burst = 4 * 262144,
		.first_burst = 262144,
		.max_outstanding_r2t = 8,
		.time2wait = 2,
		.time2retain = 0, /* at level 0 nothing outlives its connection */
		.error_recovery_level = 0,
		.protocol_level = 1,
		.digests = 1u << ISCSI_DIGEST_NONE | 1u << ISCSI_DIGEST_CRC32C,
		.task_reporting = 1u << ISCSI_REPORT_RFC3720,
		.cmd_window = 128,
		.initial_r2t = false,
		.immediate_data = true,
		.data_pdu_in_order = true,
		.data_sequence_in_order = true,
	};
}
