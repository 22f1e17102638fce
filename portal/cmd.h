/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One SCSI command (or task management function that needs a lane) from its
 * PDU to the last byte of its answer: its data-out collected, its slot and
 * extents owned, its response kept.  The portal does not look into the CDB.
 *
 * Where it is, is its state; what happens next is decided in cmd_advance()
 * alone.  It belongs to its session's thread.
 */
#ifndef PORTAL_CMD_H
#define PORTAL_CMD_H

#include <sys/uio.h>

#include "portal/cmdsn.h"
#include "proto/lane.h"
#include "proto/util.h"

enum {
	CMD_IMMEDIATE_MAX = 16, /* immediate commands at a time, beyond the window */
	/* Two more: a place of the window is free when its response is made, the
	 * entry when the last byte of the response is gone. */
	CMD_TABLE = CMDSN_WINDOW + CMD_IMMEDIATE_MAX + 2,
	CMD_HASH = 256,
	CMD_R2T_MAX = 8, /* R2Ts outstanding for one command */
	CMD_STAGE_MAX = 8 << 20, /* bytes a session may keep outside pools */
};

enum cmd_state {
	CMD_FREE = 0,
	CMD_HELD, /* CmdSN before it is missing */
	CMD_PARKED, /* waits for the LUN's lane, for memory or for a slot */
	CMD_READY, /* has slot and extents, collects unsolicited data */
	CMD_LANE, /* submitted */
	CMD_ANSWER, /* its response is in the transmit queue */
};

/* A member of a connection's transmit queue. */
enum tx_kind { TX_CMD, TX_CTL };
struct tx {
	struct list link;
	enum tx_kind kind;
};

struct cmd_r2t {
	uint32_t ttt;
	uint32_t end; /* buffer offset after its last byte */
	uint32_t datasn; /* expected next */
};

struct session;
struct plane;

struct cmd {
	struct list link; /* free list, parked commands of a LUN, waiters of a lane */
	struct list hash;
	struct tx tx;
	struct list r2t_link; /* wants R2Ts sent */
	struct session *sess;
	struct plane *plane; /* while it has or waits for a slot */

	uint8_t state; /* enum cmd_state */
	uint8_t attr;
	uint8_t tmf; /* a task management function, RFC 7143 11.5.1; 0: a command */
	bool immediate;
	bool counted; /* holds a place of the CmdSN window */
	bool granted; /* has a slot and extents */
	bool submitted; /* the slot carries it */
	bool arriving; /* its immediate data is just being received */
	bool unsol; /* unsolicited Data-Out is still to come */
	bool data_error; /* its data broke the rules: what still comes is dropped */
	bool overflow; /* its data found no place: TASK SET FULL */
	bool data_lost; /* some of its data came damaged: it ends when the rest has come */
	bool done; /* the outcome is known; may wait for data still on its way */
	bool cancelling;
	uint8_t cancel_key; /* answer with this when cancelled; 0: no response */
	uint16_t cancel_asc;
	bool ahead; /* a function: commands before it are missing (session.n_ahead) */
	bool told; /* a function: answered, but its slot has not ended */
	bool data_said; /* lane_sub_data done */
	uint8_t n_out, n_in;
	uint8_t r2t_head, n_r2t;
	uint16_t index; /* in the session's table */
	uint16_t slot;
	uint16_t cdb_len;
	uint32_t seq;
	uint32_t itt, cmdsn;
	uint32_t edtl_in, edtl_out;
	uint32_t in_grant, out_grant; /* bytes the extents have */
	uint32_t out_have; /* bytes of data-out received: also the next offset */
	uint32_t out_datasn; /* of the unsolicited sequence */
	uint32_t want; /* bytes of data-out asked for by the server */
	uint32_t r2t_next; /* first byte not covered by an R2T, while n_r2t > 0 */
	uint32_t ttt_gen;
	uint32_t r2tsn;

	struct cmd *tmf_waiter; /* ABORT TASK to answer when this one has ended */
	struct list due_link; /* a function: the thread's, until it is answered */
	double due; /* seconds on the clock of the thread's loop */
	uint8_t *stage; /* data-out while there are no extents */
	uint32_t stage_len;

	struct lane_ext out[LANE_EXT_MAX], in[LANE_EXT_MAX];
	struct cmd_r2t r2t[CMD_R2T_MAX]; /* outstanding, a ring */

	/* The outcome. */
	uint8_t status;
	uint16_t sense_len; /* with the two bytes of length in front */
	uint32_t in_len, in_total, out_len;
	uint32_t tx_off, tx_datasn; /* Data-In made so far */
	uint8_t sense[2 + LANE_SENSE_MAX]; /* RFC 7143 11.4.7 */
	uint64_t lun; /* the 8 bytes as a big-endian number */
	uint8_t cdb[LANE_CDB_MAX];
};

/* A session's commands, preallocated. */
struct cmd_table {
	struct cmd *tab;
	unsigned n; /* CMD_TABLE */
	unsigned fresh; /* entries from here on were never used: never touched */
	unsigned live;
	unsigned immediate;
	size_t staged;
	struct list free;
	struct list hash[CMD_HASH];
};

/* 0 or -ENOMEM. */
int cmd_table_init(struct cmd_table *t);
void cmd_table_done(struct cmd_table *t);

/* A zeroed command in the table, findable by @itt.  NULL: none left (for
 * @immediate: its share is used up). */
struct cmd *cmd_new(struct session *s, uint32_t itt, bool immediate);
struct cmd *cmd_find(struct cmd_table *t, uint32_t itt);

/* A function that was answered before its slot has ended: its ITT and its place of
 * the window are free. */
void cmd_disown(struct cmd *c);

/* Its last response is being made: its place of the window is free, so that this
 * very response says so (a window of one would stay closed otherwise). */
void cmd_uncount(struct cmd *c);

/* Gives back everything the command has: slot, extents, stage, its place in the
 * window.  Only without a slot, or after the slot's DONE or CANCELLED. */
void cmd_end(struct cmd *c);

/* A place for @len bytes of data-out at @off, which ends at out_have + len at
 * most.  Without extents they are staged; without budget @c->overflow is set.
 * Returns the number of iovecs, 0: drop the bytes. */
int cmd_out_iov(struct cmd *c, uint32_t off, uint32_t len, struct iovec iov[LANE_EXT_MAX]);

/* Pieces of [off, off+len) of the data-in extents. */
int cmd_in_iov(const struct cmd *c, uint32_t off, uint32_t len,
	       struct iovec iov[LANE_EXT_MAX]);

/* It is its turn in CmdSN order: goes to its LUN. */
void cmd_start(struct cmd *c);

/* It got slot and extents. */
void cmd_granted(struct cmd *c);

/* Data arrived, or something else changed: does what is due. */
void cmd_advance(struct cmd *c);

/* Ends it with a status of the portal's own. @asc_ascq 0: no sense data. */
void cmd_fail(struct cmd *c, uint8_t status, uint8_t key, uint16_t asc_ascq);

/* Its data-out broke the rules: ends it with ABORTED COMMAND and @asc_ascq
 * (RFC 7143 7.9, 11.4.7.2).  Not in CMD_HELD. */
void cmd_data_error(struct cmd *c, uint16_t asc_ascq);

/* Some of its data-out came damaged (RFC 7143 7.8): no R2T asks for it again, it
 * ends with ABORTED COMMAND after the rest that is on its way has come. */
void cmd_data_lost(struct cmd *c);

/* Events of its slot. */
void cmd_on_want(struct cmd *c, uint32_t want);
void cmd_on_done(struct cmd *c, const struct lane_rsp *rsp);
void cmd_on_cancelled(struct cmd *c);
/* What the server says of it is impossible: the lane is frozen, the command
 * will end with HARDWARE ERROR. */
void cmd_broken(struct cmd *c, const char *what);

/* Makes it end without a later effect and without a response: at once if it was
 * not submitted (true: it is gone), else its slot is cancelled. */
bool cmd_cancel(struct cmd *c);

/* The same, but it is answered CHECK CONDITION with this sense. */
void cmd_cancel_sense(struct cmd *c, uint8_t key, uint16_t asc_ascq);

#endif
