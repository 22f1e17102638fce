/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * iSCSI PDU headers: wire bytes of every initiator PDU -> plain structs, plain
 * structs -> wire bytes of every target PDU (RFC 7143 chapter 11).  Pure: no
 * I/O, no globals, no allocation.  It must not know of sessions: numbering,
 * windows and what a tag means are the caller's.
 *
 * A parser returns 0 or the Reject reason (enum iscsi_reject) that answers the
 * PDU.  Reserved fields are ignored as 11.1 asks of a receiver.
 */
#ifndef PORTAL_PDU_H
#define PORTAL_PDU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "portal/iscsi.h"
#include "proto/bytes.h"

/* ---- from the initiator -------------------------------------------------- */

/* The fields that all PDUs have. */
struct bhs {
	const uint8_t *raw; /* the 48 bytes it was parsed from, borrowed */
	uint64_t lun; /* bytes 8..15 as a big-endian number, whatever they mean */
	uint32_t itt;
	uint32_t data_len; /* bytes, without padding: 0..2^24-1 */
	uint16_t ahs_len; /* bytes: 0..1020 */
	uint8_t opcode; /* enum iscsi_opcode, I bit removed */
	uint8_t flags; /* byte 1 */
	bool immediate;
};

/*
 * Parses @raw; @b is always filled, also when a reason is returned, so that
 * the caller can skip bhs_rest() bytes and stay in step with the stream.
 * Reasons: 05h for what is no initiator opcode; 09h for an AHS or a data
 * segment where the opcode has none, and for the reserved ITT where a task is
 * named.
 */
int bhs_parse(struct bhs *b, const uint8_t raw[ISCSI_BHS_LEN]);

/* Bytes that follow the header on the wire: AHS, data, padding; no digests. */
static inline uint32_t
bhs_rest(const struct bhs *b)
{
	return b->ahs_len + b->data_len + iscsi_pad(b->data_len);
}

struct pdu_scsi_cmd {
	uint64_t lun;
	uint32_t itt, edtl, cmd_sn, exp_stat_sn;
	uint32_t bidi_edtl; /* read length of a bidirectional command, else 0 */
	const uint8_t *cdb; /* 16 bytes in the BHS */
	const uint8_t *xcdb; /* the CDB from byte 16 on, in the AHS, or NULL */
	uint16_t xcdb_len;
	uint8_t attr; /* enum iscsi_attr */
	bool final, read, write;
};

/*
 * @ahs: b->ahs_len bytes.  Reasons: 09h for an attribute above 4, W=0 with F=0
 * (11.3.1), immediate data without W or beyond the expected length, R and W
 * without the bidirectional AHS, and any AHS that is malformed, double or of
 * an unknown type.
 */
int pdu_scsi_cmd(const struct bhs *b, const uint8_t *ahs, struct pdu_scsi_cmd *out);
/* Copies the whole CDB; its length (16 or more), or 0 if @cap is too small. */
size_t pdu_cdb_copy(const struct pdu_scsi_cmd *c, uint8_t *dst, size_t cap);

struct pdu_data_out {
	uint64_t lun;
	uint32_t itt, ttt, exp_stat_sn, data_sn, offset;
	bool final;
};
int pdu_data_out(const struct bhs *b, struct pdu_data_out *out);

struct pdu_tmf_req {
	uint64_t lun;
	uint32_t itt, ref_itt, cmd_sn, exp_stat_sn, ref_cmd_sn, exp_data_sn;
	uint8_t function; /* enum iscsi_tmf; other values are the caller's to refuse */
};
int pdu_tmf_req(const struct bhs *b, struct pdu_tmf_req *out);

/* ITT FFFFFFFFh: no answer wanted. Reason 04h then without the I bit (11.18). */
struct pdu_nop_out {
	uint64_t lun;
	uint32_t itt, ttt, cmd_sn, exp_stat_sn;
};
int pdu_nop_out(const struct bhs *b, struct pdu_nop_out *out);

/* Reason 04h for F and C together (11.10.2). */
struct pdu_text_req {
	uint64_t lun;
	uint32_t itt, ttt, cmd_sn, exp_stat_sn;
	bool final, cont;
};
int pdu_text_req(const struct bhs *b, struct pdu_text_req *out);

struct pdu_login_req {
	uint32_t itt, cmd_sn, exp_stat_sn;
	uint16_t tsih, cid;
	uint8_t isid[ISCSI_ISID_LEN];
	uint8_t csg, nsg; /* enum iscsi_stage, or the illegal 2 */
	uint8_t version_max, version_min;
	bool transit, cont;
};
/* Always 0: what is wrong with a login is answered by a login status. */
int pdu_login_req(const struct bhs *b, struct pdu_login_req *out);

struct pdu_logout_req {
	uint32_t itt, cmd_sn, exp_stat_sn;
	uint16_t cid;
	uint8_t reason; /* enum iscsi_logout */
};
/* Reason 09h for a reason code above 2. */
int pdu_logout_req(const struct bhs *b, struct pdu_logout_req *out);

struct pdu_snack {
	uint64_t lun;
	uint32_t itt, ttt, exp_stat_sn, beg_run, run_length;
	uint8_t type; /* enum iscsi_snack */
};
/* Reason 09h for a type above 3. */
int pdu_snack(const struct bhs *b, struct pdu_snack *out);

/* ---- to the initiator ---------------------------------------------------- */

/* Every target PDU carries these; where StatSN is not advanced the builder's
 * comment says so and advancing is the caller's anyway. */
struct pdu_sn {
	uint32_t stat_sn, exp_cmd_sn, max_cmd_sn;
};

/* Builders write all 48 bytes.  @data_len: bytes of data segment that the
 * caller sends after the header, unpadded, < 2^24. */

struct pdu_scsi_rsp {
	struct pdu_sn sn;
	uint32_t itt, exp_data_sn, residual, bidi_residual;
	uint32_t data_len; /* 2 + sense, or 0: the caller sends SenseLength first */
	uint8_t response; /* enum iscsi_response */
	uint8_t status; /* SAM-5 status */
	uint8_t flags; /* ISCSI_RSP_* over- and underflow */
};
void pdu_build_scsi_rsp(uint8_t raw[ISCSI_BHS_LEN], const struct pdu_scsi_rsp *p);

struct pdu_data_in {
	struct pdu_sn sn;
	uint64_t lun; /* only with A, else 0 */
	uint32_t itt, ttt; /* ttt: ISCSI_TAG_NONE unless A */
	uint32_t data_sn, offset, residual, data_len;
	uint8_t status;
	uint8_t flags; /* ISCSI_FLAG_FINAL, ISCSI_DATA_IN_*, ISCSI_RSP_OVER/UNDERFLOW */
};
/* With ISCSI_DATA_IN_STATUS the status and StatSN are sent, else zeros. */
void pdu_build_data_in(uint8_t raw[ISCSI_BHS_LEN], const struct pdu_data_in *p);

/* StatSN of an R2T is the next one, not advanced (11.8.3). */
struct pdu_r2t {
	struct pdu_sn sn;
	uint64_t lun;
	uint32_t itt, ttt, r2t_sn, offset, length;
};
void pdu_build_r2t(uint8_t raw[ISCSI_BHS_LEN], const struct pdu_r2t *p);

void pdu_build_tmf_rsp(uint8_t raw[ISCSI_BHS_LEN], const struct pdu_sn *sn, uint32_t itt,
		       uint8_t response);

/* An answer: @itt of the NOP-Out, ttt ISCSI_TAG_NONE, lun 0, its data back.
 * A ping: itt ISCSI_TAG_NONE, ttt valid; StatSN then not advanced (11.19). */
struct pdu_nop_in {
	struct pdu_sn sn;
	uint64_t lun;
	uint32_t itt, ttt, data_len;
};
void pdu_build_nop_in(uint8_t raw[ISCSI_BHS_LEN], const struct pdu_nop_in *p);

struct pdu_text_rsp {
	struct pdu_sn sn;
	uint64_t lun;
	uint32_t itt, ttt, data_len;
	bool final, cont;
};
void pdu_build_text_rsp(uint8_t raw[ISCSI_BHS_LEN], const struct pdu_text_rsp *p);

struct pdu_login_rsp {
	struct pdu_sn sn;
	uint32_t itt, data_len;
	uint16_t tsih, status; /* status: enum iscsi_login_status */
	uint8_t isid[ISCSI_ISID_LEN];
	uint8_t csg, nsg;
	bool transit, cont;
};
void pdu_build_login_rsp(uint8_t raw[ISCSI_BHS_LEN], const struct pdu_login_rsp *p);

struct pdu_logout_rsp {
	struct pdu_sn sn;
	uint32_t itt;
	uint16_t time2wait, time2retain; /* seconds */
	uint8_t response; /* enum iscsi_logout_rsp */
};
void pdu_build_logout_rsp(uint8_t raw[ISCSI_BHS_LEN], const struct pdu_logout_rsp *p);

/* The caller sends the 48 bytes of the rejected header as the data segment;
 * data_len is set to that.  @data_sn: only for reasons 02h, 03h and 08h. */
void pdu_build_reject(uint8_t raw[ISCSI_BHS_LEN], const struct pdu_sn *sn, uint8_t reason,
		      uint32_t data_sn);

struct pdu_async {
	struct pdu_sn sn;
	uint64_t lun;
	uint32_t data_len;
	uint16_t param1, param2, param3;
	uint8_t event, vcode; /* enum iscsi_async */
};
void pdu_build_async(uint8_t raw[ISCSI_BHS_LEN], const struct pdu_async *p);

#endif
