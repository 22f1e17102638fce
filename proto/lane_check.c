/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The border of a lane: one copy of a request out of the peer's memory, and
 * the one check of that copy.  Pure.  Nothing after this may look at the
 * peer's bytes again, and nothing before it may act on them.
 */
#include <errno.h>
#include <string.h>

#include "proto/lane.h"
#include "proto/lane_ring.h"
#include "proto/util.h"

enum { CDB_MIN = 6 }; /* SPC-4 4.2.2.2: the shortest CDB */
enum { ATTR_MAX = 4 }; /* RFC 7143 11.3.1: ACA */

/*
 * What was copied stays copied: the compiler may not go back to the source for
 * a value that the copy already holds.
 */
static inline void
copied(void)
{
	atomic_signal_fence(memory_order_acq_rel);
}

void
lane_req_copy(struct lane_req *dst, const struct lane_req *src)
{
	memset(dst, 0, sizeof(*dst));
	memcpy(dst, src, offsetof(struct lane_req, out));
	copied();
	if (dst->n_out <= LANE_EXT_MAX)
		memcpy(dst->out, src->out, dst->n_out * sizeof(dst->out[0]));
	if (dst->n_in <= LANE_EXT_MAX)
		memcpy(dst->in, src->in, dst->n_in * sizeof(dst->in[0]));
	if (dst->kind == LANE_BLK) {
		memcpy(&dst->u.blk, &src->u.blk, sizeof(dst->u.blk));
	} else {
		memcpy(&dst->u.scsi, &src->u.scsi, offsetof(struct lane_scsi, cdb));
		copied();
		if (dst->u.scsi.cdb_len <= LANE_CDB_MAX)
			memcpy(dst->u.scsi.cdb, src->u.scsi.cdb, dst->u.scsi.cdb_len);
	}
	copied();
}

static const struct lane_pool_info *
find_pool(const struct lane_limits *lim, uint32_t id)
{
	for (uint32_t i = 0; i < lim->n_pools; i++) {
		if (lim->pools[i].id == id)
			return &lim->pools[i];
	}
	return NULL;
}

/* The extents of one direction: 0 and their sum, or -EPROTO. */
static int
check_extents(const struct lane_limits *lim, const struct lane_ext *ext, unsigned n,
	      uint64_t *sum)
{
	*sum = 0;
	if (n > LANE_EXT_MAX)
		return -EPROTO;
	for (unsigned i = 0; i < n; i++) {
		const struct lane_pool_info *pool = find_pool(lim, ext[i].pool);

		if (!pool || !ext[i].len || ext[i].off > pool->size ||
		    ext[i].len > pool->size - ext[i].off)
			return -EPROTO;
		*sum += ext[i].len; /* four times 32 bits cannot overflow */
	}
	return 0;
}

/* A request of one kind; @out and @in are the sums of its extents. */
typedef int check_fn(const struct lane_limits *lim, const struct lane_req *req, uint64_t out,
		     uint64_t in);

static int
check_scsi(const struct lane_limits *lim, const struct lane_req *req, uint64_t out, uint64_t in)
{
	const struct lane_scsi *c = &req->u.scsi;

	if (c->cdb_len < CDB_MIN || c->cdb_len > LANE_CDB_MAX || c->attr > ATTR_MAX)
		return -EPROTO;
	return c->out_ready <= out ? 0 : -EPROTO;
}

static int
check_tmf(const struct lane_limits *lim, const struct lane_req *req, uint64_t out, uint64_t in)
{
	return req->n_out || req->n_in ? -EPROTO : 0;
}

static int
check_range(const struct lane_limits *lim, const struct lane_blk *b)
{
	return b->off > lim->store_size || b->len > lim->store_size - b->off ? -ERANGE : 0;
}

static int
check_read(const struct lane_limits *lim, const struct lane_req *req, uint64_t out, uint64_t in)
{
	const struct lane_blk *b = &req->u.blk;

	if (req->n_out || (b->flags & ~BLK_FUA) || !b->len || b->len != in)
		return -EPROTO;
	return check_range(lim, b);
}

static int
check_write(const struct lane_limits *lim, const struct lane_req *req, uint64_t out, uint64_t in)
{
	const struct lane_blk *b = &req->u.blk;

	if (req->n_in || (b->flags & ~BLK_FUA) || !b->len || b->len != out)
		return -EPROTO;
	if (lim->read_only)
		return -EROFS;
	return check_range(lim, b);
}

static int
check_flush(const struct lane_limits *lim, const struct lane_req *req, uint64_t out, uint64_t in)
{
	const struct lane_blk *b = &req->u.blk;

	if (req->n_out || req->n_in || b->flags)
		return -EPROTO;
	return check_range(lim, b);
}

static check_fn *const blk_checks[BLK_OP_COUNT] = {
	[BLK_READ] = check_read,
	[BLK_WRITE] = check_write,
	[BLK_FLUSH] = check_flush,
};

static int
check_blk(const struct lane_limits *lim, const struct lane_req *req, uint64_t out, uint64_t in)
{
	const struct lane_blk *b = &req->u.blk;

	if (b->op >= BLK_OP_COUNT || !blk_checks[b->op] || b->reserved || b->reserved2)
		return -EPROTO;
	return blk_checks[b->op](lim, req, out, in);
}

static check_fn *const kind_checks[] = {
	[LANE_SCSI] = check_scsi,
	[LANE_TMF] = check_tmf,
	[LANE_BLK] = check_blk,
};

int
lane_req_check(const struct lane_limits *lim, const struct lane_req *req)
{
	uint64_t out, in;

	if (req->kind >= ARRAY_SIZE(kind_checks) || !kind_checks[req->kind] ||
	    !(lim->kinds & 1u << req->kind) || req->reserved)
		return -EPROTO;
	if (check_extents(lim, req->out, req->n_out, &out) ||
	    check_extents(lim, req->in, req->n_in, &in))
		return -EPROTO;
	return kind_checks[req->kind](lim, req, out, in);
}
