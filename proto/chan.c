/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control channels: see chan.h.  Knows nothing of what the messages mean.
 */
#include "proto/chan.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A message that waits for the peer to read; owns its descriptors. */
struct queued {
	struct list link;
	int fds[CHAN_FDS_MAX];
	int n_fds;
	size_t len;
	uint8_t data[];
};

/* ---- received messages ------------------------------------------------ */

int
chan_msg_take_fd(struct chan_msg *m, int i)
{
	int fd;

	if (i < 0 || i >= m->n_fds)
		return -1;
	fd = m->fds[i];
	m->fds[i] = -1;
	return fd;
}

static void
close_fds(int *fds, int n)
{
	for (int i = 0; i < n; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

void
chan_msg_done(struct chan_msg *m)
{
	if (m->body)
		protobuf_c_message_free_unpacked(m->body, NULL);
	m->body = NULL;
	close_fds(m->fds, m->n_fds);
	m->n_fds = 0;
}

/* Every descriptor the kernel has installed, however many control messages. */
static int
collect_fds(struct msghdr *mh, struct chan_msg *m)
{
	int err = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (m->n_fds < CHAN_FDS_MAX) {
				m->fds[m->n_fds++] = fd;
			} else {
				close(fd);
				err = -EPROTO;
			}
		}
	}
	return err;
}

/*
 * One datagram.  Zero bytes are the end of file: no message packs to nothing
 * (chan_send refuses it), and SEQPACKET cannot tell the two apart.
 */
static int
receive(int sock, const ProtobufCMessageDescriptor *type, struct chan_msg *m, int flags)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(CHAN_FDS_MAX * sizeof(int))];
	} ctl;
	uint8_t data[CHAN_MSG_MAX]; /* only what arrives is ever touched */
	struct iovec iov = { .iov_base = data, .iov_len = sizeof(data) };
	struct msghdr mh = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = ctl.buf, .msg_controllen = sizeof(ctl.buf),
	};
	ssize_t n;
	int err;

	memset(m, 0, sizeof(*m));
	/* A peer that ended with messages of ours unread resets the connection,
	 * and the kernel says so once, before the last words that it had sent:
	 * they are why it ended. */
	do
		n = recvmsg(sock, &mh, flags | MSG_CMSG_CLOEXEC);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0)
		return -errno;
	err = collect_fds(&mh, m);
	if (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		err = -EPROTO;
	if (!err && n > 0) {
		m->body = protobuf_c_message_unpack(type, NULL, (size_t)n, data);
		if (!m->body)
			err = -EPROTO;
	}
	if (err || n == 0)
		chan_msg_done(m);
	return err ? err : n > 0;
}

/* ---- blocking --------------------------------------------------------- */

static int
path_address(const char *path, struct sockaddr_un *sa)
{
	size_t len = strlen(path);

	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	if (!len)
		return -EINVAL;
	if (len >= sizeof(sa->sun_path))
		return -ENAMETOOLONG;
	memcpy(sa->sun_path, path, len + 1);
	return 0;
}

int
chan_connect(const char *path)
{
	struct sockaddr_un sa;
	int fd, err = path_address(path, &sa);

	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	while (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		if (errno == EINTR)
			continue;
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* Removes a socket left by a dead process; -EADDRINUSE if somebody answers. */
static int
remove_stale(const char *path)
{
	struct stat st;
	int fd;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = chan_connect(path);
	if (fd >= 0) {
		close(fd);
		return -EADDRINUSE;
	}
	if (fd != -ECONNREFUSED && fd != -ENOENT)
		return fd == -EPROTOTYPE || fd == -EAGAIN ? -EADDRINUSE : fd;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

int
chan_listen(const char *path, mode_t mode)
{
	struct sockaddr_un sa;
	int fd, err = path_address(path, &sa);
	mode_t old;

	if (!err)
		err = remove_stale(path);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* The mode must be right from the first instant, not after a chmod. */
	old = umask(0777 & ~(mode ? mode : 0600));
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		err = -errno;
	umask(old);
	if (!err && listen(fd, 128) < 0) {
		err = -errno;
		unlink(path);
	}
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

static int
transmit(int sock, const uint8_t *data, size_t len, const int *fds, int n, int flags)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(CHAN_FDS_MAX * sizeof(int))];
	} ctl;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t sent;

	if (n) {
		struct cmsghdr *c;

		memset(&ctl, 0, sizeof(ctl));
		mh.msg_control = ctl.buf;
		mh.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, (size_t)n * sizeof(int));
	}
	do
		sent = sendmsg(sock, &mh, flags | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

/* The packed size, or -EMSGSIZE; what packs to nothing would read as the end. */
static int
packed_size(const ProtobufCMessage *msg, int n_fds, size_t *len)
{
	assert(n_fds >= 0 && n_fds <= CHAN_FDS_MAX);
	*len = protobuf_c_message_get_packed_size(msg);
	if (!*len)
		return -EINVAL;
	return *len > CHAN_MSG_MAX ? -EMSGSIZE : 0;
}

int
chan_send_fd(int sock, const ProtobufCMessage *msg, const int *fds, int n)
{
	uint8_t data[CHAN_MSG_MAX];
	size_t len;
	int err = packed_size(msg, n, &len);

	if (err)
		return err;
	protobuf_c_message_pack(msg, data);
	return transmit(sock, data, len, fds, n, 0);
}

int
chan_recv_fd(int sock, const ProtobufCMessageDescriptor *type, struct chan_msg *m)
{
	return receive(sock, type, m, 0);
}

/* ---- in a loop -------------------------------------------------------- */

static void
drop_queue(struct chan *c)
{
	struct queued *q;

	while ((q = list_first(&c->outq, struct queued, link))) {
		list_del(&q->link);
		close_fds(q->fds, q->n_fds);
		free(q);
	}
	c->n_out = 0;
}

/* The sending half is over.  The owner learns it by the end of file. */
static void
send_failed(struct chan *c)
{
	c->dead = true;
	drop_queue(c);
	ev_io_stop(c->loop, &c->wr);
	shutdown(c->fd, SHUT_RDWR);
}

static void
on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct chan *c = container_of(w, struct chan, rd);
	struct chan_msg m;
	int rc = receive(c->fd, c->type, &m, MSG_DONTWAIT);

	if (rc == -EAGAIN)
		return;
	if (rc <= 0) {
		c->dead = true;
		drop_queue(c);
		ev_io_stop(loop, &c->rd);
		ev_io_stop(loop, &c->wr);
		c->cb(c, NULL, rc);
		return;
	}
	/* One message a turn: the callee may close and free the channel. */
	c->cb(c, &m, 0);
	chan_msg_done(&m);
}

static void
on_writable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct chan *c = container_of(w, struct chan, wr);
	struct queued *q;

	while ((q = list_first(&c->outq, struct queued, link))) {
		int err = transmit(c->fd, q->data, q->len, q->fds, q->n_fds, MSG_DONTWAIT);

		if (err == -EAGAIN)
			return;
		if (err) {
			send_failed(c);
			return;
		}
		list_del(&q->link);
		close_fds(q->fds, q->n_fds);
		free(q);
		c->n_out--;
	}
	ev_io_stop(loop, &c->wr);
}

void
chan_init(struct chan *c, struct ev_loop *loop, int fd, const ProtobufCMessageDescriptor *type,
	  chan_cb *cb, void *owner)
{
	memset(c, 0, sizeof(*c));
	c->fd = fd;
	c->loop = loop;
	c->type = type;
	c->cb = cb;
	c->owner = owner;
	list_init(&c->outq);
	ev_io_init(&c->rd, on_readable, fd, EV_READ);
	ev_io_init(&c->wr, on_writable, fd, EV_WRITE);
	ev_io_start(loop, &c->rd);
}

/* Keeps a copy for when the peer reads again. */
static int
enqueue(struct chan *c, const ProtobufCMessage *msg, size_t len, const int *fds, int n)
{
	struct queued *q;

	if (c->n_out >= CHAN_QUEUE_MAX)
		return -ENOBUFS;
	q = malloc(sizeof(*q) + len);
	if (!q)
		return -ENOMEM;
	q->n_fds = 0;
	q->len = len;
	for (int i = 0; i < n; i++) {
		int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);

		if (fd < 0) {
			int err = -errno;

			close_fds(q->fds, q->n_fds);
			free(q);
			return err;
		}
		q->fds[q->n_fds++] = fd;
	}
	protobuf_c_message_pack(msg, q->data);
	list_add_tail(&c->outq, &q->link);
	c->n_out++;
	ev_io_start(c->loop, &c->wr);
	return 0;
}

int
chan_send(struct chan *c, const ProtobufCMessage *msg, const int *fds, int n)
{
	uint8_t data[CHAN_MSG_MAX];
	size_t len;
	int err = packed_size(msg, n, &len);

	if (err)
		return err;
	if (c->dead)
		return -EPIPE;
	if (!list_empty(&c->outq)) /* order is kept */
		return enqueue(c, msg, len, fds, n);
	protobuf_c_message_pack(msg, data);
	err = transmit(c->fd, data, len, fds, n, MSG_DONTWAIT);
	if (err == -EAGAIN)
		return enqueue(c, msg, len, fds, n);
	if (err == -EPIPE || err == -ECONNRESET || err == -ENOTCONN) {
		send_failed(c);
		return -EPIPE;
	}
	return err;
}

void
chan_close(struct chan *c)
{
	if (c->fd < 0)
		return;
	ev_io_stop(c->loop, &c->rd);
	ev_io_stop(c->loop, &c->wr);
	drop_queue(c);
	close(c->fd);
	c->fd = -1;
	c->dead = true;
}
