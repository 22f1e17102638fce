/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For the lane tests: a lane in plain memory, or in memfds mapped as the two
 * processes map them (each half writable for its owner alone).
 */
#ifndef TESTS_LANE_RIG_H
#define TESTS_LANE_RIG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "proto/lane.h"
#include "proto/lane_ring.h"
#include "proto/shm.h"

struct lane_rig {
	uint32_t nslots;
	size_t sub_size, status_size;
	int bell_srv, bell_sub; /* wake the server, wake the submitter */
	struct lane_maps sub; /* the submitter's view */
	struct lane_maps srv;
};

/* One mapping for both ends: what ThreadSanitizer can judge. */
static inline void
rig_plain(struct lane_rig *r, uint32_t nslots)
{
	memset(r, 0, sizeof(*r));
	r->nslots = nslots;
	r->sub_size = lane_sub_size(nslots);
	r->status_size = lane_status_size(nslots);
	r->bell_srv = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r->bell_sub = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r->sub.sub = aligned_alloc(64, r->sub_size);
	r->sub.status = aligned_alloc(64, r->status_size);
	if (!r->sub.sub || !r->sub.status || r->bell_srv < 0 || r->bell_sub < 0)
		abort();
	memset(r->sub.sub, 0, r->sub_size);
	memset(r->sub.status, 0, r->status_size);
	r->sub.nslots = nslots;
	r->srv = r->sub;
	r->sub.bell_out = r->bell_srv;
	r->srv.bell_out = r->bell_sub;
}

static inline void
rig_plain_done(struct lane_rig *r)
{
	free(r->sub.sub);
	free(r->sub.status);
	close(r->bell_srv);
	close(r->bell_sub);
}

/* Two mappings with the permissions of the two processes. */
static inline void
rig_shared(struct lane_rig *r, uint32_t nslots)
{
	int fd[2], ro[2];

	memset(r, 0, sizeof(*r));
	r->nslots = nslots;
	r->sub_size = lane_sub_size(nslots);
	r->status_size = lane_status_size(nslots);
	r->bell_srv = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r->bell_sub = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	fd[0] = shm_create("submission", r->sub_size);
	fd[1] = shm_create("status", r->status_size);
	ro[0] = shm_reopen_ro(fd[0]);
	ro[1] = shm_reopen_ro(fd[1]);
	r->sub.nslots = r->srv.nslots = nslots;
	r->sub.sub = shm_map(fd[0], r->sub_size, true);
	r->sub.status = shm_map(ro[1], r->status_size, false);
	r->srv.sub = shm_map(ro[0], r->sub_size, false);
	r->srv.status = shm_map(fd[1], r->status_size, true);
	r->sub.bell_out = r->bell_srv;
	r->srv.bell_out = r->bell_sub;
	if (!r->sub.sub || !r->sub.status || !r->srv.sub || !r->srv.status) {
		perror("lane rig");
		abort();
	}
	for (int i = 0; i < 2; i++) {
		close(fd[i]);
		close(ro[i]);
	}
}

static inline void
rig_shared_done(struct lane_rig *r)
{
	shm_unmap(r->sub.sub, r->sub_size);
	shm_unmap(r->sub.status, r->status_size);
	shm_unmap(r->srv.sub, r->sub_size);
	shm_unmap(r->srv.status, r->status_size);
	close(r->bell_srv);
	close(r->bell_sub);
}

static inline struct lane_half *
rig_sub_half(struct lane_rig *r)
{
	return r->sub.sub;
}

static inline struct lane_half *
rig_status_half(struct lane_rig *r)
{
	return r->srv.status;
}

static inline struct lane_sub_slot *
rig_sub_slot(struct lane_rig *r, uint16_t slot)
{
	return (struct lane_sub_slot *)lane_slots(r->sub.sub, r->nslots) + slot;
}

static inline struct lane_status_slot *
rig_status_slot(struct lane_rig *r, uint16_t slot)
{
	return (struct lane_status_slot *)lane_slots(r->srv.status, r->nslots) + slot;
}

/* How often a bell was rung since the last look. */
static inline uint64_t
rig_bell(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

#endif
