/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parsers of initiator PDU headers; the builders are in pdu_build.c.  Pure.
 */
#include "portal/pdu.h"

enum op_rule {
	OPR_KNOWN = 1 << 0, /* an initiator opcode */
	OPR_DATA = 1 << 1, /* may have a data segment */
	OPR_AHS = 1 << 2, /* may have additional header segments */
	OPR_NO_TAG = 1 << 3, /* may have the reserved Initiator Task Tag */
};

/* RFC 7143 11.2.1.2 and the PDU's own clause. */
static const uint8_t op_rules[ISCSI_OP_MASK + 1] = {
	[ISCSI_OP_NOP_OUT] = OPR_KNOWN | OPR_DATA | OPR_NO_TAG,
	[ISCSI_OP_SCSI_CMD] = OPR_KNOWN | OPR_DATA | OPR_AHS,
	[ISCSI_OP_TMF_REQ] = OPR_KNOWN,
	[ISCSI_OP_LOGIN_REQ] = OPR_KNOWN | OPR_DATA,
	[ISCSI_OP_TEXT_REQ] = OPR_KNOWN | OPR_DATA,
	[ISCSI_OP_DATA_OUT] = OPR_KNOWN | OPR_DATA,
	[ISCSI_OP_LOGOUT_REQ] = OPR_KNOWN,
	[ISCSI_OP_SNACK] = OPR_KNOWN | OPR_NO_TAG,
};

int
bhs_parse(struct bhs *b, const uint8_t raw[ISCSI_BHS_LEN])
{
	unsigned rules;

	b->raw = raw;
	b->opcode = raw[BHS_OPCODE] & ISCSI_OP_MASK;
	b->immediate = raw[BHS_OPCODE] & ISCSI_IMMEDIATE;
	b->flags = raw[BHS_FLAGS];
	b->ahs_len = (uint16_t)(raw[BHS_AHS_WORDS] * 4);
	b->data_len = get_be24(raw + BHS_DATA_LEN);
	b->lun = get_be64(raw + BHS_LUN);
	b->itt = get_be32(raw + BHS_ITT);

	rules = op_rules[b->opcode];
	if (!(rules & OPR_KNOWN))
		return ISCSI_REJECT_NOT_SUPPORTED;
	if ((b->ahs_len && !(rules & OPR_AHS)) || (b->data_len && !(rules & OPR_DATA)) ||
	    (b->itt == ISCSI_TAG_NONE && !(rules & OPR_NO_TAG)))
		return ISCSI_REJECT_INVALID_FIELD;
	return 0;
}

/* One Additional Header Segment of @len bytes after AHSLength and AHSType. */
static int
ahs_one(struct pdu_scsi_cmd *c, uint8_t type, const uint8_t *p, uint16_t len, bool *bidi)
{
	switch (type) {
	case ISCSI_AHS_EXTENDED_CDB: /* 11.2.2.3: a reserved byte, then the CDB from byte 16 */
		if (c->xcdb || len < 2)
			return ISCSI_REJECT_INVALID_FIELD;
		c->xcdb = p + 1;
		c->xcdb_len = (uint16_t)(len - 1);
		return 0;
	case ISCSI_AHS_BIDI_READ_LEN: /* 11.2.2.4: a reserved byte, then the length */
		if (*bidi || len != 5)
			return ISCSI_REJECT_INVALID_FIELD;
		*bidi = true;
		c->bidi_edtl = get_be32(p + 1);
		return 0;
	default:
		return ISCSI_REJECT_INVALID_FIELD;
	}
}

static int
ahs_walk(struct pdu_scsi_cmd *c, const uint8_t *ahs, size_t left, bool *bidi)
{
	while (left >= 4) {
		uint16_t len = get_be16(ahs);
		size_t whole = 3u + len + iscsi_pad(3u + len);
		int reason;

		if (whole > left)
			return ISCSI_REJECT_INVALID_FIELD;
		reason = ahs_one(c, ahs[2] & 0x3f, ahs + 3, len, bidi);
		if (reason)
			return reason;
		ahs += whole;
		left -= whole;
	}
	return 0;
}

int
pdu_scsi_cmd(const struct bhs *b, const uint8_t *ahs, struct pdu_scsi_cmd *out)
{
	const uint8_t *raw = b->raw;
	bool bidi = false;

	out->lun = b->lun;
	out->itt = b->itt;
	out->edtl = get_be32(raw + 20);
	out->cmd_sn = get_be32(raw + BHS_CMD_SN);
	out->exp_stat_sn = get_be32(raw + BHS_EXP_STAT_SN);
	out->bidi_edtl = 0;
	out->cdb = raw + 32;
	out->xcdb = NULL;
	out->xcdb_len = 0;
	out->attr = b->flags & ISCSI_CMD_ATTR;
	out->final = b->flags & ISCSI_FLAG_FINAL;
	out->read = b->flags & ISCSI_CMD_READ;
	out->write = b->flags & ISCSI_CMD_WRITE;

	if (b->ahs_len) {
		int reason = ahs_walk(out, ahs, b->ahs_len, &bidi);

		if (reason)
			return reason;
	}
	if (out->attr > ISCSI_ATTR_ACA || bidi != (out->read && out->write))
		return ISCSI_REJECT_INVALID_FIELD;
	if (!out->write && (!out->final || b->data_len))
		return ISCSI_REJECT_INVALID_FIELD;
	if (b->data_len > out->edtl)
		return ISCSI_REJECT_INVALID_FIELD;
	return 0;
}

size_t
pdu_cdb_copy(const struct pdu_scsi_cmd *c, uint8_t *dst, size_t cap)
{
	size_t len = ISCSI_CDB_LEN + (size_t)c->xcdb_len;

	if (len > cap)
		return 0;
	memcpy(dst, c->cdb, ISCSI_CDB_LEN);
	if (c->xcdb_len)
		memcpy(dst + ISCSI_CDB_LEN, c->xcdb, c->xcdb_len);
	return len;
}

int
pdu_data_out(const struct bhs *b, struct pdu_data_out *out)
{
	const uint8_t *raw = b->raw;

	out->lun = b->lun;
	out->itt = b->itt;
	out->ttt = get_be32(raw + BHS_TTT);
	out->exp_stat_sn = get_be32(raw + BHS_EXP_STAT_SN);
	out->data_sn = get_be32(raw + 36);
	out->offset = get_be32(raw + 40);
	out->final = b->flags & ISCSI_FLAG_FINAL;
	return 0;
}

int
pdu_tmf_req(const struct bhs *b, struct pdu_tmf_req *out)
{
	const uint8_t *raw = b->raw;

	out->lun = b->lun;
	out->itt = b->itt;
	out->ref_itt = get_be32(raw + 20);
	out->cmd_sn = get_be32(raw + BHS_CMD_SN);
	out->exp_stat_sn = get_be32(raw + BHS_EXP_STAT_SN);
	out->ref_cmd_sn = get_be32(raw + 32);
	out->exp_data_sn = get_be32(raw + 36);
	out->function = b->flags & 0x7f;
	return 0;
}

int
pdu_nop_out(const struct bhs *b, struct pdu_nop_out *out)
{
	const uint8_t *raw = b->raw;

	out->lun = b->lun;
	out->itt = b->itt;
	out->ttt = get_be32(raw + BHS_TTT);
	out->cmd_sn = get_be32(raw + BHS_CMD_SN);
	out->exp_stat_sn = get_be32(raw + BHS_EXP_STAT_SN);
	if (out->itt == ISCSI_TAG_NONE && !b->immediate)
		return ISCSI_REJECT_PROTOCOL_ERROR;
	return 0;
}

int
pdu_text_req(const struct bhs *b, struct pdu_text_req *out)
{
	const uint8_t *raw = b->raw;

	out->lun = b->lun;
	out->itt = b->itt;
	out->ttt = get_be32(raw + BHS_TTT);
	out->cmd_sn = get_be32(raw + BHS_CMD_SN);
	out->exp_stat_sn = get_be32(raw + BHS_EXP_STAT_SN);
	out->final = b->flags & ISCSI_FLAG_FINAL;
	out->cont = b->flags & ISCSI_FLAG_CONTINUE;
	if (out->final && out->cont)
		return ISCSI_REJECT_PROTOCOL_ERROR;
	return 0;
}

int
pdu_login_req(const struct bhs *b, struct pdu_login_req *out)
{
	const uint8_t *raw = b->raw;

	out->itt = b->itt;
	out->transit = b->flags & ISCSI_FLAG_FINAL;
	out->cont = b->flags & ISCSI_FLAG_CONTINUE;
	out->csg = b->flags >> 2 & 3;
	out->nsg = b->flags & 3;
	out->version_max = raw[2];
	out->version_min = raw[3];
	memcpy(out->isid, raw + 8, ISCSI_ISID_LEN);
	out->tsih = get_be16(raw + 14);
	out->cid = get_be16(raw + 20);
	out->cmd_sn = get_be32(raw + BHS_CMD_SN);
	out->exp_stat_sn = get_be32(raw + BHS_EXP_STAT_SN);
	return 0;
}

int
pdu_logout_req(const struct bhs *b, struct pdu_logout_req *out)
{
	const uint8_t *raw = b->raw;

	out->itt = b->itt;
	out->reason = b->flags & 0x7f;
	out->cid = get_be16(raw + 20);
	out->cmd_sn = get_be32(raw + BHS_CMD_SN);
	out->exp_stat_sn = get_be32(raw + BHS_EXP_STAT_SN);
	return out->reason > ISCSI_LOGOUT_RECOVERY ? ISCSI_REJECT_INVALID_FIELD : 0;
}

int
pdu_snack(const struct bhs *b, struct pdu_snack *out)
{
	const uint8_t *raw = b->raw;

	out->lun = b->lun;
	out->itt = b->itt;
	out->ttt = get_be32(raw + BHS_TTT);
	out->exp_stat_sn = get_be32(raw + BHS_EXP_STAT_SN);
	out->beg_run = get_be32(raw + 40);
	out->run_length = get_be32(raw + 44);
	out->type = b->flags & 0x0f;
	return out->type > ISCSI_SNACK_R_DATA ? ISCSI_REJECT_INVALID_FIELD : 0;
}
