/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A text through the table of keys.  The first byte chooses the stage and the
 * kind of session; what comes out must keep the rules that the engine relies on.
 */
#include <stdlib.h>

#include "portal/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct iscsi_params *p, const struct login_limits *l)
{
	if (p->first_burst > p->max_burst || p->max_burst > l->max_burst ||
	    p->max_burst < 512 || p->first_burst < 512 || p->first_burst > l->first_burst ||
	    p->max_send_data < 512 || p->max_send_data > 16777215 ||
	    p->max_outstanding_r2t < 1 || p->max_outstanding_r2t > l->max_outstanding_r2t ||
	    p->max_connections != 1 || p->error_recovery_level || p->header_digest > 1 ||
	    p->data_digest > 1 || p->task_reporting || p->protocol_level > 1 ||
	    !p->data_pdu_in_order || !p->data_sequence_in_order)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum iscsi_stage stages[] = { ISCSI_STAGE_SECURITY, ISCSI_STAGE_OPERATIONAL,
						   ISCSI_STAGE_FULL_FEATURE };
	struct login_limits limits;
	struct text_buf out;
	struct keys k;

	if (!size)
		return 0;
	login_limits_default(&limits);
	keys_init(&k, &limits);
	k.leading = !(data[0] & 4);
	text_buf_init(&out, ISCSI_TEXT_MAX);
	keys_negotiate(&k, stages[data[0] % 3],
		       (struct text_span){ (const char *)data + 1, size - 1 }, &out);
	check(&k.params, &limits);
	if (out.len > ISCSI_TEXT_MAX || (out.len && !out.err && out.ptr[out.len - 1]))
		abort();
	text_buf_done(&out);
	return 0;
}
