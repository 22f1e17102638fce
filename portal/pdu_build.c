/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Builders of target PDU headers.  Pure; every one writes all 48 bytes.
 */
#include "portal/pdu.h"

static inline void
head(uint8_t raw[ISCSI_BHS_LEN], uint8_t opcode, uint8_t flags, uint32_t data_len, uint32_t itt)
{
	memset(raw, 0, ISCSI_BHS_LEN);
	raw[BHS_OPCODE] = opcode;
	raw[BHS_FLAGS] = flags;
	put_be24(raw + BHS_DATA_LEN, data_len);
	put_be32(raw + BHS_ITT, itt);
}

static inline void
put_sn(uint8_t raw[ISCSI_BHS_LEN], const struct pdu_sn *sn)
{
	put_be32(raw + BHS_STAT_SN, sn->stat_sn);
	put_be32(raw + BHS_EXP_CMD_SN, sn->exp_cmd_sn);
	put_be32(raw + BHS_MAX_CMD_SN, sn->max_cmd_sn);
}

void
pdu_build_scsi_rsp(uint8_t raw[ISCSI_BHS_LEN], const struct pdu_scsi_rsp *p)
{
	head(raw, ISCSI_OP_SCSI_RSP, ISCSI_FLAG_FINAL | p->flags, p->data_len, p->itt);
	raw[2] = p->response;
	raw[3] = p->status;
	put_sn(raw, &p->sn);
	put_be32(raw + 36, p->exp_data_sn);
	put_be32(raw + 40, p->bidi_residual);
	put_be32(raw + 44, p->residual);
}

void
pdu_build_data_in(uint8_t raw[ISCSI_BHS_LEN], const struct pdu_data_in *p)
{
	head(raw, ISCSI_OP_DATA_IN, p->flags, p->data_len, p->itt);
	put_be64(raw + BHS_LUN, p->lun);
	put_be32(raw + BHS_TTT, p->ttt);
	put_sn(raw, &p->sn);
	put_be32(raw + 36, p->data_sn);
	put_be32(raw + 40, p->offset);
	if (p->flags & ISCSI_DATA_IN_STATUS) {
		raw[3] = p->status;
		put_be32(raw + 44, p->residual);
	} else {
		put_be32(raw + BHS_STAT_SN, 0); /* reserved without S, 11.7.3 */
	}
}

void
pdu_build_r2t(uint8_t raw[ISCSI_BHS_LEN], const struct pdu_r2t *p)
{
	head(raw, ISCSI_OP_R2T, ISCSI_FLAG_FINAL, 0, p->itt);
	put_be64(raw + BHS_LUN, p->lun);
	put_be32(raw + BHS_TTT, p->ttt);
	put_sn(raw, &p->sn);
	put_be32(raw + 36, p->r2t_sn);
	put_be32(raw + 40, p->offset);
	put_be32(raw + 44, p->length);
}

void
pdu_build_tmf_rsp(uint8_t raw[ISCSI_BHS_LEN], const struct pdu_sn *sn, uint32_t itt,
		  uint8_t response)
{
	head(raw, ISCSI_OP_TMF_RSP, ISCSI_FLAG_FINAL, 0, itt);
	raw[2] = response;
	put_sn(raw, sn);
}

void
pdu_build_nop_in(uint8_t raw[ISCSI_BHS_LEN], const struct pdu_nop_in *p)
{
	head(raw, ISCSI_OP_NOP_IN, ISCSI_FLAG_FINAL, p->data_len, p->itt);
	put_be64(raw + BHS_LUN, p->lun);
	put_be32(raw + BHS_TTT, p->ttt);
	put_sn(raw, &p->sn);
}

void
pdu_build_text_rsp(uint8_t raw[ISCSI_BHS_LEN], const struct pdu_text_rsp *p)
{
	uint8_t flags = (p->final ? ISCSI_FLAG_FINAL : 0) | (p->cont ? ISCSI_FLAG_CONTINUE : 0);

	head(raw, ISCSI_OP_TEXT_RSP, flags, p->data_len, p->itt);
	put_be64(raw + BHS_LUN, p->lun);
	put_be32(raw + BHS_TTT, p->ttt);
	put_sn(raw, &p->sn);
}

void
pdu_build_login_rsp(uint8_t raw[ISCSI_BHS_LEN], const struct pdu_login_rsp *p)
{
	uint8_t flags = (uint8_t)((p->transit ? ISCSI_FLAG_FINAL : 0) |
				  (p->cont ? ISCSI_FLAG_CONTINUE : 0) | (p->csg & 3) << 2 |
				  (p->transit ? p->nsg & 3 : 0));

	head(raw, ISCSI_OP_LOGIN_RSP, flags, p->data_len, p->itt);
	raw[2] = ISCSI_VERSION; /* Version-max */
	raw[3] = ISCSI_VERSION; /* Version-active */
	memcpy(raw + 8, p->isid, ISCSI_ISID_LEN);
	put_be16(raw + 14, p->tsih);
	put_sn(raw, &p->sn);
	raw[36] = (uint8_t)(p->status >> 8);
	raw[37] = (uint8_t)p->status;
}

void
pdu_build_logout_rsp(uint8_t raw[ISCSI_BHS_LEN], const struct pdu_logout_rsp *p)
{
	head(raw, ISCSI_OP_LOGOUT_RSP, ISCSI_FLAG_FINAL, 0, p->itt);
	raw[2] = p->response;
	put_sn(raw, &p->sn);
	put_be16(raw + 40, p->time2wait);
	put_be16(raw + 42, p->time2retain);
}

void
pdu_build_reject(uint8_t raw[ISCSI_BHS_LEN], const struct pdu_sn *sn, uint8_t reason,
		 uint32_t data_sn)
{
	head(raw, ISCSI_OP_REJECT, ISCSI_FLAG_FINAL, ISCSI_BHS_LEN, ISCSI_TAG_NONE);
	raw[2] = reason;
	put_sn(raw, sn);
	put_be32(raw + 36, data_sn);
}

void
pdu_build_async(uint8_t raw[ISCSI_BHS_LEN], const struct pdu_async *p)
{
	head(raw, ISCSI_OP_ASYNC, ISCSI_FLAG_FINAL, p->data_len, ISCSI_TAG_NONE);
	put_be64(raw + BHS_LUN, p->lun);
	put_sn(raw, &p->sn);
	raw[36] = p->event;
	raw[37] = p->vcode;
	put_be16(raw + 38, p->param1);
	put_be16(raw + 40, p->param2);
	put_be16(raw + 42, p->param3);
}
