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

static const uint8_t zeros[4];

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

/* ---- queues -> ring ---------------------------------------------------- */

static void
make_r2ts(struct tcp_conn *t)
{
	struct cmd *cmd;

	while (!ring_full(t) && (cmd = list_first(&t->base.r2tq, struct cmd, r2t_link))) {
		if (respond_r2t(&t->base, cmd, ring_next(t)->hdr))
			t->tail++;
		else
			list_del(&cmd->r2t_link);
	}
}

static void
make_ctl(struct tcp_conn *t, struct ctl *ctl)
{
	struct tcp_pdu *p = ring_next(t);

	conn_stamp(&t->base, ctl->hdr, ctl->numbered);
	memcpy(p->hdr, ctl->hdr, sizeof(p->hdr));
	p->len = ctl->len;
	p->last = true;
	p->owner = &ctl->tx;
	list_del(&ctl->tx.link);
	t->tail++;
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
	t->tail++;
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

/* All pieces of a PDU, at most LANE_EXT_MAX + 2. */
static int
pdu_iov(struct tcp_pdu *p, struct iovec *iov)
{
	int n = 0;

	iov[n++] = (struct iovec){ .iov_base = p->hdr, .iov_len = ISCSI_BHS_LEN };
	n += data_iov(p, iov + n);
	if (iscsi_pad(p->len))
		iov[n++] = (struct iovec){ .iov_base = (void *)(uintptr_t)zeros,
					   .iov_len = iscsi_pad(p->len) };
	return n;
}

static uint32_t
pdu_len(const struct tcp_pdu *p)
{
	return ISCSI_BHS_LEN + p->len + iscsi_pad(p->len);
}

/* Fills @iov from the ring; leaves out what is gone of the first PDU. */
static int
gather(struct tcp_conn *t, struct iovec *iov)
{
	uint32_t i, skip = t->skip;
	int n = 0, k = 0;

	for (i = t->head; i != t->tail && n + LANE_EXT_MAX + 2 <= TCP_IOV; i++)
		n += pdu_iov(&t->ring[i % TCP_RING], iov + n);
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
	n += t->skip;
	while (t->head != t->tail) {
		struct tcp_pdu *p = &t->ring[t->head % TCP_RING];

		if (n < pdu_len(p))
			break;
		n -= pdu_len(p);
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
