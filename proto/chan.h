/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control channels: one protobuf-c message and its descriptors a datagram, on
 * a UNIX SEQPACKET socket.  The cap is enforced before unpacking.
 *
 * struct chan is the non-blocking form for a libev loop, with an outgoing
 * queue, so that a stopped peer never stops us.  The plain functions are the
 * blocking form for start-up.
 */
#ifndef PROTO_CHAN_H
#define PROTO_CHAN_H

#include <ev.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "proto/util.h"

enum {
	PROTO_VERSION = 1,
	CHAN_MSG_MAX = 65536, /* bytes of one packed message */
	CHAN_FDS_MAX = 8, /* descriptors with one message */
	CHAN_QUEUE_MAX = 4096, /* messages waiting for a slow peer */
};

/* A received datagram; descriptors not taken are closed by chan_msg_done. */
struct chan_msg {
	ProtobufCMessage *body; /* unpacked, or NULL at end of file */
	int fds[CHAN_FDS_MAX];
	int n_fds;
};

/* Takes descriptor @i out of the message: the caller owns it.  -1 if absent. */
int chan_msg_take_fd(struct chan_msg *m, int i);
void chan_msg_done(struct chan_msg *m);

/* ---- blocking ---- */

/* Connects to a SEQPACKET path.  Descriptor or -errno. */
int chan_connect(const char *path);
/* Listens on a path, mode 0600 unless @mode says otherwise, replacing a stale
 * socket nobody listens on.  Descriptor or -errno (EADDRINUSE: one lives). */
int chan_listen(const char *path, mode_t mode);
/* 0 or -errno (EMSGSIZE: over the cap). */
int chan_send_fd(int sock, const ProtobufCMessage *msg, const int *fds, int n);
/* 1 a message, 0 end of file, or -errno (EPROTO: cap, truncation, garbage,
 * surplus descriptors; nothing leaks). */
int chan_recv_fd(int sock, const ProtobufCMessageDescriptor *type,
		 struct chan_msg *m);

/* ---- in a loop ---- */

struct chan;
/* @m is NULL when the channel ended: @err 0 for end of file, else -errno; the
 * callee must then chan_close it (here or later).  Otherwise the callee may
 * take descriptors; body and the rest are freed after it returns. */
typedef void chan_cb(struct chan *c, struct chan_msg *m, int err);

struct chan {
	int fd;
	struct ev_loop *loop;
	const ProtobufCMessageDescriptor *type;
	chan_cb *cb;
	void *owner;
	ev_io rd, wr;
	struct list outq;
	unsigned n_out;
	bool dead;
};

void chan_init(struct chan *c, struct ev_loop *loop, int fd,
	       const ProtobufCMessageDescriptor *type, chan_cb *cb, void *owner);
/* Queues and sends what the socket takes; @fds are duplicated by the kernel,
 * or kept (dup'ed) in the queue: the caller keeps its own.
 * 0 or -errno (EMSGSIZE, ENOBUFS: queue full, EPIPE: dead). */
int chan_send(struct chan *c, const ProtobufCMessage *msg, const int *fds, int n);
void chan_close(struct chan *c); /* stops, closes, frees the queue */

#endif
