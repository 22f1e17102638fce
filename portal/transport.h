/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a transport does for the iSCSI layer.  TCP frames PDUs on a byte
 * stream; iSER (RFC 7145) moves the data of get_data and of responses by RDMA.
 *
 * Upwards, a transport calls session_header() when a header (with its AHS) has
 * arrived, puts the data segment where conn->sink says, then session_pdu();
 * and session_lost() when the connection is gone.
 */
#ifndef PORTAL_TRANSPORT_H
#define PORTAL_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

struct conn;

struct transport_ops {
	const char *name;
	/* Begins to receive. */
	void (*start)(struct conn *c);
	/* Sends what the queues hold, as far as the peer takes it. */
	void (*flush)(struct conn *c);
	/* Bytes that the peer has acknowledged so far, or a number that changes with
	 * them. */
	uint64_t (*taken)(const struct conn *c);
	/* Ends the connection now and frees it: nothing of its queues is touched
	 * again.  @drain: let the peer have what was sent. */
	void (*close)(struct conn *c, bool drain);
};

#endif
