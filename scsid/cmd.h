/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The border inside scsid: what the engine (lanes, locks, recovery) hands to
 * the SCSI code (opcode table, device types), and what it gets back.
 *
 * The SCSI code is called with a validated private copy of the CDB, decides,
 * and returns a verdict.  It never sees a lane, a slot or shared memory, so it
 * is tested and fuzzed with plain structs.
 */
#ifndef SCSID_CMD_H
#define SCSID_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"
#include "proto/lane.h"
#include "proto/scsi.h"
#include "proto/util.h"

enum verdict {
	CMD_DONE = 1, /* status (and sense, reply) are in the cmd */
	CMD_MEDIUM = 2, /* cmd.io says what the store shall do */
};

enum cmd_dir { DIR_NONE = 0, DIR_IN = 1, DIR_OUT = 2 };

/* What a command in EXEC gets after a crash whose outcome is unknown
 * (docs/recovery.md).  There is no zero value: a row without one fails a test. */
enum replay_class { REPLAY_AGAIN = 1, REPLAY_INTENT = 2, REPLAY_NEVER = 3 };

/* Who may run it while another nexus holds a reservation (SPC-4 table 66..). */
enum resv_class { RESV_NONE_NEEDED = 1, RESV_READ = 2, RESV_WRITE = 3, RESV_EXCLUSIVE = 4 };

enum op_flag {
	OP_MEDIUM = 1 << 0, /* needs a ready store */
	OP_PAST_UA = 1 << 1, /* runs although a unit attention is pending (SPC-4 5.14) */
	OP_NO_LUN = 1 << 2, /* served by the inventory worker for absent LUNs */
	OP_WRITES = 1 << 3, /* changes the medium: refused on a read-only LUN */
	OP_RDPROTECT = 1 << 4, /* byte 1 holds RDPROTECT or WRPROTECT, DPO and FUA */
	OP_FLUSH = 1 << 5, /* exists only where the store can flush */
};

struct cmd;

struct opcode {
	const char *name;
	uint8_t len; /* CDB length in bytes */
	int16_t sa; /* service action, -1: none */
	enum cmd_dir dir;
	enum resv_class resv;
	enum replay_class replay;
	unsigned flags; /* enum op_flag */
	enum verdict (*run)(struct cmd *c);
	uint8_t mask[16]; /* CDB usage map, byte 0 = opcode (SPC-4 6.35) */
};

/* Finds the row for a CDB; NULL: INVALID COMMAND OPERATION CODE (or, when
 * *sa_unknown, INVALID FIELD IN CDB at the service action). Pure. */
const struct opcode *optab_find(const uint8_t *cdb, size_t len, bool *sa_unknown);
/* Iterates all rows: NULL at the end. */
const struct opcode *optab_row(size_t i, uint8_t *op);

/* One logical unit, from ScsidConfig. */
struct lu {
	const char *name;
	bool inventory; /* no store: answers for absent LUNs */
	bool read_only;
	bool can_flush;
	bool thin;
	uint32_t block_size; /* bytes, a power of two */
	uint32_t phys_exp;
	uint64_t blocks;
	uint64_t max_transfer; /* bytes; 0: no limit */
	char vendor[9], product[17], revision[5], serial[37];
	uint64_t naa, naa_ext;
};

enum { NEXUS_UA_MAX = 8 };

/* One I_T nexus as this LUN knows it, from NexusAdd. */
struct nexus {
	uint32_t id;
	uint32_t lane;
	char initiator_port[288]; /* 223 + ",i,0x" + 12 hex digits (SPC-4 7.6.4.8) */
	char target_port[288];
	uint16_t relative_port;
	bool read_only; /* mapping or LUN is read-only */
	uint16_t ua[NEXUS_UA_MAX]; /* pending ASC/ASCQ, oldest first (SAM-5 5.14) */
	uint8_t n_ua;
	uint32_t luns_generation;
	uint64_t *luns; /* 8-byte LUNs as big-endian numbers; owned by the engine */
	uint32_t n_luns;
	struct list link; /* the engine's */
};

/* What the store shall do for a command. */
struct cmd_io {
	uint8_t op; /* enum blk_op */
	uint8_t flags; /* BLK_FUA */
	uint64_t off; /* bytes */
	uint64_t len; /* bytes; 0 with BLK_FLUSH only: the whole store */
};

struct cmd {
	const struct lu *lu;
	struct nexus *nexus;
	const struct opcode *op;
	uint8_t lun[8];
	uint8_t cdb[LANE_CDB_MAX];
	uint16_t cdb_len;
	uint32_t edtl_in, edtl_out;

	/* The outcome. */
	uint8_t status;
	uint8_t sense[LANE_SENSE_MAX];
	uint16_t sense_len;
	struct appender reply; /* data-in of a command that the store has no part in;
				  the buffer is the engine's, capacity CMD_REPLY_MAX */
	uint32_t reply_alloc; /* allocation length of the CDB */
	struct cmd_io io; /* with CMD_MEDIUM */
};

enum { CMD_REPLY_MAX = 256 << 10 };

/*
 * From a copied request to a verdict: CDB length and usage mask with field
 * pointer, inventory and absent-LUN rules, unit attentions, read-only, then
 * the row's handler.  The engine fills lu, nexus, lun, cdb, edtl and reply
 * first.  Pure apart from the nexus's UA queue.
 */
enum verdict cmd_dispatch(struct cmd *c);

/* Outcomes, for handlers: `return cmd_good(c);` */
enum verdict cmd_good(struct cmd *c);
enum verdict cmd_status(struct cmd *c, uint8_t status);
enum verdict cmd_sense(struct cmd *c, uint8_t key, uint16_t asc_ascq);
/* ILLEGAL REQUEST with a sense-key specific field pointer into the CDB (SPC-4
 * 4.5.2.4.2); @bit -1: the whole byte. */
enum verdict cmd_sense_cdb(struct cmd *c, uint16_t asc_ascq, uint16_t byte, int bit);
/* GOOD with c->reply cut to the allocation length. */
enum verdict cmd_reply(struct cmd *c, uint32_t alloc_len);
/* A medium access of @blocks at @lba: checks the range (21h/00h with the first LBA
 * that is not there in INFORMATION), MAXIMUM TRANSFER LENGTH, and returns CMD_MEDIUM
 * or CMD_DONE (an error, or GOOD for a transfer of no blocks).  io.len is what the
 * CDB asks for: clipping it to what the initiator expects is the engine's. */
enum verdict cmd_medium(struct cmd *c, enum blk_op op, uint64_t lba, uint64_t blocks,
			unsigned flags);
/* The store's answer (0 or -errno) to c->io -> status and sense: the one place
 * where an errno becomes sense. */
enum verdict cmd_io_done(struct cmd *c, int error);

/* Queues a unit attention on a nexus, once per code.  A reset or power on (29h but
 * 29h/07h) replaces what was pending (SAM-5 5.14.2); a full queue becomes one 29h/00h,
 * so that the initiator looks at everything again. */
void nexus_ua(struct nexus *n, uint16_t asc_ascq);
/* The oldest pending unit attention, taken off the queue; 0: none. */
uint16_t nexus_ua_take(struct nexus *n);
/* Forgets one code (SPC-4 6.33: REPORT LUNS clears 3Fh/0Eh). */
void nexus_ua_clear(struct nexus *n, uint16_t asc_ascq);

#endif
