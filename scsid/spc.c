/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Primary commands that every device type has (SPC-4 clause 6), but INQUIRY
 * and MODE SENSE, which have files of their own.
 */
#include "scsid/optab.h"

#include <string.h>

#include "scsid/cmd.h"
#include "scsid/sense.h"

/* Not ready and unit attention are the dispatcher's answers (SPC-4 6.47). */
enum verdict
spc_test_unit_ready(struct cmd *c)
{
	return cmd_good(c);
}

enum verdict
spc_request_sense(struct cmd *c)
{
	struct sense s = { .key = NO_SENSE, .asc = ASC_NONE };
	uint8_t buf[SENSE_DESC_MAX];
	size_t len;

	_Static_assert((int)SENSE_FIXED_LEN <= (int)SENSE_DESC_MAX, "one buffer for both");
	if (c->lu->inventory) {
		s.key = ILLEGAL_REQUEST;
		s.asc = ASC_LU_NOT_SUPPORTED;
	} else if (c->nexus->n_ua) { /* reported, hence cleared (SAM-5 5.14.4) */
		s.key = UNIT_ATTENTION;
		s.asc = nexus_ua_take(c->nexus);
	}
	len = c->cdb[1] & 0x01 ? sense_descriptor(buf, &s) : sense_fixed(buf, &s); /* DESC */
	append_bytes(&c->reply, buf, len);
	return cmd_reply(c, c->cdb[4]);
}

/* ---- REPORT LUNS ---- */

enum verdict
spc_report_luns(struct cmd *c)
{
	enum { ADDRESSABLE = 0x00, WELL_KNOWN = 0x01, ALL = 0x02 }; /* SELECT REPORT */
	uint8_t select = c->cdb[2], entry[8] = { 0 };
	uint32_t n = c->nexus->n_luns;

	if (select > ALL)
		return cmd_sense_cdb(c, ASC_INVALID_FIELD_IN_CDB, 2, 7);
	if (select == WELL_KNOWN) /* this target has no well-known logical unit */
		n = 0;
	put_be32(entry, n * 8);
	append_bytes(&c->reply, entry, sizeof(entry));
	for (uint32_t i = 0; i < n; i++) {
		put_be64(entry, c->nexus->luns[i]);
		append_bytes(&c->reply, entry, sizeof(entry));
	}
	nexus_ua_clear(c->nexus, ASC_REPORTED_LUNS_CHANGED);
	return cmd_reply(c, get_be32(c->cdb + 6));
}

/* ---- REPORT SUPPORTED OPERATION CODES ---- */

/* The command timeouts descriptor: nothing is predicted (SPC-4 6.35.4). */
static void
append_timeouts(struct cmd *c)
{
	static const uint8_t timeouts[12] = { 0x00, 0x0a };

	append_bytes(&c->reply, timeouts, sizeof(timeouts));
}

/* REPORTING OPTIONS 000b: every command (SPC-4 6.35.2). */
static enum verdict
all_commands(struct cmd *c, bool rctd)
{
	const struct opcode *op;
	uint32_t per = rctd ? 20 : 8, n = 0;
	uint8_t head[4], d[8], code;

	for (size_t i = 0; (op = optab_row(i, &code)); i++)
		n += optab_serves(op, c->lu);
	put_be32(head, n * per);
	append_bytes(&c->reply, head, sizeof(head));
	for (size_t i = 0; (op = optab_row(i, &code)); i++) {
		if (!optab_serves(op, c->lu))
			continue;
		memset(d, 0, sizeof(d));
		d[0] = code;
		if (op->sa >= 0) {
			put_be16(d + 2, (uint16_t)op->sa);
			d[5] |= 0x01; /* SERVACTV */
		}
		if (rctd)
			d[5] |= 0x02; /* CTDP */
		put_be16(d + 6, op->len);
		append_bytes(&c->reply, d, sizeof(d));
		if (rctd)
			append_timeouts(c);
	}
	return cmd_reply(c, get_be32(c->cdb + 6));
}

/* One command; @op NULL: not supported (SPC-4 6.35.3). */
static enum verdict
one_command(struct cmd *c, const struct opcode *op, bool rctd)
{
	enum { NOT_SUPPORTED = 1, AS_STANDARD = 3 }; /* SUPPORT */
	uint8_t d[4 + sizeof(op->mask)] = { 0, NOT_SUPPORTED };
	size_t len = 4;

	if (op) {
		d[1] = AS_STANDARD;
		if (rctd)
			d[1] |= 0x80; /* CTDP */
		put_be16(d + 2, op->len);
		for (unsigned i = 0; i < op->len; i++)
			d[len++] = optab_usage(op, c->lu, i);
	}
	append_bytes(&c->reply, d, len);
	if (op && rctd)
		append_timeouts(c);
	return cmd_reply(c, get_be32(c->cdb + 6));
}

enum verdict
spc_report_supported_opcodes(struct cmd *c)
{
	enum { BY_OPCODE = 1, BY_SERVICE_ACTION = 2, BY_EITHER = 3 }; /* REPORTING OPTIONS */
	uint8_t option = c->cdb[2] & 0x07, code = c->cdb[3];
	bool rctd = c->cdb[2] & 0x80, sa_unknown, has_sa = optab_has_sa(code);
	uint16_t sa = get_be16(c->cdb + 4);
	uint8_t want[2] = { code, (uint8_t)(sa & 0x1f) };
	const struct opcode *op;

	if (option == 0)
		return all_commands(c, rctd);
	if (option > BY_EITHER)
		return cmd_sense_cdb(c, ASC_INVALID_FIELD_IN_CDB, 2, 2);
	op = optab_find(want, sizeof(want), &sa_unknown);
	/* An operation code that has service actions, or has none, was asked for in
	 * the wrong way: that is an error only if the code is known. */
	if (option == BY_OPCODE && has_sa)
		return cmd_sense_cdb(c, ASC_INVALID_FIELD_IN_CDB, 3, 7);
	if (option == BY_SERVICE_ACTION && op && !has_sa)
		return cmd_sense_cdb(c, ASC_INVALID_FIELD_IN_CDB, 3, 7);
	if (option != BY_OPCODE && sa > (has_sa ? 0x1f : 0))
		op = NULL;
	if (op && !optab_serves(op, c->lu))
		op = NULL;
	return one_command(c, op, rctd);
}

/* ---- REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS ---- */

enum verdict
spc_report_supported_tmf(struct cmd *c)
{
	bool repd = c->cdb[2] & 0x80;
	/* ATS, ATSS, CTSS, LURS: ABORT TASK, ABORT and CLEAR TASK SET, LOGICAL UNIT RESET. */
	uint8_t d[16] = { 0x80 | 0x40 | 0x10 | 0x08 };

	if (repd) /* extended parameter data, without timeouts */
		d[3] = sizeof(d) - 4;
	append_bytes(&c->reply, d, repd ? sizeof(d) : 4);
	return cmd_reply(c, get_be32(c->cdb + 6));
}
