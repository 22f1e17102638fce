/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * iSCSI over TCP (RFC 7143 4.2): PDUs on a byte stream.  tcp.c receives, tcp_tx.c
 * sends; this header is for the two of them, but for tcp_conn_new.
 */
#ifndef PORTAL_TCP_H
#define PORTAL_TCP_H

#include <ev.h>

#include "portal/conn.h"
#include "portal/crc32c.h"
#include "portal/login.h"

enum {
	TCP_RING = 128, /* PDUs made and not yet gone; a power of two */
	TCP_IOV = 256,
	TCP_DIRECT_MIN = 32 << 10, /* bytes worth receiving straight into the pool */
};

enum tcp_rx { RX_BHS, RX_AHS, RX_HDR_DIGEST, RX_DATA, RX_PAD, RX_DATA_DIGEST };

/* A PDU on its way out.  Its data is found through @owner when it is sent. */
struct tcp_pdu {
	uint8_t hdr[ISCSI_BHS_LEN + ISCSI_DIGEST_LEN]; /* the header's digest behind it */
	uint8_t tail[4 + ISCSI_DIGEST_LEN]; /* padding, the data's digest */
	uint8_t tail_len;
	uint32_t off, len;
	bool sense; /* the data is the command's sense */
	bool last; /* the owner is finished with it */
	struct tx *owner; /* NULL: the header is all (R2T) */
};

struct tcp_conn {
	struct conn base;
	int fd;
	struct ev_loop *loop;
	ev_io rd, wr;
	bool choked; /* not reading until answers have left */
	bool hdr_digest, data_digest; /* CRC32C was negotiated */

	enum tcp_rx rx;
	uint32_t have; /* bytes of the current part */
	int reason; /* why the header is to be rejected, 0: it is not */
	uint8_t ahs[ISCSI_AHS_MAX];
	uint8_t digest[ISCSI_DIGEST_LEN]; /* as received */
	uint32_t crc; /* running, of the data segment and its padding */

	struct tcp_pdu *ring; /* TCP_RING */
	uint32_t head, tail; /* sent up to, made up to */
	uint32_t skip; /* bytes of ring[head] that are gone */
};

struct thread;

/* Takes @fd in any case.  NULL: out of memory. */
struct conn *tcp_conn_new(struct session *s, int fd, const struct login_result *login);

/* Closes what still waits for its peer to close. */
void tcp_end_farewells(struct thread *th);

void tcp_tx_flush(struct conn *c);
void tcp_tx_done(struct tcp_conn *t);

/* Reading goes on after it was choked. */
void tcp_unchoke(struct tcp_conn *t);

#endif
