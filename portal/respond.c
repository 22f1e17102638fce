/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PDUs that a command's data and answer become: see respond.h.
 */
#include "portal/respond.h"

#include "portal/cmd.h"
#include "portal/conn.h"
#include "portal/pdu.h"
#include "proto/scsi.h"

static uint32_t
difference(uint32_t expected, uint32_t actual, uint8_t over, uint8_t under, uint8_t *flags)
{
	if (actual > expected)
		*flags |= over;
	else if (actual < expected)
		*flags |= under;
	return actual > expected ? actual - expected : expected - actual;
}

struct residual
residual_of(uint32_t edtl_in, uint32_t edtl_out, uint32_t in_total, uint32_t out_len)
{
	struct residual r = { 0 };

	if (edtl_in && edtl_out) {
		r.count = difference(edtl_out, out_len, ISCSI_RSP_OVERFLOW, ISCSI_RSP_UNDERFLOW,
				     &r.flags);
		r.bidi = difference(edtl_in, in_total, ISCSI_RSP_BIDI_OVERFLOW,
				    ISCSI_RSP_BIDI_UNDERFLOW, &r.flags);
		return r;
	}
	if (edtl_out || (!edtl_in && out_len))
		r.count = difference(edtl_out, out_len, ISCSI_RSP_OVERFLOW, ISCSI_RSP_UNDERFLOW,
				     &r.flags);
	else
		r.count = difference(edtl_in, in_total, ISCSI_RSP_OVERFLOW, ISCSI_RSP_UNDERFLOW,
				     &r.flags);
	return r;
}

static void
scsi_response(struct conn *c, struct cmd *cmd, uint8_t *hdr, struct respond_pdu *out)
{
	struct residual r =
		residual_of(cmd->edtl_in, cmd->edtl_out, cmd->in_total, cmd->out_len);
	struct pdu_scsi_rsp p = {
		.itt = cmd->itt,
		.exp_data_sn = cmd->tx_datasn + cmd->r2tsn,
		.residual = r.count,
		.bidi_residual = r.bidi,
		.data_len = cmd->sense_len,
		.response = ISCSI_RSP_COMPLETED,
		.status = cmd->status,
		.flags = r.flags,
	};

	cmd_uncount(cmd);
	p.sn = conn_sn(c, true);
	pdu_build_scsi_rsp(hdr, &p);
	*out = (struct respond_pdu){ .len = cmd->sense_len, .sense = true, .last = true };
}

static void
data_in(struct conn *c, struct cmd *cmd, uint8_t *hdr, struct respond_pdu *out)
{
	const struct iscsi_params *par = conn_params(c);
	uint32_t left = cmd->in_len - cmd->tx_off;
	uint32_t in_burst = par->max_burst - cmd->tx_off % par->max_burst;
	uint32_t len = MIN(MIN(left, par->max_send_data), in_burst);
	struct pdu_data_in p = {
		.itt = cmd->itt,
		.ttt = ISCSI_TAG_NONE,
		.data_sn = cmd->tx_datasn++,
		.offset = cmd->tx_off,
		.data_len = len,
	};

	/* 11.7.3: a read that ends GOOD needs no SCSI Response. */
	out->last = len == left && cmd->status == STATUS_GOOD && !cmd->sense_len &&
		    !cmd->edtl_out;
	if (len == left || len == in_burst)
		p.flags |= ISCSI_FLAG_FINAL;
	if (out->last) {
		struct residual r = residual_of(cmd->edtl_in, 0, cmd->in_total, 0);

		p.flags |= ISCSI_DATA_IN_STATUS | r.flags;
		p.residual = r.count;
		p.status = cmd->status;
		cmd_uncount(cmd);
	}
	p.sn = conn_sn(c, out->last);
	pdu_build_data_in(hdr, &p);
	out->off = cmd->tx_off;
	out->len = len;
	out->sense = false;
	cmd->tx_off += len;
}

void
respond_next(struct conn *c, struct cmd *cmd, uint8_t hdr[ISCSI_BHS_LEN], struct respond_pdu *out)
{
	if (cmd->tx_off < cmd->in_len)
		data_in(c, cmd, hdr, out);
	else
		scsi_response(c, cmd, hdr, out);
}

bool
respond_r2t(struct conn *c, struct cmd *cmd, uint8_t hdr[ISCSI_BHS_LEN])
{
	const struct iscsi_params *par = conn_params(c);
	struct pdu_r2t p = { .lun = cmd->lun, .itt = cmd->itt };
	struct cmd_r2t *r;

	if (!cmd->n_r2t)
		cmd->r2t_next = cmd->out_have;
	if (cmd->done || cmd->cancelling || cmd->unsol || cmd->r2t_next >= cmd->want ||
	    cmd->n_r2t >= MIN(par->max_outstanding_r2t, (uint32_t)CMD_R2T_MAX))
		return false;
	r = &cmd->r2t[(cmd->r2t_head + cmd->n_r2t) % CMD_R2T_MAX];
	p.offset = cmd->r2t_next;
	p.length = MIN(cmd->want - cmd->r2t_next, par->max_burst);
	p.r2t_sn = cmd->r2tsn++;
	/* The index alone would do; the count tells a late one from a new one. */
	p.ttt = (cmd->ttt_gen++ & 0x7fff) << 16 | cmd->index;
	p.sn = conn_sn(c, false);
	r->ttt = p.ttt;
	r->end = p.offset + p.length;
	r->datasn = 0;
	cmd->r2t_next = r->end;
	cmd->n_r2t++;
	pdu_build_r2t(hdr, &p);
	return true;
}
