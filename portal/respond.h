/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PDUs that a command's data and answer become: R2T, Data-In, SCSI
 * Response, with residuals.  Makes headers only; the transport sends them.
 */
#ifndef PORTAL_RESPOND_H
#define PORTAL_RESPOND_H

#include <stdbool.h>
#include <stdint.h>

#include "portal/iscsi.h"

struct cmd;
struct conn;

/* Residuals of a command (RFC 7143 11.4.5).  Pure. */
struct residual {
	uint8_t flags; /* ISCSI_RSP_* */
	uint32_t count; /* of the write, or of a one-way read */
	uint32_t bidi; /* of the read part of a bidirectional command */
};
struct residual residual_of(uint32_t edtl_in, uint32_t edtl_out, uint32_t in_total,
			    uint32_t out_len);

/* What follows the header of an answer. */
struct respond_pdu {
	uint32_t off, len; /* bytes of data-in, or of cmd->sense when @sense */
	bool sense;
	bool last; /* the answer is complete */
};

/* The next PDU of the answer of @cmd; advances. */
void respond_next(struct conn *c, struct cmd *cmd, uint8_t hdr[ISCSI_BHS_LEN],
		  struct respond_pdu *out);

/* The next R2T of @cmd; false: none is due now. */
bool respond_r2t(struct conn *c, struct cmd *cmd, uint8_t hdr[ISCSI_BHS_LEN]);

#endif
