/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A portal lane: see plane.h.  What the status half says is checked here (the
 * slot is in use, by this seq) and in cmd_on_*() (lengths against what was
 * granted) before anything is done with it.
 */
#include "portal/plane.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "portal/cmd.h"
#include "portal/session.h"
#include "portal/thread.h"
#include "proto/log.h"
#include "proto/scsi.h"
#include "proto/shm.h"

enum { POLL_BATCH = 64 };

static void
on_bell(struct ev_loop *loop, ev_io *w, int revents)
{
	uint64_t count;

	/* Only to clear it; the turn that follows polls every busy lane. */
	if (read(w->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		ev_io_stop(loop, w);
}

static int
map_all(struct plane *p, const struct plane_config *cfg)
{
	p->sub_size = lane_sub_size(cfg->nslots);
	p->status_size = lane_status_size(cfg->nslots);
	p->sub_map = shm_map(cfg->fds[0], p->sub_size, true);
	p->status_map = shm_map(cfg->fds[1], p->status_size, false);
	p->data = shm_map(cfg->fds[2], cfg->pool_size, true);
	return p->sub_map && p->status_map && p->data ? 0 : -errno;
}

static void
plane_free(struct plane *p)
{
	lane_sub_free(p->sub);
	pool_free(p->pool);
	shm_unmap(p->sub_map, p->sub_size);
	shm_unmap(p->status_map, p->status_size);
	shm_unmap(p->data, p->pool_size);
	if (p->bell_in >= 0)
		close(p->bell_in);
	if (p->bell_out >= 0)
		close(p->bell_out);
	free(p->owner);
	free(p);
}

struct plane *
plane_open(struct thread *th, const struct plane_config *cfg)
{
	struct plane *p = calloc(1, sizeof(*p));
	struct lane_maps maps;
	int err = -ENOMEM, i;

	if (p) {
		p->owner = calloc(cfg->nslots, sizeof(struct cmd *));
		p->th = th;
		p->id = cfg->lane;
		p->pool_id = cfg->pool;
		p->pool_size = cfg->pool_size;
		p->nslots = cfg->nslots;
		p->bell_in = cfg->fds[3];
		p->bell_out = cfg->fds[4];
		list_init(&p->waiting);
		list_init(&p->busy);
		list_init(&p->dirty);
		err = p->owner ? map_all(p, cfg) : -ENOMEM;
	}
	for (i = 0; i < (p ? 3 : 5); i++) /* the mappings stay, the descriptors go */
		if (cfg->fds[i] >= 0)
			close(cfg->fds[i]);
	if (!err) {
		maps = (struct lane_maps){ .sub = p->sub_map, .status = p->status_map,
					   .nslots = p->nslots, .bell_out = p->bell_out };
		p->sub = lane_sub_attach(&maps, cfg->epoch, true);
		p->pool = p->sub ? pool_new(cfg->pool, cfg->pool_size) : NULL;
		err = p->pool ? 0 : -errno;
	}
	if (err) {
		if (p)
			plane_free(p);
		errno = -err;
		return NULL;
	}
	ev_io_init(&p->bell, on_bell, p->bell_in, EV_READ);
	ev_io_start(th->loop, &p->bell);
	list_add_tail(&th->planes, &p->link);
	return p;
}

void
plane_close(struct plane *p)
{
	assert(!p->in_use && list_empty(&p->waiting));
	ev_io_stop(p->th->loop, &p->bell);
	list_del(&p->link);
	list_del(&p->busy);
	list_del(&p->dirty);
	thread_lane_released(p->th, p->id);
	plane_free(p);
}

uint32_t
plane_max_transfer(const struct plane *p)
{
	return (uint32_t)MIN(p->pool_size / 4, (uint64_t)POOL_ALLOC_MAX);
}

static void
make_busy(struct plane *p)
{
	if (list_empty(&p->busy))
		list_add_tail(&p->th->busy, &p->busy);
}

/* All or nothing: slot, data-out extents, data-in extents. */
static bool
grant(struct plane *p, struct cmd *c)
{
	int slot = lane_sub_get(p->sub), n_out = 0, n_in = 0;

	if (slot < 0)
		return false;
	if (c->out_grant)
		n_out = pool_get(p->pool, c->out_grant, c->out);
	if (n_out >= 0 && c->in_grant)
		n_in = pool_get(p->pool, c->in_grant, c->in);
	if (n_out < 0 || n_in < 0) {
		if (n_out > 0)
			pool_put(p->pool, c->out, n_out);
		lane_sub_unget(p->sub, (uint16_t)slot);
		return false;
	}
	c->slot = (uint16_t)slot;
	c->n_out = (uint8_t)n_out;
	c->n_in = (uint8_t)n_in;
	p->owner[slot] = c;
	p->in_use++;
	make_busy(p);
	return true;
}

static void
serve_waiting(struct plane *p)
{
	struct cmd *c;

	while ((c = list_first(&p->waiting, struct cmd, link)) && grant(p, c)) {
		list_del(&c->link);
		cmd_granted(c);
	}
}

void
plane_request(struct plane *p, struct cmd *c)
{
	uint32_t max = plane_max_transfer(p);

	c->plane = p;
	c->out_grant = MIN(c->edtl_out, max);
	c->in_grant = MIN(c->edtl_in, max);
	if (list_empty(&p->waiting) && grant(p, c)) {
		cmd_granted(c);
		return;
	}
	c->state = CMD_PARKED;
	list_add_tail(&p->waiting, &c->link);
	make_busy(p);
}

void
plane_release(struct plane *p, struct cmd *c)
{
	assert(p->owner[c->slot] == c);
	p->owner[c->slot] = NULL;
	if (c->n_out)
		pool_put(p->pool, c->out, c->n_out);
	if (c->n_in)
		pool_put(p->pool, c->in, c->n_in);
	c->n_out = c->n_in = 0;
	if (c->submitted)
		lane_sub_release(p->sub, c->slot);
	else
		lane_sub_unget(p->sub, c->slot);
	p->in_use--;
	/* Who waits is not served from here: a command that is granted may run
	 * into an answer at once, and this is called from answers. */
	if (!list_empty(&p->waiting))
		p->th->again = true;
}

static void
name(struct plane *p)
{
	if (list_empty(&p->dirty))
		list_add_tail(&p->th->dirty_planes, &p->dirty);
}

void
plane_submit(struct plane *p, struct cmd *c)
{
	c->submitted = true;
	c->seq = lane_sub_submit(p->sub, c->slot);
	name(p);
}

void
plane_data(struct plane *p, struct cmd *c)
{
	lane_sub_data(p->sub, c->slot);
	name(p);
}

void
plane_cancel(struct plane *p, struct cmd *c)
{
	lane_sub_cancel(p->sub, c->slot);
	name(p);
}

static void
on_event(struct plane *p, const struct lane_event *ev)
{
	struct cmd *c = ev->slot < p->nslots ? p->owner[ev->slot] : NULL;
	struct lane_rsp rsp;

	if (!c || !c->submitted || c->seq != ev->seq)
		return; /* named twice: harmless */
	if (ev->state == LANE_CANCELLED) {
		cmd_on_cancelled(c);
		return;
	}
	if (lane_sub_rsp(p->sub, ev->slot, &rsp) < 0) {
		plane_violation(p, "a response changed while it was read");
		if (ev->state == LANE_WANT) {
			cmd_broken(c, "");
			return;
		}
		rsp = (struct lane_rsp){ .error = -1, .in_len = UINT32_MAX };
	}
	if (ev->state == LANE_WANT)
		cmd_on_want(c, rsp.want);
	else if (ev->state == LANE_DONE)
		cmd_on_done(c, &rsp);
}

int
plane_poll(struct plane *p)
{
	struct lane_event ev[POLL_BATCH];
	int n, i;

	serve_waiting(p);
	if (!p->in_use && list_empty(&p->waiting))
		list_del(&p->busy);
	if (p->frozen || !p->in_use)
		return 0;
	n = lane_sub_poll(p->sub, ev, POLL_BATCH);
	if (n < 0) {
		plane_violation(p, "the completion ring or a response word is impossible");
		return 0;
	}
	for (i = 0; i < n; i++)
		on_event(p, &ev[i]);
	serve_waiting(p);
	return n;
}

void
plane_publish(struct plane *p)
{
	list_del(&p->dirty);
	lane_sub_publish(p->sub);
}

void
plane_epoch(struct plane *p, uint32_t epoch)
{
	p->frozen = false;
	lane_sub_epoch(p->sub, epoch);
	name(p);
}

void
plane_unref(struct plane *p)
{
	p->refs--;
	p->th->reap = true;
}

void
plane_revoke(struct plane *p)
{
	uint32_t i;
	struct cmd *c;

	p->revoked = true;
	while ((c = list_first(&p->waiting, struct cmd, link)))
		cmd_cancel_sense(c, ILLEGAL_REQUEST, ASC_LU_NOT_SUPPORTED);
	for (i = 0; i < p->nslots; i++)
		if (p->owner[i])
			cmd_cancel_sense(p->owner[i], ILLEGAL_REQUEST, ASC_LU_NOT_SUPPORTED);
}

void
plane_violation(struct plane *p, const char *what)
{
	if (p->frozen)
		return;
	p->frozen = true;
	log_limited(LOG_LEVEL_ERR, "lane frozen: lane=%u: %s", p->id, what);
	thread_violation(p->th, p->id, what);
}
