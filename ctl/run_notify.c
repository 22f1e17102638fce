/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor's half of sd_notify(3).  A datagram counts for the process
 * that the kernel says sent it (SCM_CREDENTIALS), whatever it claims.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/run.h"
#include "proto/daemon.h"
#include "proto/log.h"

enum {
	NOTE_MAX = 4096, /* bytes of one datagram, as systemd has it */
	NOTE_FDS_MAX = 253, /* SCM_MAX_FD */
};

static void
forget(struct run *r, struct run_stored *s)
{
	list_del(&s->link);
	r->n_store--;
	close(s->fd);
	free(s);
}

/* Takes the descriptor; it is closed when it cannot be kept. */
static void
store(struct run *r, const char *name, int fd)
{
	struct run_stored *s = NULL;

	if (r->n_store < RUN_STORE_MAX)
		s = malloc(sizeof(*s) + strlen(name) + 1);
	if (!s) {
		log_err("a descriptor of tgt-ctld cannot be stored: name=%s", name);
		close(fd);
		return;
	}
	s->fd = fd;
	strcpy(s->name, name);
	list_add_tail(&r->store, &s->link);
	r->n_store++;
}

static void
unstore(struct run *r, const char *name)
{
	struct run_stored *s;

	list_for_each(s, &r->store, link) {
		if (!strcmp(s->name, name))
			forget(r, s);
	}
}

void
run_store_free(struct run *r)
{
	struct run_stored *s;

	list_for_each(s, &r->store, link)
		forget(r, s);
}

struct note_in {
	pid_t pid;
	int fds[NOTE_FDS_MAX];
	int n_fds;
};

static void
collect(struct msghdr *mh, struct note_in *in)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t len = c->cmsg_len - CMSG_LEN(0);
		struct ucred cred;

		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS && len >= sizeof(cred)) {
			memcpy(&cred, CMSG_DATA(c), sizeof(cred));
			in->pid = cred.pid;
		} else if (c->cmsg_type == SCM_RIGHTS) {
			in->n_fds = (int)(len / sizeof(int));
			memcpy(in->fds, CMSG_DATA(c), len);
		}
	}
}

static void
apply(struct run *r, struct run_unit *u, const struct run_note *note, struct note_in *in)
{
	if (note->ready && !u->ready) {
		run_unit_ready(u);
		if (u == &r->ctld)
			notify_send("READY=1", NULL, 0); /* to our own supervisor */
	}
	if (note->watchdog)
		run_unit_alive(u);
	if (u != &r->ctld) /* only it has something to keep */
		return;
	if (note->fdremove)
		unstore(r, note->fdname);
	for (int i = 0; note->fdstore && i < in->n_fds; i++) {
		store(r, note->fdname, in->fds[i]);
		in->fds[i] = -1;
	}
}

/* One datagram: false when there is none. */
static bool
take(struct run *r)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(struct ucred)) +
			 CMSG_SPACE(NOTE_FDS_MAX * sizeof(int))];
	} ctl;
	char data[NOTE_MAX];
	struct iovec iov = { .iov_base = data, .iov_len = sizeof(data) };
	struct msghdr mh = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = ctl.buf, .msg_controllen = sizeof(ctl.buf),
	};
	struct note_in in = { 0 };
	struct run_note note;
	struct run_unit *u;
	ssize_t n = recvmsg(r->notify_fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return errno == EINTR;
	collect(&mh, &in);
	u = run_unit_by_pid(r, in.pid);
	if (!u)
		log_limited(LOG_LEVEL_DEBUG, "a notification from a stranger: pid=%d", (int)in.pid);
	else if ((mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
		 run_parse_note(data, (size_t)n, &note))
		log_limited(LOG_LEVEL_WARN, "%s sent a bad notification", u->name);
	else
		apply(r, u, &note, &in);
	for (int i = 0; i < in.n_fds; i++) {
		if (in.fds[i] >= 0)
			close(in.fds[i]);
	}
	return true;
}

void
run_notify_drain(struct run *r)
{
	for (int i = 0; i < 1024 && take(r); i++)
		;
}

static void
on_note(struct ev_loop *loop, ev_io *w, int revents)
{
	run_notify_drain(w->data);
}

int
run_notify_open(struct run *r)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const int on = 1;
	size_t len = strlen(r->notify_path);
	int fd;

	if (len >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, r->notify_path, len + 1);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* Whoever else ran here is gone: control.sock was ours to bind. */
	unlink(r->notify_path);
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	r->notify_fd = fd;
	ev_io_init(&r->notify, on_note, fd, EV_READ);
	r->notify.data = r;
	ev_io_start(r->loop, &r->notify);
	return 0;
}
