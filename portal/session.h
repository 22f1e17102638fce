/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One session in the full feature phase: command numbering, its commands, its
 * LUNs; and what each initiator PDU means.  Lives longer than its connection:
 * until every command has ended without a later effect.
 */
#ifndef PORTAL_SESSION_H
#define PORTAL_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "portal/cmd.h"
#include "portal/cmdsn.h"
#include "portal/iscsi.h"
#include "portal/lunmap.h"

struct conn;
struct thread;

/* A PDU that came before its turn, other than a SCSI command. */
struct held_pdu {
	uint8_t raw[ISCSI_BHS_LEN];
	uint8_t *data;
	uint32_t len; /* bytes of data, counted in cmds.staged */
};

/* What waits at a CmdSN ahead of ExpCmdSN. */
struct hold {
	struct cmd *cmd;
	struct held_pdu *pdu;
	bool received; /* aborted before it came: counts as received (11.6.1) */
};

/* What has happened; never reset.  Plain numbers of the session's thread: its
 * one connection counts here, too. */
struct session_stats {
	uint64_t pdus_in, pdus_out;
	uint64_t bytes_in, bytes_out; /* of the connection, headers and digests included */
	uint64_t commands; /* SCSI commands taken */
	uint64_t rejects; /* PDUs that were answered with a Reject */
	uint64_t header_digest_errors, data_digest_errors;
	uint64_t wakeups; /* times that there was something to read */
};

struct session {
	struct list link; /* the thread's sessions */
	struct thread *th;
	struct conn *conn; /* NULL once the connection is gone */
	uint64_t id; /* the main thread's name for it */
	uint32_t nexus; /* 0: a discovery session */
	bool discovery;
	bool held; /* an older incarnation is still being closed: no LUN yet, or not */
	uint64_t *held_lun; /* ... these: it has commands there, n_held_lun */
	size_t n_held_lun;
	bool ending; /* everything of it was cancelled */
	size_t n_busy; /* ... LUNs with commands left, as the main thread knows */
	bool over; /* reported to the main thread */
	char target[ISCSI_NAME_MAX + 1];
	uint32_t *visible; /* disco_view.visible of a discovery session, malloc'ed */
	size_t n_visible;
	struct cmdsn sn;
	struct cmd_table cmds;
	struct lunmap luns;
	struct session_stats stats;
	unsigned n_ahead; /* functions that wait for commands before them */
	unsigned n_hold;
	struct hold hold[CMDSN_WINDOW]; /* by CmdSN modulo the window */
};

/* NULL: out of memory. @first_cmdsn: the first ExpCmdSN. */
struct session *session_new(struct thread *th, uint32_t first_cmdsn, bool discovery);

/* ---- upcalls of the transport (portal/receive.c) ---- */

/* conn->raw and conn->bhs hold a header, @ahs its AHS.  Sets conn->sink for
 * the data segment.  0, or -EPROTO: the connection is ending. */
int session_header(struct conn *c, const uint8_t *ahs, int reason);
/* The data segment has arrived, too. */
int session_pdu(struct conn *c);
/* Or it has, but its digest is wrong: the PDU is rejected and counts as never
 * received; a command whose Data-Out it was ends (RFC 7143 7.8, b). */
int session_digest_error(struct conn *c);
/* The connection is gone or must go: cancels what is outstanding. */
void session_lost(struct session *s);

/* ---- */

/* Ends the session when its connection and all its commands are gone: frees it
 * and tells the main thread (at the end of the turn). */
void session_check_over(struct session *s);
void session_free(struct session *s);

/* Reinstatement: only these LUNs are still held back. */
void session_go(struct session *s, const uint64_t *lun, size_t n);
/* Must commands to this LUN wait for an older incarnation? */
bool session_is_barred(const struct session *s, uint64_t lun);

/* A LUN with a pool of so many bytes was opened: keeps window x first burst
 * within half of it, so that unsolicited data has a place. */
void session_fit_window(struct session *s, uint64_t pool_size);

/* What came ahead of its turn.  False: its place is taken (a duplicate). */
bool session_hold(struct session *s, uint32_t cmdsn, struct cmd *cmd, struct held_pdu *pdu);
bool session_is_held(const struct session *s, uint32_t cmdsn);
/* Takes out what waits at ExpCmdSN; false: nothing. */
bool session_next_held(struct session *s, struct hold *out);
void session_free_held(struct session *s, struct held_pdu *h);

/* @cmdsn counts as received although its command never came, or is ended;
 * false: outside the window, or it is not @itt that came. */
bool session_skip_cmdsn(struct session *s, uint32_t cmdsn, uint32_t itt);

#endif
