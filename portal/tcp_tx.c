/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sending side of a TCP connection: queued answers become PDUs in a ring,
 * many PDUs leave in one sendmsg as {header, extents, padding}.  What a PDU
 * points to is given back when the kernel has taken its last byte.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "portal/respond.h"
#include "portal/session.h"
#include "portal/tcp.h"
#include "portal/thread.h"
#include "proto/log.h"

static bool
ring_full(const struct tcp_conn *t)
{
	return t->tail - t->head == TCP_RING;
}

static struct tcp_pdu *
ring_next(struct tcp_conn *t)
{
	struct tcp_pdu *p = &t->ring[t->tail % TCP_RING];

	p->off = p->len = 0;
	p->sense = p->last = false;
	p->owner = NULL;
	return p;
}

static int
data_iov(const struct tcp_pdu *p, struct iovec *iov)
{
	if (!p->len)
		return 0;
	if (p->owner->kind == TX_CTL)
		iov[0].iov_base = container_of(p->owner, struct ctl, tx)->data;
	else if (p->sense)
		iov[0].iov_base = container_of(p->owner, struct cmd, tx)->sense;
	else
		return cmd_in_iov(container_of(p->owner, struct cmd, tx), p->off, p->len, iov);
	iov[0].iov_len = p->len;
	return 1;
}

/* The digests of a PDU whose header will not change any more. */
static void
add_digests(const struct tcp_conn *t, struct tcp_pdu *p)
{
	struct iovec iov[LANE_EXT_MAX];
	uint32_t crc = crc32c_begin();
	int n, i;

	if (t->hdr_digest)
		crc32c_end(crc32c_feed(crc, p->hdr, ISCSI_BHS_LEN), p->hdr + ISCSI_BHS_LEN);
	if (!t->data_digest || !p->len) /* 11.2.3: nothing of an empty data segment */
		return;
	n = data_iov(p, iov);
	for (i = 0; i < n; i++)
		crc = crc32c_feed(crc, iov[i].iov_base, iov[i].iov_len);
	memset(p->tail, 0, p->tail_len);
	crc32c_end(crc32c_feed(crc, p->tail, p->tail_len), p->tail + p->tail_len);
	p->tail_len += ISCSI_DIGEST_LEN;
}

/* The PDU is made: from here on it only leaves. */
static void
push(struct tcp_conn *t, struct tcp_pdu *p)
{
	p->tail_len = (uint8_t)iscsi_pad(p->len);
	if (t->hdr_digest || t->data_digest)
		add_digests(t, p);
	t->base.sess->stats.pdus_out++;
	t->tail++;
}

/* ---- queues -> ring ---------------------------------------------------- */

static void
make_r2ts(struct tcp_conn *t)
{
	struct tcp_pdu *p;
	struct cmd *cmd;

	while (!ring_full(t) && (cmd = list_first(&t->base.r2tq, struct cmd, r2t_link))) {
		p = ring_next(t);
		if (respond_r2t(&t->base, cmd, p->hdr))
			push(t, p);
		else
			list_del(&cmd->r2t_link);
	}
}

static void
make_ctl(struct tcp_conn *t, struct ctl *ctl)
{
	struct tcp_pdu *p = ring_next(t);

	conn_stamp(&t->base, ctl->hdr, ctl->numbered);
	memcpy(p->hdr, ctl->hdr, ISCSI_BHS_LEN);
	p->len = ctl->len;
	p->last = true;
	p->owner = &ctl->tx;
	list_del(&ctl->tx.link);
	push(t, p);
}

static void
make_answer(struct tcp_conn *t, struct cmd *cmd)
{
	struct tcp_pdu *p = ring_next(t);
	struct respond_pdu out;

	respond_next(&t->base, cmd, p->hdr, &out);
	p->off = out.off;
	p->len = out.len;
	p->sense = out.sense;
	p->last = out.last;
	p->owner = &cmd->tx;
	if (out.last)
		list_del(&cmd->tx.link);
	push(t, p);
}

static void
make_pdus(struct tcp_conn *t)
{
	struct tx *tx;

	if (!t->base.ending)
		make_r2ts(t);
	while (!ring_full(t) && (tx = list_first(&t->base.txq, struct tx, link))) {
		if (tx->kind == TX_CTL)
			make_ctl(t, container_of(tx, struct ctl, tx));
		else
			make_answer(t, container_of(tx, struct cmd, tx));
	}
}

/* ---- ring -> socket ---------------------------------------------------- */

static uint32_t
hdr_len(const struct tcp_conn *t)
{
	return t->hdr_digest ? ISCSI_BHS_LEN + ISCSI_DIGEST_LEN : ISCSI_BHS_LEN;
}

/* All pieces of a PDU, at most LANE_EXT_MAX + 2. */
static int
pdu_iov(const struct tcp_conn *t, struct tcp_pdu *p, struct iovec *iov)
{
	int n = 0;

	iov[n++] = (struct iovec){ .iov_base = p->hdr, .iov_len = hdr_len(t) };
	n += data_iov(p, iov + n);
	if (p->tail_len)
		iov[n++] = (struct iovec){ .iov_base = p->tail, .iov_len = p->tail_len };
	return n;
}

static uint32_t
pdu_len(const struct tcp_conn *t, const struct tcp_pdu *p)
{
	return hdr_len(t) + p->len + p->tail_len;
}

/* Fills @iov from the ring; leaves out what is gone of the first PDU. */
static int
gather(struct tcp_conn *t, struct iovec *iov)
{
	uint32_t i, skip = t->skip;
	int n = 0, k = 0;

	for (i = t->head; i != t->tail && n + LANE_EXT_MAX + 2 <= TCP_IOV; i++)
		n += pdu_iov(t, &t->ring[i % TCP_RING], iov + n);
	while (skip && iov[k].iov_len <= skip)
		skip -= (uint32_t)iov[k++].iov_len;
	if (k)
		memmove(iov, iov + k, (size_t)(n - k) * sizeof(*iov));
	if (skip) {
		iov[0].iov_base = (uint8_t *)iov[0].iov_base + skip;
		iov[0].iov_len -= skip;
	}
	return n - k;
}

static void
finish(struct tcp_conn *t, struct tcp_pdu *p)
{
	if (!p->last)
		return;
	if (p->owner->kind == TX_CTL)
		conn_ctl_end(&t->base, container_of(p->owner, struct ctl, tx));
	else
		cmd_end(container_of(p->owner, struct cmd, tx));
}

static void
sent(struct tcp_conn *t, size_t n)
{
	t->base.sess->stats.bytes_out += n;
	n += t->skip;
	while (t->head != t->tail) {
		struct tcp_pdu *p = &t->ring[t->head % TCP_RING];

		if (n < pdu_len(t, p))
			break;
		n -= pdu_len(t, p);
		t->head++;
		finish(t, p);
	}
	t->skip = (uint32_t)n;
}

void
tcp_tx_flush(struct conn *c)
{
	struct tcp_conn *t = container_of(c, struct tcp_conn, base);
	struct iovec iov[TCP_IOV];
	struct msghdr mh = { .msg_iov = iov };
	ssize_t n;

	for (;;) {
		make_pdus(t);
		if (t->head == t->tail)
			break;
		mh.msg_iovlen = (size_t)gather(t, iov);
		n = sendmsg(t->fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			ev_io_start(t->loop, &t->wr);
			return;
		}
		if (n < 0) {
			session_lost(c->sess);
			return;
		}
		sent(t, (size_t)n);
	}
	if (c->ending)
		session_lost(c->sess);
	else if (t->choked)
		tcp_unchoke(t);
}

/* Commands are the session's to end; answers of our own go with us. */
void
tcp_tx_done(struct tcp_conn *t)
{
	for (; t->head != t->tail; t->head++) {
		struct tcp_pdu *p = &t->ring[t->head % TCP_RING];

		if (p->last && p->owner->kind == TX_CTL)
			conn_ctl_end(&t->base, container_of(p->owner, struct ctl, tx));
	}
}
