/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A whole login: the input is what an initiator sends.  The caller's decision
 * at the end depends on the last byte.
 */
#include <stdlib.h>

#include "portal/login.h"
#include "portal/pdu.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_out(const struct login *l)
{
	size_t len, data_len;
	const uint8_t *pdu = login_out(l, &len);

	data_len = get_be24(pdu + BHS_DATA_LEN);
	if (len < ISCSI_BHS_LEN || pdu[0] != ISCSI_OP_LOGIN_RSP ||
	    data_len > ISCSI_LOGIN_DATA_MAX ||
	    len != ISCSI_BHS_LEN + data_len + iscsi_pad((uint32_t)data_len))
		abort();
	/* Never a step to the next stage with text still to come. */
	if ((pdu[1] & ISCSI_FLAG_FINAL) && (pdu[1] & ISCSI_FLAG_CONTINUE))
		abort();
}

static enum login_verdict
decide(struct login *l, uint8_t last)
{
	const struct login_result *r = login_result(l);

	if (!r->initiator[0] || !r->target[0] != r->discovery)
		abort();
	return last & 1 ? login_refuse(l, ISCSI_LOGIN_NOT_FOUND) : login_commit(l, 1, "alias");
}

/* One request off the input; its length, or 0: not whole. */
static size_t
feed(struct login *l, const uint8_t *data, size_t size, enum login_verdict *v)
{
	uint8_t *rest;
	int n;

	if (size < ISCSI_BHS_LEN)
		return 0;
	n = login_rest(data);
	if (n < 0) {
		*v = login_input(l, data, NULL, 0);
		return ISCSI_BHS_LEN;
	}
	if (size - ISCSI_BHS_LEN < (size_t)n)
		return 0;
	rest = malloc((size_t)n + !n); /* exact: ASan sees a byte too far */
	if (!rest)
		return 0;
	memcpy(rest, data + ISCSI_BHS_LEN, (size_t)n);
	*v = login_input(l, data, rest, (size_t)n);
	free(rest);
	return ISCSI_BHS_LEN + (size_t)n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum login_verdict v = LOGIN_SEND;
	struct login_limits limits;
	struct login *l;
	size_t at = 0, n;

	login_limits_default(&limits);
	l = login_new(&limits, 1);
	if (!l)
		return 0;
	while (v == LOGIN_SEND && (n = feed(l, data + at, size - at, &v))) {
		at += n;
		if (v == LOGIN_COMMIT)
			v = decide(l, data[size - 1]);
		if (v != LOGIN_CLOSE)
			check_out(l);
	}
	login_free(l);
	return 0;
}
