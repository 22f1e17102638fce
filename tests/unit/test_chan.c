/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Channels: framing, the cap, descriptors that never leak, a peer that stops. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/chan.h"
#include "proto/worker.pb-c.h"
#include "tests/unit/tap.h"

#define DESC (&tgt__worker_msg__descriptor)

static int pair[2];

static void
make_pair(void)
{
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
}

static void
drop_pair(void)
{
	close(pair[0]);
	close(pair[1]);
}

static int
open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static const ProtobufCMessage *
failed_msg(int32_t err, char *text)
{
	static Tgt__Failed failed;
	static Tgt__WorkerMsg msg;

	tgt__failed__init(&failed);
	tgt__worker_msg__init(&msg);
	failed.err = err;
	failed.text = text;
	msg.body_case = TGT__WORKER_MSG__BODY_FAILED;
	msg.failed = &failed;
	return &msg.base;
}

static void
test_round_trip(void)
{
	int before = open_fds(), p[2], fd;
	struct chan_msg m;
	struct stat a, b;

	make_pair();
	CHECK(pipe(p) == 0);
	CHECK_EQ(chan_send_fd(pair[0], failed_msg(5, "why"), p, 2), 0);
	CHECK_EQ(chan_recv_fd(pair[1], DESC, &m), 1);
	CHECK_STR(((Tgt__WorkerMsg *)m.body)->failed->text, "why");
	CHECK_EQ(m.n_fds, 2);
	fd = chan_msg_take_fd(&m, 0);
	CHECK(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
	CHECK(fstat(fd, &a) == 0 && fstat(p[0], &b) == 0 && a.st_ino == b.st_ino);
	CHECK_EQ(chan_msg_take_fd(&m, 0), -1); /* taken */
	CHECK_EQ(chan_msg_take_fd(&m, 2), -1); /* absent */
	CHECK_EQ(chan_msg_take_fd(&m, -1), -1);
	chan_msg_done(&m);
	close(fd);
	close(p[0]);
	close(p[1]);
	close(pair[0]);
	CHECK_EQ(chan_recv_fd(pair[1], DESC, &m), 0); /* end of file */
	chan_msg_done(&m); /* harmless */
	close(pair[1]);
	CHECK_EQ(open_fds(), before);
}

static void
test_cap(void)
{
	char *text = malloc(CHAN_MSG_MAX + 1);
	Tgt__WorkerMsg nothing = TGT__WORKER_MSG__INIT;
	struct chan_msg m;
	size_t fits = CHAN_MSG_MAX - 16; /* tags and lengths */

	make_pair();
	memset(text, 'x', CHAN_MSG_MAX);
	text[CHAN_MSG_MAX] = 0;
	CHECK_EQ(chan_send_fd(pair[0], failed_msg(1, text), NULL, 0), -EMSGSIZE);
	text[fits] = 0;
	CHECK_EQ(chan_send_fd(pair[0], failed_msg(1, text), NULL, 0), 0);
	CHECK_EQ(chan_recv_fd(pair[1], DESC, &m), 1);
	CHECK_EQ(strlen(((Tgt__WorkerMsg *)m.body)->failed->text), fits);
	chan_msg_done(&m);
	/* It would read as the end of file. */
	CHECK_EQ(chan_send_fd(pair[0], &nothing.base, NULL, 0), -EINVAL);
	/* Over the cap on the wire: truncated by the kernel, refused. */
	text[fits] = 'x';
	CHECK(send(pair[0], text, CHAN_MSG_MAX + 1, 0) == CHAN_MSG_MAX + 1);
	CHECK_EQ(chan_recv_fd(pair[1], DESC, &m), -EPROTO);
	CHECK(m.body == NULL && m.n_fds == 0);
	free(text);
	drop_pair();
}

/* Sends raw bytes with @n copies of descriptor 0. */
static void
send_raw(const void *data, size_t len, int n)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(64 * sizeof(int))];
	} ctl = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	int fds[64] = { 0 };

	if (n) {
		mh.msg_control = ctl.buf;
		mh.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, (size_t)n * sizeof(int));
	}
	CHECK(sendmsg(pair[0], &mh, 0) == (ssize_t)len);
}

static void
test_hostile(void)
{
	static const struct {
		const char *data;
		size_t len;
		int n_fds;
		int rc;
	} rows[] = {
		{ "\x1a\x00", 2, 0, 1 }, /* Failed{}, all defaults */
		{ "\x1a\x00", 2, CHAN_FDS_MAX, 1 },
		{ "\x1a\x00", 2, CHAN_FDS_MAX + 1, -EPROTO }, /* surplus */
		{ "\x1a\x00", 2, 64, -EPROTO },
		{ "\x1a\x05", 2, 0, -EPROTO }, /* length beyond the end */
		{ "\x1a\x05", 2, 3, -EPROTO }, /* and with descriptors */
		{ "\xff\xff\xff\xff\xff\xff", 6, 2, -EPROTO },
		{ "\x0a\x80\x80\x80\x80\x10\x00", 7, 0, -EPROTO }, /* 4 GiB long */
		{ "\x98\x3f\x01", 3, 0, 1 }, /* unknown field: a newer peer */
		{ "", 0, 2, 0 }, /* nothing: the end, and nothing leaks */
	};
	int before;

	make_pair();
	before = open_fds();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct chan_msg m;
		int rc;

		send_raw(rows[i].data, rows[i].len, rows[i].n_fds);
		rc = chan_recv_fd(pair[1], DESC, &m);
		CHECK_MSG(rc == rows[i].rc, "row %zu: %d, expected %d", i, rc, rows[i].rc);
		CHECK(rc == 1 || (m.n_fds == 0 && !m.body));
		chan_msg_done(&m);
		CHECK_EQ(open_fds(), before);
	}
	drop_pair();
}

static void
test_paths(void)
{
	char dir[] = "/tmp/test_chan.XXXXXX", path[64], other[64], lng[200];
	struct stat st;
	int l, c, s;

	CHECK(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/a.sock", dir);
	snprintf(other, sizeof(other), "%s/file", dir);
	memset(lng, 'a', sizeof(lng));
	lng[199] = 0;
	CHECK_EQ(chan_connect(path), -ENOENT);
	CHECK_EQ(chan_connect(""), -EINVAL);
	CHECK_EQ(chan_connect(lng), -ENAMETOOLONG);
	CHECK_EQ(chan_listen(lng, 0), -ENAMETOOLONG);
	l = chan_listen(path, 0);
	CHECK(l >= 0);
	CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
	CHECK_EQ(chan_listen(path, 0), -EADDRINUSE); /* one lives */
	c = chan_connect(path);
	CHECK(c >= 0);
	s = accept(l, NULL, NULL); /* the probe of the row above */
	close(s);
	close(c);
	close(l);
	l = chan_listen(path, 0660); /* stale: replaced */
	CHECK(l >= 0);
	CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0660);
	close(l);
	unlink(path);
	close(open(other, O_CREAT | O_WRONLY, 0600));
	CHECK_EQ(chan_listen(other, 0), -EEXIST); /* never removes a file */
	CHECK(access(other, F_OK) == 0);
	unlink(other);
	rmdir(dir);
}

/* ---- in a loop ---------------------------------------------------------- */

static struct {
	unsigned messages, fds, ends;
	int err;
	int32_t last;
	bool in_order;
	bool close_in_cb;
} seen;

static void
on_chan(struct chan *c, struct chan_msg *m, int err)
{
	if (!m) {
		seen.ends++;
		seen.err = err;
		chan_close(c);
		return;
	}
	seen.messages++;
	seen.fds += (unsigned)m->n_fds;
	seen.in_order &= ((Tgt__WorkerMsg *)m->body)->failed->err == seen.last + 1;
	seen.last = ((Tgt__WorkerMsg *)m->body)->failed->err;
	if (seen.close_in_cb) {
		chan_close(c);
		free(c);
	}
}

static void
turn(struct ev_loop *loop, int n)
{
	while (n--)
		ev_run(loop, EVRUN_NOWAIT);
}

static void
test_slow_peer(void)
{
	struct ev_loop *loop = ev_loop_new(EVBACKEND_EPOLL);
	int before, p[2];
	struct chan a, b;
	char text[4096];
	int sent = 0;

	turn(loop, 1);
	before = open_fds();
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	memset(&seen, 0, sizeof(seen));
	seen.in_order = true;
	make_pair();
	CHECK(pipe(p) == 0);
	chan_init(&a, loop, pair[0], DESC, on_chan, NULL);
	while (a.n_out < 20) { /* until the socket is full and then some */
		CHECK_EQ(chan_send(&a, failed_msg(++sent, text), p, 1), 0);
		if (sent > 10000)
			break;
	}
	CHECK_EQ(a.n_out, 20);
	chan_init(&b, loop, pair[1], DESC, on_chan, NULL);
	turn(loop, sent * 2);
	CHECK_EQ(seen.messages, sent);
	CHECK_EQ(seen.fds, sent);
	CHECK(seen.in_order);
	CHECK_EQ(a.n_out, 0);

	/* The bound: a peer that never reads costs CHAN_QUEUE_MAX messages. */
	ev_io_stop(loop, &b.rd);
	while (a.n_out < CHAN_QUEUE_MAX && sent < 100000)
		CHECK_EQ(chan_send(&a, failed_msg(++sent, "x"), NULL, 0), 0);
	CHECK_EQ(chan_send(&a, failed_msg(0, "x"), NULL, 0), -ENOBUFS);
	CHECK_EQ(chan_send(&a, failed_msg(0, "x"), p, 1), -ENOBUFS);

	/* It ends while a queue waits: told once, the queue goes. */
	chan_close(&b);
	chan_close(&b);
	turn(loop, 5);
	CHECK_EQ(seen.ends, 1);
	CHECK_EQ(chan_send(&a, failed_msg(0, "x"), NULL, 0), -EPIPE);
	close(p[0]);
	close(p[1]);
	CHECK_EQ(open_fds(), before);
	ev_loop_destroy(loop);
}

static void
test_ends(void)
{
	struct ev_loop *loop = ev_loop_new(EVBACKEND_EPOLL);
	struct chan a, *heap = malloc(sizeof(*heap));

	/* Freed by its own callback. */
	memset(&seen, 0, sizeof(seen));
	seen.close_in_cb = true;
	make_pair();
	chan_init(heap, loop, pair[0], DESC, on_chan, NULL);
	CHECK_EQ(chan_send_fd(pair[1], failed_msg(1, "x"), NULL, 0), 0);
	turn(loop, 3);
	CHECK_EQ(seen.messages, 1);
	close(pair[1]);

	/* Garbage ends the channel with -EPROTO. */
	memset(&seen, 0, sizeof(seen));
	make_pair();
	chan_init(&a, loop, pair[1], DESC, on_chan, NULL);
	send_raw("\xff\xff\xff", 3, 1);
	turn(loop, 3);
	CHECK_EQ(seen.ends, 1);
	CHECK_EQ(seen.err, -EPROTO);
	close(pair[0]);

	/* A send to a peer that is gone: EPIPE, and the end is told. */
	memset(&seen, 0, sizeof(seen));
	make_pair();
	chan_init(&a, loop, pair[0], DESC, on_chan, NULL);
	close(pair[1]);
	CHECK_EQ(chan_send(&a, failed_msg(1, "x"), NULL, 0), -EPIPE);
	turn(loop, 3);
	CHECK_EQ(seen.ends, 1);
	ev_loop_destroy(loop);
}

/* It fails and ends while a message of ours is on its way to it. */
static void
test_last_words(void)
{
	struct chan_msg m;

	make_pair();
	CHECK_EQ(chan_send_fd(pair[1], failed_msg(1, "unread"), NULL, 0), 0);
	CHECK_EQ(chan_send_fd(pair[0], failed_msg(5, "last words"), NULL, 0), 0);
	close(pair[0]);
	CHECK_EQ(chan_recv_fd(pair[1], DESC, &m), 1);
	if (m.body)
		CHECK_STR(((Tgt__WorkerMsg *)m.body)->failed->text, "last words");
	chan_msg_done(&m);
	CHECK_EQ(chan_recv_fd(pair[1], DESC, &m), 0);
	close(pair[1]);
}

int
main(void)
{
	TEST(test_round_trip);
	TEST(test_cap);
	TEST(test_hostile);
	TEST(test_paths);
	TEST(test_slow_peer);
	TEST(test_ends);
	TEST(test_last_words);
	return tap_done();
}
