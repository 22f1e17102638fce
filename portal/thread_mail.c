/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mail of a portal thread, both ways: each function here either makes a
 * mail or is what a mail does at its receiver.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "portal/conn.h"
#include "portal/session.h"
#include "portal/tcp.h"
#include "portal/thread.h"
#include "proto/log.h"

/* ---- to the main thread ------------------------------------------------ */

static struct up *
up_new(struct thread *th, enum up_kind kind)
{
	struct up *u = mail_new(sizeof(*u));

	u->mail.run = th->up;
	u->kind = kind;
	u->th = th;
	return u;
}

void
thread_lun_open(struct thread *th, struct lun_entry *e)
{
	struct up *u = up_new(th, UP_LUN_OPEN);

	e->cookie = ++th->next_cookie;
	list_add_tail(&th->opening, &e->open_link);
	u->id = e->cookie;
	u->lun = e->lun;
	u->nexus = e->sess->nexus;
	mailbox_post(th->main_box, &u->mail);
}

void
thread_session_busy(struct thread *th, const struct session *s, const uint64_t *lun, size_t n)
{
	struct up *u = mail_new(sizeof(*u) + n * sizeof(*lun));

	u->mail.run = th->up;
	u->kind = UP_SESSION_BUSY;
	u->th = th;
	u->id = s->id;
	u->n_busy = n;
	memcpy(u->busy, lun, n * sizeof(*lun));
	mailbox_post(th->main_box, &u->mail);
}

void
thread_session_over(struct thread *th, const struct session *s)
{
	struct up *u = up_new(th, UP_SESSION_OVER);

	u->id = s->id;
	u->nexus = s->nexus;
	mailbox_post(th->main_box, &u->mail);
}

void
thread_lane_released(struct thread *th, uint32_t lane)
{
	struct up *u = up_new(th, UP_LANE_RELEASED);

	u->lane = lane;
	mailbox_post(th->main_box, &u->mail);
}

void
thread_violation(struct thread *th, uint32_t lane, const char *what)
{
	struct up *u = up_new(th, UP_VIOLATION);

	u->lane = lane;
	snprintf(u->text, sizeof(u->text), "%s", what);
	mailbox_post(th->main_box, &u->mail);
}

/* ---- from the main thread ---------------------------------------------- */

struct down {
	struct mail mail;
	uint64_t id;
	uint32_t lane, epoch;
	int err;
	bool is_new;
	struct plane_config cfg;
};

static void
post(struct thread *th, void (*run)(void *, struct mail *), const struct down *what)
{
	struct down *d = mail_new(sizeof(*d));

	*d = *what;
	d->mail.run = run;
	mailbox_post(&th->box, &d->mail);
}

static struct session *
find_session(struct thread *th, uint64_t id)
{
	struct session *s;

	list_for_each(s, &th->sessions, link)
		if (s->id == id)
			return s;
	list_for_each(s, &th->ending, link)
		if (s->id == id)
			return s;
	return NULL;
}

static struct plane *
find_plane(struct thread *th, uint32_t lane)
{
	struct plane *p;

	list_for_each(p, &th->planes, link)
		if (p->id == lane)
			return p;
	return NULL;
}

struct offer_mail {
	struct mail mail;
	struct session_offer offer;
};

static void
run_add_session(void *owner, struct mail *m)
{
	struct thread *th = owner;
	struct offer_mail *om = container_of(m, struct offer_mail, mail);
	const struct session_offer *o = &om->offer;
	struct session *s = session_new(th, o->login.exp_cmd_sn, o->login.discovery);
	struct session gone = { .id = o->id, .nexus = o->nexus };

	if (s) {
		s->id = o->id;
		s->nexus = o->nexus;
		s->held = o->held;
		s->visible = o->visible;
		s->n_visible = o->n_visible;
		memcpy(s->target, o->login.target, sizeof(s->target));
		s->conn = tcp_conn_new(s, o->fd, &o->login);
	} else {
		close(o->fd);
		free(o->visible);
	}
	if (!s || !s->conn) {
		log_limited(LOG_LEVEL_ERR, "out of memory for a session: nexus=%u", o->nexus);
		if (s)
			session_free(s);
		thread_session_over(th, &gone);
	} else {
		s->conn->ops->start(s->conn);
		thread_ping_start(th);
	}
	free(om);
}

void
thread_add_session(struct thread *th, const struct session_offer *offer)
{
	struct offer_mail *om = mail_new(sizeof(*om));

	om->offer = *offer;
	om->mail.run = run_add_session;
	mailbox_post(&th->box, &om->mail);
}

static void
run_end_session(void *owner, struct mail *m)
{
	struct down *d = container_of(m, struct down, mail);
	struct session *s = find_session(owner, d->id);

	if (s)
		session_lost(s);
	free(d);
}

void
thread_end_session(struct thread *th, uint64_t id)
{
	post(th, run_end_session, &(struct down){ .id = id });
}

struct luns_mail {
	struct mail mail;
	uint64_t id;
	size_t n;
	uint64_t lun[];
};

static void
run_go_session(void *owner, struct mail *m)
{
	struct luns_mail *lm = container_of(m, struct luns_mail, mail);
	struct session *s = find_session(owner, lm->id);

	if (s)
		session_go(s, lm->lun, lm->n);
	free(lm);
}

void
thread_go_session(struct thread *th, uint64_t id, const uint64_t *lun, size_t n)
{
	struct luns_mail *lm = mail_new(sizeof(*lm) + n * sizeof(*lun));

	lm->mail.run = run_go_session;
	lm->id = id;
	lm->n = n;
	if (n)
		memcpy(lm->lun, lun, n * sizeof(*lun));
	mailbox_post(&th->box, &lm->mail);
}

static struct lun_entry *
find_opening(struct thread *th, uint64_t cookie)
{
	struct lun_entry *e;

	list_for_each(e, &th->opening, open_link)
		if (e->cookie == cookie)
			return e;
	return NULL;
}

static void
run_lun_opened(void *owner, struct mail *m)
{
	struct thread *th = owner;
	struct down *d = container_of(m, struct down, mail);
	struct lun_entry *e = find_opening(th, d->id);
	struct plane *p = NULL;

	if (d->is_new) {
		p = plane_open(th, &d->cfg);
		if (!p) {
			d->err = errno;
			log_limited(LOG_LEVEL_ERR, "lane cannot be used: lane=%u: %s", d->lane,
				    strerror(errno));
			thread_lane_released(th, d->lane);
		}
	} else if (!d->err) {
		p = find_plane(th, d->lane);
		if (!p) {
			log_limited(LOG_LEVEL_ERR, "LunOpened names a lane this thread has not: "
				    "lane=%u", d->lane);
			d->err = ENOENT;
		}
	}
	if (e)
		lunmap_opened(e, p && !p->revoked ? p : NULL, d->err);
	th->reap = th->again = true;
	free(d);
}

void
thread_lun_opened(struct thread *th, uint64_t cookie, int err, uint32_t lane,
		  const struct plane_config *cfg)
{
	struct down d = { .id = cookie, .err = err, .lane = lane, .is_new = cfg != NULL };

	if (cfg)
		d.cfg = *cfg;
	post(th, run_lun_opened, &d);
}

static void
run_epoch(void *owner, struct mail *m)
{
	struct down *d = container_of(m, struct down, mail);
	struct plane *p = find_plane(owner, d->lane);

	if (p)
		plane_epoch(p, d->epoch);
	free(d);
}

void
thread_epoch(struct thread *th, uint32_t lane, uint32_t epoch)
{
	post(th, run_epoch, &(struct down){ .lane = lane, .epoch = epoch });
}

static void
run_revoke(void *owner, struct mail *m)
{
	struct thread *th = owner;
	struct down *d = container_of(m, struct down, mail);
	struct plane *p = find_plane(th, d->lane);
	struct session *s;

	if (p) {
		list_for_each(s, &th->sessions, link)
			lunmap_forget(s, p);
		list_for_each(s, &th->ending, link)
			lunmap_forget(s, p);
		plane_revoke(p);
		th->reap = th->again = true;
	}
	free(d);
}

void
thread_revoke(struct thread *th, uint32_t lane)
{
	post(th, run_revoke, &(struct down){ .lane = lane });
}

struct invalidate_mail {
	struct mail mail;
	char target[ISCSI_NAME_MAX + 1];
	size_t n;
	uint64_t lun[];
};

static void
run_invalidate(void *owner, struct mail *m)
{
	struct thread *th = owner;
	struct invalidate_mail *im = container_of(m, struct invalidate_mail, mail);
	struct session *s;

	list_for_each(s, &th->sessions, link)
		if (!strcmp(s->target, im->target))
			lunmap_invalidate(s, im->lun, im->n);
	free(im);
}

void
thread_invalidate(struct thread *th, const char *target, const uint64_t *lun, size_t n)
{
	struct invalidate_mail *im = mail_new(sizeof(*im) + n * sizeof(*lun));

	snprintf(im->target, sizeof(im->target), "%s", target);
	im->n = n;
	if (n)
		memcpy(im->lun, lun, n * sizeof(*lun));
	im->mail.run = run_invalidate;
	mailbox_post(&th->box, &im->mail);
}
