/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory objects and doorbells of a lane.  ctld keeps read-write
 * descriptors of all of them, so that a restarted end gets the same ones; the
 * reader of a half gets a read-only description made for it.
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ctl/broker_priv.h"
#include "proto/shm.h"

void
objects_none(struct objects *o)
{
	for (int i = 0; i < O_COUNT; i++)
		o->fd[i] = -1;
}

void
objects_close(struct objects *o)
{
	for (int i = 0; i < O_COUNT; i++)
		if (o->fd[i] >= 0)
			close(o->fd[i]);
	objects_none(o);
}

static int
bell_create(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int
objects_create(struct objects *o, const char *name, uint32_t nslots, uint64_t pool)
{
	int err = 0;

	objects_none(o);
	o->fd[O_SUB] = shm_create(name, lane_sub_size(nslots));
	o->fd[O_STATUS] = shm_create(name, lane_status_size(nslots));
	o->fd[O_POOL] = shm_create(name, pool);
	o->fd[O_BELL_SERVER] = bell_create();
	o->fd[O_BELL_SUBMITTER] = bell_create();
	for (int i = 0; i < O_COUNT; i++)
		if (o->fd[i] < 0 && !err)
			err = o->fd[i];
	if (err)
		objects_close(o);
	return err;
}

int
objects_send(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m, const struct objects *o,
	     bool submitter)
{
	int ro = shm_reopen_ro(o->fd[submitter ? O_STATUS : O_SUB]);
	int fds[O_COUNT];

	if (ro < 0)
		return ro;
	fds[0] = submitter ? o->fd[O_SUB] : ro;
	fds[1] = submitter ? ro : o->fd[O_STATUS];
	fds[2] = o->fd[O_POOL];
	fds[3] = o->fd[submitter ? O_BELL_SUBMITTER : O_BELL_SERVER]; /* waits on */
	fds[4] = o->fd[submitter ? O_BELL_SERVER : O_BELL_SUBMITTER]; /* rings */
	worker_send_fds(b, w, m, fds, O_COUNT);
	close(ro);
	return 0;
}
