/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One connection in the full feature phase: what every transport has.  Its
 * transmit queue holds answers in the order in which they leave; numbering
 * (StatSN) happens when the transport makes the PDU, so that it is the order
 * on the wire.
 *
 * A connection belongs to one session and one thread (MaxConnections=1).
 */
#ifndef PORTAL_CONN_H
#define PORTAL_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "portal/cmd.h"
#include "portal/pdu.h"
#include "portal/textreq.h"
#include "portal/transport.h"

/* Where the data segment of the PDU now arriving goes. */
enum sink {
	SINK_DROP,
	SINK_CMD, /* data-out of a command */
	SINK_BUF, /* the connection's own buffer: NOP, text */
};

/* An answer that is no SCSI response: a header and its data segment. */
struct ctl {
	struct tx tx;
	uint8_t hdr[ISCSI_BHS_LEN];
	uint8_t *data; /* malloc'ed, or NULL */
	uint32_t len; /* bytes of data */
	bool numbered; /* takes a StatSN */
};

enum {
	CONN_CTL_MAX = 64, /* answers queued before reading stops */
	CONN_CTL_BYTES_MAX = 1 << 20,
};

struct conn {
	struct list dirty; /* has something to send: the thread's list */
	const struct transport_ops *ops;
	struct session *sess;
	struct textreq text; /* text.keys.params: the parameters in force */
	char local_addr[64]; /* numeric, for SendTargets */
	uint32_t stat_sn; /* the next */
	uint16_t cid;
	bool ending; /* nothing new: input is ignored, and when the queue is sent it closes */

	struct list txq; /* struct tx */
	struct list r2tq; /* commands with R2Ts to send */
	unsigned n_ctl;
	size_t ctl_bytes;

	/* Is the initiator alive?  See conn_ping(). */
	bool pinged; /* a NOP-In of ours has not been answered */
	uint32_t ping_ttt; /* of the last one */
	uint64_t heard, taken; /* bytes it had sent, and taken from us, when last looked */
	double since; /* ... it had done so: seconds of the loop's clock */

	/* The PDU now arriving. */
	uint8_t raw[ISCSI_BHS_LEN];
	struct bhs bhs;
	enum sink sink;
	struct cmd *sink_cmd;
	uint32_t sink_off; /* buffer offset of the data segment */
	bool ignore; /* rejected, or nothing counts any more */
	bool late_accept; /* data digests: a command is taken when its data is sound */
	uint8_t *buf; /* SINK_BUF, malloc'ed, bhs.data_len bytes */
};

static inline const struct iscsi_params *
conn_params(const struct conn *c)
{
	return &c->text.keys.params;
}

void conn_init(struct conn *c, const struct transport_ops *ops, struct session *s,
	       const struct login_limits *limits, const struct iscsi_params *params);
/* Frees what the base has; queued commands are the session's to end. */
void conn_done(struct conn *c);

/* Marks it as having something to send. */
void conn_kick(struct conn *c);

/* Queues a response of a command. */
void conn_queue_cmd(struct conn *c, struct cmd *cmd);
/* A control answer to be filled in; NULL: out of memory.  @len bytes of data. */
struct ctl *conn_ctl_new(struct conn *c, const void *data, uint32_t len);
void conn_queue_ctl(struct conn *c, struct ctl *ctl);
/* It has left, or will not. */
void conn_ctl_end(struct conn *c, struct ctl *ctl);

/* Rejects the PDU now arriving (RFC 7143 11.17). */
void conn_reject(struct conn *c, uint8_t reason);
/* ... and ends the connection after that. Returns -EPROTO. */
int conn_fail(struct conn *c, uint8_t reason, const char *why);

/* Sends a NOP-In after a silence, and ends the session when it is not answered,
 * as the thread's ping policy says; to be called now and then. */
void conn_ping(struct conn *c, double now);

/* True while so many answers wait that nothing more shall be read. */
static inline bool
conn_choked(const struct conn *c)
{
	return c->n_ctl >= CONN_CTL_MAX || c->ctl_bytes >= CONN_CTL_BYTES_MAX;
}

/* The numbers of the next PDU; @take advances StatSN. */
struct pdu_sn conn_sn(struct conn *c, bool take);
/* Writes them into a finished header. */
void conn_stamp(struct conn *c, uint8_t *hdr, bool take);

#endif
