/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The receiving side of a TCP connection.  Bytes are read into the thread's
 * buffer and copied to where they belong; a large data segment is received
 * straight into its extents, with the thread's buffer as the last piece of the
 * same read.  What is kept between reads is one partial header.
 */
#include "portal/tcp.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "portal/addr.h"
#include "portal/session.h"
#include "portal/thread.h"
#include "proto/log.h"

enum { READS_PER_TURN = 8 };

/* ---- the stream -------------------------------------------------------- */

static bool
digest_matches(const struct tcp_conn *t, uint32_t crc)
{
	uint8_t want[ISCSI_DIGEST_LEN];

	crc32c_end(crc, want);
	return !memcmp(want, t->digest, sizeof(want));
}

/* Of the header only TotalAHSLength has been believed so far: the digest's place
 * depends on it.  A wrong digest leaves no place where the next PDU could be
 * known to begin, so that the connection ends (RFC 7143 7.8). */
static bool
header_sound(struct tcp_conn *t)
{
	struct session *s = t->base.sess;
	uint32_t crc = crc32c_feed(crc32c_begin(), t->base.raw, ISCSI_BHS_LEN);

	if (digest_matches(t, crc32c_feed(crc, t->ahs, t->base.bhs.ahs_len)))
		return true;
	s->stats.header_digest_errors++;
	log_limited(LOG_LEVEL_WARN, "header digest error, connection closed: nexus=%u", s->nexus);
	return false;
}

static bool
data_sound(const struct tcp_conn *t)
{
	return digest_matches(t, t->crc);
}

/* The header is complete: where does its data go? */
static int
header_done(struct tcp_conn *t)
{
	struct conn *c = &t->base;

	if (c->bhs.data_len > conn_params(c)->max_recv_data && !c->ending)
		return conn_fail(c, ISCSI_REJECT_PROTOCOL_ERROR,
				 "data segment beyond MaxRecvDataSegmentLength");
	t->rx = RX_DATA;
	t->crc = crc32c_begin();
	c->sess->stats.pdus_in++;
	return session_header(c, t->ahs, t->reason);
}

/* One part is complete: what comes next?  0; -EPROTO after a Reject; -EBADMSG. */
static int
part_done(struct tcp_conn *t)
{
	struct conn *c = &t->base;

	t->have = 0;
	switch (t->rx) {
	case RX_BHS:
		t->reason = bhs_parse(&c->bhs, c->raw);
		t->rx = RX_AHS;
		return 0;
	case RX_AHS:
		if (!t->hdr_digest)
			return header_done(t);
		t->rx = RX_HDR_DIGEST;
		return 0;
	case RX_HDR_DIGEST:
		return header_sound(t) ? header_done(t) : -EBADMSG;
	case RX_DATA:
		t->rx = RX_PAD;
		return 0;
	case RX_PAD:
		t->rx = t->data_digest && c->bhs.data_len ? RX_DATA_DIGEST : RX_BHS;
		return t->rx == RX_BHS ? session_pdu(c) : 0;
	case RX_DATA_DIGEST:
		t->rx = RX_BHS;
		return data_sound(t) ? session_pdu(c) : session_digest_error(c);
	}
	return -EPROTO;
}

/* The length of the current part, bytes. */
static uint32_t
part_len(const struct tcp_conn *t)
{
	const struct bhs *b = &t->base.bhs;
	switch (t->rx) {
	case RX_BHS:
		return ISCSI_BHS_LEN;
	case RX_AHS:
		return b->ahs_len;
	case RX_DATA:
		return b->data_len;
	case RX_PAD:
		return iscsi_pad(b->data_len);
	default:
		return ISCSI_DIGEST_LEN;
	}
}

/* Where the rest of the data segment goes; 0 iovecs: nowhere. */
static int
data_iov(struct tcp_conn *t, uint32_t len, struct iovec iov[LANE_EXT_MAX])
{
	struct conn *c = &t->base;

	if (c->sink == SINK_CMD)
		return cmd_out_iov(c->sink_cmd, c->sink_off + t->have, len, iov);
	if (c->sink != SINK_BUF)
		return 0;
	iov[0] = (struct iovec){ .iov_base = c->buf + t->have, .iov_len = len };
	return 1;
}

static void
put_data(struct tcp_conn *t, const uint8_t *p, uint32_t len)
{
	struct iovec iov[LANE_EXT_MAX];
	int n = data_iov(t, len, iov), i;

	for (i = 0; i < n; i++) {
		memcpy(iov[i].iov_base, p, iov[i].iov_len);
		p += iov[i].iov_len;
	}
}

static void
put(struct tcp_conn *t, const uint8_t *p, uint32_t len)
{
	switch (t->rx) {
	case RX_BHS:
		memcpy(t->base.raw + t->have, p, len);
		break;
	case RX_AHS:
		memcpy(t->ahs + t->have, p, len);
		break;
	case RX_DATA:
		put_data(t, p, len);
		break;
	case RX_PAD:
		break;
	case RX_HDR_DIGEST:
	case RX_DATA_DIGEST:
		memcpy(t->digest + t->have, p, len);
		break;
	}
	if (t->data_digest && (t->rx == RX_DATA || t->rx == RX_PAD))
		t->crc = crc32c_feed(t->crc, p, len);
	t->have += len;
}

/* Works through @n bytes of the stream (0: only through empty parts). */
static int
consume(struct tcp_conn *t, const uint8_t *p, size_t n)
{
	for (;;) {
		uint32_t want = part_len(t) - t->have;
		int rc;

		if (want) {
			uint32_t take = (uint32_t)MIN((size_t)want, n);

			if (!take)
				return 0;
			put(t, p, take);
			p += take;
			n -= take;
		}
		if (t->have < part_len(t))
			return 0;
		rc = part_done(t);
		if (rc)
			return rc;
	}
}

/* ---- the socket -------------------------------------------------------- */

/* The rest of a large data segment directly, then the thread's buffer. */
static int
read_iov(struct tcp_conn *t, struct iovec *iov, size_t *direct)
{
	uint32_t left = t->rx == RX_DATA ? t->base.bhs.data_len - t->have : 0;
	size_t sum = 0;
	int n = 0, i;

	if (left >= TCP_DIRECT_MIN)
		n = data_iov(t, left, iov);
	for (i = 0; i < n; i++)
		sum += iov[i].iov_len;
	if (sum != left)
		n = 0; /* some of it is to be dropped */
	*direct = n ? sum : 0;
	iov[n++] = (struct iovec){ .iov_base = t->base.sess->th->rxbuf,
				   .iov_len = THREAD_RXBUF };
	return n;
}

/* What was received directly: @n bytes of @iov. */
static void
digest_direct(struct tcp_conn *t, const struct iovec *iov, size_t n)
{
	for (; n; iov++) {
		size_t len = MIN(n, iov->iov_len);

		t->crc = crc32c_feed(t->crc, iov->iov_base, len);
		n -= len;
	}
}

/* 1: there may be more; 0: drained; -errno: the connection is over. */
static int
read_once(struct tcp_conn *t)
{
	struct iovec iov[LANE_EXT_MAX + 1];
	struct msghdr mh = { .msg_iov = iov };
	size_t direct, room = 0, i;
	ssize_t n;
	int rc;

	mh.msg_iovlen = (size_t)read_iov(t, iov, &direct);
	for (i = 0; i < mh.msg_iovlen; i++)
		room += iov[i].iov_len;
	n = recvmsg(t->fd, &mh, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	t->base.sess->stats.bytes_in += (uint64_t)n;
	if (direct) {
		if (t->data_digest)
			digest_direct(t, iov, MIN((size_t)n, direct));
		t->have += (uint32_t)MIN((size_t)n, direct);
		if ((size_t)n < direct)
			return 1;
	}
	rc = consume(t, t->base.sess->th->rxbuf, (size_t)n - direct);
	if (rc)
		return rc;
	return (size_t)n == room;
}

static void
on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct tcp_conn *t = container_of(w, struct tcp_conn, rd);
	struct conn *c = &t->base;
	int i, rc = 1;

	c->sess->stats.wakeups++;
	for (i = 0; i < READS_PER_TURN && rc > 0; i++) {
		if (conn_choked(c)) {
			t->choked = true;
			ev_io_stop(loop, w);
			return;
		}
		rc = read_once(t);
	}
	if (rc == -EPROTO) {
		/* The Reject is queued; the sending side closes when it is gone. */
		ev_io_stop(loop, w);
		conn_kick(c);
	} else if (rc < 0) {
		log_debug("connection ended: nexus=%u: %s", c->sess->nexus, strerror(-rc));
		session_lost(c->sess);
	}
}

void
tcp_unchoke(struct tcp_conn *t)
{
	t->choked = false;
	ev_io_start(t->base.sess->th->loop, &t->rd);
	/* Level-triggered: what waits in the socket is reported again. */
}

static void
on_writable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct tcp_conn *t = container_of(w, struct tcp_conn, wr);

	ev_io_stop(loop, w);
	conn_kick(&t->base);
}

static void
start(struct conn *c)
{
	struct tcp_conn *t = container_of(c, struct tcp_conn, base);

	ev_io_init(&t->rd, on_readable, t->fd, EV_READ);
	ev_io_init(&t->wr, on_writable, t->fd, EV_WRITE);
	ev_io_start(c->sess->th->loop, &t->rd);
}

/* ---- the end ----------------------------------------------------------- */

/*
 * Closing a socket that still has unread bytes resets the connection, and the
 * peer may lose the last answer with it.  So it lingers: sends are over, what
 * comes is thrown away, until the peer closes or time is up.
 */
struct farewell {
	struct list link; /* of the thread */
	ev_io rd;
	ev_timer timer;
	int fd;
	size_t budget; /* bytes it may still send us */
};

static void
linger_end(struct ev_loop *loop, struct farewell *l)
{
	ev_io_stop(loop, &l->rd);
	ev_timer_stop(loop, &l->timer);
	list_del(&l->link);
	close(l->fd);
	free(l);
}

static void
on_linger_read(struct ev_loop *loop, ev_io *w, int revents)
{
	struct farewell *l = container_of(w, struct farewell, rd);
	static __thread uint8_t waste[16384];
	ssize_t n = recv(l->fd, waste, sizeof(waste), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || (size_t)n > l->budget) {
		linger_end(loop, l);
		return;
	}
	l->budget -= (size_t)n;
}

static void
on_linger_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	linger_end(loop, container_of(w, struct farewell, timer));
}

static void
linger(struct thread *th, int fd)
{
	struct farewell *l = calloc(1, sizeof(*l));

	if (!l || shutdown(fd, SHUT_WR) < 0) {
		close(fd);
		free(l);
		return;
	}
	l->fd = fd;
	l->budget = 4 << 20;
	ev_io_init(&l->rd, on_linger_read, fd, EV_READ);
	ev_timer_init(&l->timer, on_linger_timer, 2.0, 0.);
	list_add_tail(&th->farewells, &l->link);
	ev_io_start(th->loop, &l->rd);
	ev_timer_start(th->loop, &l->timer);
}

void
tcp_end_farewells(struct thread *th)
{
	struct farewell *l;

	list_for_each(l, &th->farewells, link)
		linger_end(th->loop, l);
}

static uint64_t
tcp_taken(const struct conn *c)
{
	int left = 0; /* what the peer's TCP has not acknowledged */

	ioctl(container_of(c, struct tcp_conn, base)->fd, SIOCOUTQ, &left);
	return c->sess->stats.bytes_out - (uint64_t)left;
}

static void
tcp_close(struct conn *c, bool drain)
{
	struct tcp_conn *t = container_of(c, struct tcp_conn, base);
	struct ev_loop *loop = t->loop;
	const struct session_stats *n = &c->sess->stats;

	log_debug("connection closed: nexus=%u pdus_in=%" PRIu64 " pdus_out=%" PRIu64
		  " bytes_in=%" PRIu64 " bytes_out=%" PRIu64 " commands=%" PRIu64
		  " rejects=%" PRIu64 " header_digest_errors=%" PRIu64
		  " data_digest_errors=%" PRIu64 " wakeups=%" PRIu64, c->sess->nexus,
		  n->pdus_in, n->pdus_out, n->bytes_in, n->bytes_out, n->commands, n->rejects,
		  n->header_digest_errors, n->data_digest_errors, n->wakeups);
	ev_io_stop(loop, &t->rd);
	ev_io_stop(loop, &t->wr);
	if (drain)
		linger(c->sess->th, t->fd);
	else
		close(t->fd);
	tcp_tx_done(t);
	conn_done(c);
	free(t->ring);
	free(t);
}

static const struct transport_ops tcp_ops = {
	.name = "tcp",
	.start = start,
	.flush = tcp_tx_flush,
	.taken = tcp_taken,
	.close = tcp_close,
};

static void
local_address(int fd, char *buf, size_t size)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);

	getsockname(fd, (struct sockaddr *)&sa, &len); /* failing leaves no family */
	addr_text(&sa, buf, size, NULL);
}

struct conn *
tcp_conn_new(struct session *s, int fd, const struct login_result *login)
{
	struct tcp_conn *t = calloc(1, sizeof(*t));

	if (t)
		t->ring = calloc(TCP_RING, sizeof(*t->ring));
	if (!t || !t->ring) {
		close(fd);
		free(t);
		return NULL;
	}
	conn_init(&t->base, &tcp_ops, s, s->th->limits, &login->params);
	t->base.stat_sn = login->stat_sn;
	t->base.cid = login->cid;
	t->hdr_digest = login->params.header_digest == ISCSI_DIGEST_CRC32C;
	t->data_digest = login->params.data_digest == ISCSI_DIGEST_CRC32C;
	t->base.late_accept = t->data_digest;
	t->fd = fd;
	t->loop = s->th->loop;
	local_address(fd, t->base.local_addr, sizeof(t->base.local_addr));
	return &t->base;
}
