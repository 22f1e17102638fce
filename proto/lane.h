/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lanes: the one mechanism that carries commands between two processes.
 *
 * A lane joins a SUBMITTER and a SERVER (portal thread -> scsid, scsid ->
 * storaged) through two shared-memory objects with one writer each:
 *
 *   submission half   written by the submitter only: a request word and a
 *                     request per slot, and the submission ring;
 *   status half       written by the server only: a response word and a
 *                     response per slot, and the completion ring.
 *
 * THE SLOT TABLE IS THE TRUTH, THE RINGS ARE HINTS.  A ring entry is only a
 * slot number that says "look there".  What a slot means follows from its two
 * words; recovery scans the slots and starts the rings afresh.
 *
 * Request word  { seq:32 | op:32 }        by the submitter
 * Response word { seq:32 | attempts:16 | state:16 }   by the server
 *
 *   op      RELEASE -> SUBMIT (seq+1) -> [DATA] -> [CANCEL] -> RELEASE
 *   state   NONE/DONE/CANCELLED (seq) -> CLAIMED (seq+1) -> [WANT] ->
 *           [INTENT] -> [EXEC] -> DONE | CANCELLED
 *
 * A slot is free when both words carry the same seq and the request word says
 * RELEASE.  A request whose seq is one ahead of the response word has not been
 * claimed.  Every other distance is a violation (-EPROTO).
 *
 * Epochs.  ctld numbers the attachments of a lane; each ring's published word
 * is { epoch:32 | tail:32 }, one atomic, so that a consumer sees both or
 * neither.  A consumer ignores a ring whose epoch is not the one ctld
 * announced.  A producer that (re)attaches starts at tail 0 under the new
 * epoch, and then names every slot that is not free again.  A SERVER publishes
 * a new epoch only when every request it had taken before is finished: seeing
 * it means "attach drained".
 *
 * Trust.  Peer memory is copied out once, field by field with explicit atomic
 * loads or one memcpy of a body, the copy is checked (lane_req_check), and
 * only the copy is used.  A peer that breaks the rules yields -EPROTO, and the
 * lane is frozen: every later call answers -EPROTO.  Nothing here aborts,
 * asserts or loops for ever on a peer's bytes.
 *
 * No locks: a submitter or server object belongs to one thread.  No
 * allocation after attach.  No system calls except the doorbell's write(2).
 */
#ifndef PROTO_LANE_H
#define PROTO_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LANE_MAGIC 0x74676c31u /* "tgl1" */
#define LANE_VERSION 2u

enum {
	LANE_SLOTS_MIN = 2,
	LANE_SLOTS_MAX = 1024, /* a power of two between these */
	LANE_RING_FACTOR = 8, /* ring entries per slot: five can be outstanding
				 at once (proto/lane_ring.h says why) */
	LANE_EXT_MAX = 4, /* extents per direction in one request */
	LANE_CDB_MAX = 260, /* SPC-4 4.2.3 variable length, RFC 7143 11.2.2.3 */
	LANE_SENSE_MAX = 252, /* SPC-4 4.5.1 */
	LANE_INTENT_MAX = 64,
};

enum lane_op { /* the op of a request word */
	LANE_RELEASE = 0,
	LANE_SUBMIT = 1,
	LANE_DATA = 2, /* the data asked for by WANT is in the extents */
	LANE_CANCEL = 3,
};

enum lane_state { /* the state of a response word */
	LANE_NONE = 0,
	LANE_CLAIMED = 1, /* taken, nothing done yet */
	LANE_WANT = 2, /* rsp.want bytes of data-out are asked for */
	LANE_INTENT = 3, /* the intent record holds what a replay needs */
	LANE_EXEC = 4, /* handed to the store: outcome unknown until DONE */
	LANE_DONE = 5, /* rsp holds the outcome */
	LANE_CANCELLED = 6, /* ended without status; no later effect possible */
};

/* What a request is about. */
enum lane_kind {
	LANE_SCSI = 1, /* portal -> scsid: a CDB */
	LANE_TMF = 2, /* portal -> scsid: a task management function */
	LANE_BLK = 3, /* scsid -> storaged: a block request */
};

/* A piece of a data pool.  @pool is the id ctld gave it (0 = scratch). */
struct lane_ext {
	uint32_t pool;
	uint32_t len; /* bytes */
	uint64_t off; /* bytes from the start of the pool */
};

/* Where a block request comes from, so that a restarted scsid can match it. */
struct lane_tag {
	uint32_t lane; /* upper lane id */
	uint16_t slot;
	uint16_t part; /* 0.. for commands of several block requests */
	uint32_t seq;
	uint32_t parts; /* how many block requests the command makes in all */
};

struct lane_scsi {
	uint8_t lun[8]; /* SAM-5 4.7, as received */
	uint32_t itt; /* initiator task tag, for logs and TMFs */
	uint32_t cmdsn;
	uint32_t luns_seen; /* generation of the LUN list the nexus has read */
	uint32_t edtl_in; /* bytes the initiator expects to receive */
	uint32_t edtl_out; /* bytes the initiator expects to send */
	uint32_t out_ready; /* bytes of data-out that are in the extents already */
	uint8_t attr; /* task attribute, RFC 7143 11.3.1 values 0..4; others are
			 a violation, so the portal must not pass them on */
	uint8_t tmf; /* LANE_TMF: function, RFC 7143 11.5.1 */
	uint16_t cdb_len;
	uint8_t cdb[LANE_CDB_MAX];
};

/* Operations of storaged (docs/architecture.md). */
enum blk_op {
	BLK_READ = 1,
	BLK_WRITE = 2,
	BLK_FLUSH = 3,
	BLK_OP_COUNT,
};

enum { BLK_FUA = 1 };

struct lane_blk {
	uint8_t op; /* enum blk_op */
	uint8_t flags; /* BLK_FUA */
	uint16_t reserved;
	uint32_t reserved2;
	uint64_t off; /* bytes in the store */
	uint64_t len; /* bytes; equals the sum of the extents for READ/WRITE */
	struct lane_tag tag;
};

/* The body of a request: fixed size, no pointers, no padding surprises. */
struct lane_req {
	uint8_t kind; /* enum lane_kind */
	uint8_t n_out; /* extents with data from the initiator */
	uint8_t n_in; /* extents for data to the initiator */
	uint8_t reserved;
	uint32_t nexus; /* index ctld announced on this lane; 0 on lower hop */
	uint64_t order; /* set by lane_sub_submit: position in the lane's history */
	struct lane_ext out[LANE_EXT_MAX];
	struct lane_ext in[LANE_EXT_MAX];
	union {
		struct lane_scsi scsi;
		struct lane_blk blk;
	} u;
};

/* The body of a response. */
struct lane_rsp {
	int32_t error; /* LANE_BLK: 0 or -errno.  TMF: RFC 7143 11.6.1 response */
	uint8_t status; /* SAM-5 5.3.1 */
	uint8_t reserved;
	uint16_t sense_len;
	uint32_t want; /* with LANE_WANT: bytes of data-out in all */
	uint32_t in_len; /* bytes of data-in produced, from the start of the extents */
	uint32_t out_len; /* bytes of data-out the command transfers */
	uint32_t in_total; /* bytes the command would return: residuals */
	uint8_t sense[LANE_SENSE_MAX];
	uint8_t intent[LANE_INTENT_MAX];
};

/* Where the memory of a lane is, as one end has it mapped. */
struct lane_maps {
	void *sub; /* submission half: writable by the submitter only */
	void *status; /* status half: writable by the server only */
	uint32_t nslots; /* from ctld, never from the memory */
	int bell_out; /* eventfd that wakes the peer */
};

/* The sizes of the two halves in bytes, whole pages. */
size_t lane_sub_size(uint32_t nslots);
size_t lane_status_size(uint32_t nslots);

/* A word of a half's owner for its next incarnation: zero in fresh memory, and
 * then what it last stored there.  The peer does not look at it. */
_Atomic uint64_t *lane_kept(void *half);

/* Counters kept by each end; read by bench and metrics. */
struct lane_stats {
	uint64_t requests; /* submitted or taken */
	uint64_t bells; /* doorbells written */
	uint64_t sleeps; /* times this end went to sleep */
	uint64_t violations;
};

/* ---- the border ------------------------------------------------------ */

/* What a consumer knows, from ctld, about the requests of one lane. */
struct lane_pool_info {
	uint32_t id;
	uint64_t size;
};

struct lane_limits {
	const struct lane_pool_info *pools; /* pools requests may name */
	uint32_t n_pools;
	uint32_t kinds; /* bit mask of 1u << enum lane_kind */
	uint64_t store_size; /* LANE_BLK: bytes; 0 on the upper hop */
	bool read_only; /* LANE_BLK: refuse BLK_WRITE with -EROFS */
};

/*
 * The one border check, for both hops: is this (private copy of a) request
 * well-formed and inside what the lane may name?  Counts, pool ids, extents,
 * lengths, CDB length, ranges of the store.
 * Returns 0; -EPROTO when the peer broke the protocol; -EROFS for a write to
 * a read-only store; -ERANGE for a range outside the store.
 */
int lane_req_check(const struct lane_limits *lim, const struct lane_req *req);

/* ---- submitter ------------------------------------------------------- */

struct lane_submitter;

/* One thing a completion poll reports. */
struct lane_event {
	uint16_t slot;
	uint16_t state; /* LANE_WANT, LANE_DONE or LANE_CANCELLED */
	uint32_t seq;
};

/*
 * Attach.  @epoch is ctld's.  For fresh memory (all zero) @fresh is true and
 * the half's header is written, no slot touched; otherwise the halves are those of a previous
 * incarnation and the caller harvests (lane_sub_ready, lane_sub_scan,
 * lane_sub_state); nothing is named again by itself.
 * Returns an object or NULL with errno (EINVAL: geometry, ENOMEM, EPROTO: the
 * memory is not a lane of this version).
 */
struct lane_submitter *lane_sub_attach(const struct lane_maps *maps, uint32_t epoch,
				       bool fresh);
void lane_sub_free(struct lane_submitter *s); /* NULL is fine; unmaps nothing */

/*
 * True once the server serves the current epoch.  Before that nothing need be
 * waited for: requests may be submitted and are served after the attach.
 */
bool lane_sub_ready(struct lane_submitter *s);

/*
 * The live submitter learns that the server will re-attach (or has): starts
 * the submission ring at 0 under @epoch and names every slot that has not
 * ended again, in submission order; pending completions are found again when
 * the server publishes @epoch.  Call lane_sub_publish afterwards.  A frozen lane
 * is thawed, since its peer is another.  The epoch it has already: no effect.
 */
void lane_sub_epoch(struct lane_submitter *s, uint32_t epoch);

/* A free slot, LIFO, or -EAGAIN, or -EPROTO (frozen).  The slot is owned by the
 * caller until lane_sub_submit or lane_sub_unget; its request is zero up to the
 * extents, and so are the first bytes of the union (all of a lane_blk, all of a
 * lane_scsi up to the CDB). */
int lane_sub_get(struct lane_submitter *s);
void lane_sub_unget(struct lane_submitter *s, uint16_t slot);

/* The slot's request body (own memory), to fill in place before
 * lane_sub_submit; it must not be written after that. */
struct lane_req *lane_sub_req(struct lane_submitter *s, uint16_t slot);

/* Each names the slot in the ring; the peer is told by lane_sub_publish.
 * lane_sub_submit returns the slot's seq.  lane_sub_data is for slots that WANT
 * was reported for.  Data and cancel have no effect on a slot that has ended or
 * is being cancelled: the caller need not know who was first. */
uint32_t lane_sub_submit(struct lane_submitter *s, uint16_t slot);
void lane_sub_data(struct lane_submitter *s, uint16_t slot);
void lane_sub_cancel(struct lane_submitter *s, uint16_t slot);

/* Gives the slot back; allowed only after DONE or CANCELLED was reported for
 * its seq (asserts: a programming error otherwise). */
void lane_sub_release(struct lane_submitter *s, uint16_t slot);

/* Publishes what was named and rings the bell if the server sleeps.
 * Returns true when a doorbell was written. */
bool lane_sub_publish(struct lane_submitter *s);

/*
 * Takes up to @max events.  A slot's DONE or CANCELLED is reported once per
 * seq, WANT once per seq, whatever the ring repeats.
 * Returns the count or -EPROTO (lane frozen).
 */
int lane_sub_poll(struct lane_submitter *s, struct lane_event *ev, int max);

/* Copies the response of a slot whose event was reported: for WANT only the
 * field want, otherwise all but the intent.  0 or -EPROTO (the state changed
 * under us, or sense_len is out of range). */
int lane_sub_rsp(struct lane_submitter *s, uint16_t slot, struct lane_rsp *rsp);

/*
 * The server's state for a slot that is not free: LANE_NONE when it has not
 * claimed its current seq, or -EPROTO.  An ended state that is seen here counts
 * as reported: the poll will not report it, the response may be copied and the
 * slot released.
 */
int lane_sub_state(struct lane_submitter *s, uint16_t slot);

/*
 * Recovery: what a slot is after an attach to used memory.
 * Returns 0 and fills in; -ENOENT for a free slot; -EPROTO.
 * The request body is the submitter's own memory but of a dead incarnation,
 * so it is copied and must be checked like a peer's.
 */
int lane_sub_scan(struct lane_submitter *s, uint16_t slot, uint32_t *seq,
		  enum lane_op *op, struct lane_req *req);

uint32_t lane_sub_busy(const struct lane_submitter *s); /* slots not free */
bool lane_sub_frozen(const struct lane_submitter *s);

/*
 * About to sleep: returns false if something arrived meanwhile (do not sleep,
 * poll).  The server's new epoch counts as something.  After waking up, and
 * before anything is done about it, lane_sub_wake.
 */
bool lane_sub_sleep(struct lane_submitter *s);
void lane_sub_wake(struct lane_submitter *s);
const struct lane_stats *lane_sub_stats(const struct lane_submitter *s);

/* ---- server ---------------------------------------------------------- */

struct lane_server;

/* One request taken from the lane, a private copy. */
struct lane_taken {
	uint16_t slot;
	uint16_t attempts; /* including this one, for SUBMIT */
	uint32_t seq;
	enum lane_op op; /* SUBMIT, DATA or CANCEL */
	enum lane_state state; /* our word's state for this seq before this call:
				  NONE when never claimed; on recovery the state
				  in which the dead incarnation left it */
	struct lane_req req; /* valid for op SUBMIT (and on recovery) */
};

/* As lane_sub_attach.  Nothing is taken, named or published before
 * lane_srv_serve, also on fresh memory. */
struct lane_server *lane_srv_attach(const struct lane_maps *maps, uint32_t epoch, bool fresh);
void lane_srv_free(struct lane_server *v);

/*
 * Recovery of a restarted server: fills @t for @slot.  0; -ENOENT: free; -EPROTO.
 * @t->req is zero for a slot in DONE or CANCELLED, which is never run again.
 * DATA and CANCEL reported here are not returned again by lane_srv_take.
 * The caller scans all slots, sorts by req.order, decides by state and replay
 * class, re-claims with lane_srv_claim, and only then calls lane_srv_serve.
 */
int lane_srv_scan(struct lane_server *v, uint16_t slot, struct lane_taken *t);

/*
 * The submitter will re-attach (it died, or this server must drain): nothing
 * new is taken and nothing published until lane_srv_serve.  Thaws a frozen
 * lane.  The epoch it has already: no effect.
 */
void lane_srv_epoch(struct lane_server *v, uint32_t epoch);

/* Everything taken before is finished or recovered: publish the epoch (and ring
 * the bell), name every DONE, CANCELLED or WANT slot again, and begin to take.
 * What was taken or scanned but never claimed will be returned again. */
void lane_srv_serve(struct lane_server *v);

/*
 * The next request: 1 and @t filled; 0 nothing; -EPROTO frozen.
 * A SUBMIT is returned once per seq and not yet claimed; DATA and CANCEL once
 * per seq each, for slots that this incarnation has claimed.  A CANCEL that
 * overtakes its own SUBMIT's taking is returned as CANCEL with state NONE.
 */
int lane_srv_take(struct lane_server *v, struct lane_taken *t);

/*
 * Move our word.  Claim counts the attempt; of a new seq it sets CLAIMED, of a
 * seq that a dead incarnation had claimed it keeps the state, so that a second
 * crash still knows how far the first came.  Until lane_srv_intent the intent
 * record of a new seq is all zero.
 */
void lane_srv_claim(struct lane_server *v, uint16_t slot, uint32_t seq);
void lane_srv_exec(struct lane_server *v, uint16_t slot);
void lane_srv_intent(struct lane_server *v, uint16_t slot, const void *intent,
		     size_t len);
/* Asks for @want bytes of data-out in all; named in the completion ring. */
void lane_srv_want(struct lane_server *v, uint16_t slot, uint32_t want);
/* The response body to fill in place before lane_srv_done (own memory).  A new
 * claim zeroes it up to the sense data. */
struct lane_rsp *lane_srv_rsp(struct lane_server *v, uint16_t slot);
void lane_srv_done(struct lane_server *v, uint16_t slot);
void lane_srv_cancelled(struct lane_server *v, uint16_t slot);

/* True once the submitter has released the slot's current seq. */
bool lane_srv_released(struct lane_server *v, uint16_t slot);

bool lane_srv_publish(struct lane_server *v);
bool lane_srv_sleep(struct lane_server *v);
void lane_srv_wake(struct lane_server *v);
uint32_t lane_srv_busy(const struct lane_server *v); /* claimed, not ended */
bool lane_srv_frozen(const struct lane_server *v);
const struct lane_stats *lane_srv_stats(const struct lane_server *v);

#endif
