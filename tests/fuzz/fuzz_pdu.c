/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A header and its AHS through every parser: 48 bytes, then the AHS.
 */
#include <stdlib.h>

#include "portal/pdu.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
scsi_cmd(const struct bhs *b, const uint8_t *rest, size_t n)
{
	uint8_t cdb[ISCSI_CDB_LEN + ISCSI_AHS_MAX], *ahs;
	struct pdu_scsi_cmd c;

	if (b->ahs_len > n)
		return;
	ahs = malloc(b->ahs_len + !b->ahs_len); /* exact: ASan sees a byte too far */
	if (!ahs)
		return;
	memcpy(ahs, rest, b->ahs_len);
	if (!pdu_scsi_cmd(b, ahs, &c) && !pdu_cdb_copy(&c, cdb, sizeof(cdb)))
		abort();
	free(ahs);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bhs b;
	struct pdu_data_out d;
	struct pdu_tmf_req t;
	struct pdu_nop_out n;
	struct pdu_text_req x;
	struct pdu_login_req l;
	struct pdu_logout_req o;
	struct pdu_snack s;

	if (size < ISCSI_BHS_LEN)
		return 0;
	bhs_parse(&b, data);
	if (bhs_rest(&b) < b.data_len || (bhs_rest(&b) & 3))
		abort();
	scsi_cmd(&b, data + ISCSI_BHS_LEN, size - ISCSI_BHS_LEN);
	pdu_data_out(&b, &d);
	pdu_tmf_req(&b, &t);
	pdu_nop_out(&b, &n);
	pdu_text_req(&b, &x);
	pdu_login_req(&b, &l);
	pdu_logout_req(&b, &o);
	pdu_snack(&b, &s);
	return 0;
}
