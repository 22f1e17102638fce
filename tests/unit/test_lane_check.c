/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The border of a lane: one row a rule, each a good request with one thing wrong. */
#include <errno.h>

#include "proto/lane_ring.h"
#include "proto/util.h"
#include "tap.h"

static const struct lane_pool_info pools[] = { { 0, 65536 }, { 9, 1 << 20 } };

static const struct lane_limits upper = {
	.pools = pools, .n_pools = 2, .kinds = 1u << LANE_SCSI | 1u << LANE_TMF,
};
static const struct lane_limits lower = {
	.pools = pools, .n_pools = 2, .kinds = 1u << LANE_BLK, .store_size = 1 << 20,
};
static const struct lane_limits lower_ro = {
	.pools = pools, .n_pools = 2, .kinds = 1u << LANE_BLK, .store_size = 1 << 20,
	.read_only = true,
};

static struct lane_req
scsi(void)
{
	return (struct lane_req){
		.kind = LANE_SCSI, .n_out = 1, .n_in = 2,
		.out = { { 9, 4096, 0 } },
		.in = { { 9, 4096, 8192 }, { 0, 512, 65536 - 512 } },
		.u.scsi = { .cdb_len = 16, .attr = 0, .edtl_out = 4096, .out_ready = 4096 },
	};
}

static struct lane_req
blk(uint8_t op)
{
	struct lane_req r = { .kind = LANE_BLK, .u.blk = { .op = op, .off = 4096, .len = 8192 } };
	struct lane_ext *e = op == BLK_READ ? r.in : r.out;

	if (op == BLK_READ)
		r.n_in = 2;
	if (op == BLK_WRITE)
		r.n_out = 2;
	if (op != BLK_FLUSH) {
		e[0] = (struct lane_ext){ 9, 4096, 0 };
		e[1] = (struct lane_ext){ 0, 4096, 4096 };
	}
	return r;
}

#define ROW(lim, base, change, want)                                           \
	do {                                                                   \
		struct lane_req r = base;                                      \
		int rc;                                                        \
		change;                                                        \
		rc = lane_req_check(&(lim), &r);                               \
		CHECK_MSG(rc == (want), "%s; %s: %d", #base, #change, rc);     \
	} while (0)

static void
test_any(void)
{
	ROW(upper, scsi(), , 0);
	ROW(upper, scsi(), r.kind = 0, -EPROTO);
	ROW(upper, scsi(), r.kind = LANE_BLK + 1, -EPROTO);
	ROW(upper, scsi(), r.kind = 255, -EPROTO);
	ROW(upper, scsi(), r.reserved = 1, -EPROTO);
	ROW(upper, blk(BLK_READ), , -EPROTO); /* kinds: a lane carries its own */
	ROW(lower, scsi(), , -EPROTO);
}

static void
test_extents(void)
{
	ROW(upper, scsi(), r.n_out = LANE_EXT_MAX + 1, -EPROTO);
	ROW(upper, scsi(), r.n_in = 255, -EPROTO);
	ROW(upper, scsi(), r.in[0].pool = 1, -EPROTO);
	ROW(upper, scsi(), r.out[0].pool = UINT32_MAX, -EPROTO);
	ROW(upper, scsi(), r.in[1].len = 0, -EPROTO);
	ROW(upper, scsi(), r.in[1].len = 513, -EPROTO);
	ROW(upper, scsi(), r.in[1].off = 65536, -EPROTO);
	ROW(upper, scsi(), r.in[1].off = 65537, -EPROTO);
	ROW(upper, scsi(), r.in[1].off = UINT64_MAX - 100, -EPROTO); /* would wrap */
	ROW(upper, scsi(), r.in[1].len = UINT32_MAX, -EPROTO);
	ROW(upper, scsi(), r.n_in = 0, 0);
	ROW(upper, scsi(), r.in[2].pool = 77, 0); /* beyond n_in: not named */
}

static void
test_scsi(void)
{
	ROW(upper, scsi(), r.u.scsi.cdb_len = 5, -EPROTO); /* SPC-4 4.2.2.2 */
	ROW(upper, scsi(), r.u.scsi.cdb_len = 6, 0);
	ROW(upper, scsi(), r.u.scsi.cdb_len = 260, 0); /* SPC-4 4.2.3 */
	ROW(upper, scsi(), r.u.scsi.cdb_len = 261, -EPROTO);
	ROW(upper, scsi(), r.u.scsi.attr = 4, 0); /* RFC 7143 11.3.1 */
	ROW(upper, scsi(), r.u.scsi.attr = 5, -EPROTO);
	ROW(upper, scsi(), r.u.scsi.out_ready = 4097, -EPROTO);
	ROW(upper, scsi(), (r.u.scsi.out_ready = 1, r.n_out = 0), -EPROTO);
}

static void
test_tmf(void)
{
	ROW(upper, ((struct lane_req){ .kind = LANE_TMF, .u.scsi.tmf = 1 }), , 0);
	ROW(upper, scsi(), (r.kind = LANE_TMF, r.n_in = 0), -EPROTO);
	ROW(upper, scsi(), (r.kind = LANE_TMF, r.n_out = 0), -EPROTO);
}

static void
test_blk(void)
{
	ROW(lower, blk(BLK_READ), , 0);
	ROW(lower, blk(BLK_WRITE), , 0);
	ROW(lower, blk(BLK_FLUSH), , 0);
	ROW(lower, blk(0), , -EPROTO);
	ROW(lower, blk(BLK_READ), r.u.blk.op = BLK_OP_COUNT, -EPROTO);
	ROW(lower, blk(BLK_READ), r.u.blk.op = 255, -EPROTO);
	ROW(lower, blk(BLK_READ), r.u.blk.reserved = 1, -EPROTO);
	ROW(lower, blk(BLK_READ), r.u.blk.reserved2 = 1, -EPROTO);
	ROW(lower, blk(BLK_READ), r.n_out = 1, -EPROTO);
	ROW(lower, blk(BLK_READ), (r.n_out = 1, r.out[0] = r.in[0]), -EPROTO);
	ROW(lower, blk(BLK_READ), r.u.blk.flags = BLK_FUA, 0);
	ROW(lower, blk(BLK_READ), r.u.blk.flags = BLK_FUA << 1, -EPROTO);
	ROW(lower, blk(BLK_READ), r.u.blk.len = 8191, -EPROTO); /* not the extents' sum */
	ROW(lower, blk(BLK_READ), (r.u.blk.len = 0, r.n_in = 0), -EPROTO);
	ROW(lower, blk(BLK_WRITE), r.u.blk.flags = BLK_FUA, 0);
	ROW(lower, blk(BLK_WRITE), r.u.blk.flags = 2, -EPROTO);
	ROW(lower, blk(BLK_WRITE), (r.n_in = 1, r.in[0] = r.out[0]), -EPROTO);
	ROW(lower, blk(BLK_WRITE), r.u.blk.len = 8193, -EPROTO);
	ROW(lower, blk(BLK_WRITE), (r.u.blk.len = 0, r.n_out = 0), -EPROTO);
	ROW(lower, blk(BLK_FLUSH), (r.n_in = 1, r.in[0] = (struct lane_ext){ 9, 1, 0 }), -EPROTO);
	ROW(lower, blk(BLK_FLUSH), (r.n_out = 1, r.out[0] = (struct lane_ext){ 9, 1, 0 }), -EPROTO);
	ROW(lower, blk(BLK_FLUSH), r.u.blk.flags = 1, -EPROTO);
	ROW(lower, blk(BLK_FLUSH), r.u.blk.len = 0, 0);
}

static void
test_store(void)
{
	ROW(lower, blk(BLK_READ), r.u.blk.off = (1 << 20) - 8192, 0);
	ROW(lower, blk(BLK_READ), r.u.blk.off = (1 << 20) - 8191, -ERANGE);
	ROW(lower, blk(BLK_READ), r.u.blk.off = (1 << 20) + 1, -ERANGE);
	ROW(lower, blk(BLK_WRITE), r.u.blk.off = UINT64_MAX - 4095, -ERANGE); /* would wrap */
	ROW(lower, blk(BLK_FLUSH), r.u.blk.len = UINT64_MAX, -ERANGE);
	ROW(lower_ro, blk(BLK_WRITE), , -EROFS);
	ROW(lower_ro, blk(BLK_WRITE), r.u.blk.len = 1, -EPROTO); /* a violation first */
	ROW(lower_ro, blk(BLK_READ), , 0);
	ROW(lower_ro, blk(BLK_FLUSH), , 0);
}

/* Only what the counts cover is copied, and the rest is zero. */
static void
test_copy(void)
{
	struct lane_req src, dst;

	memset(&src, 0xa5, sizeof(src)); /* every count is out of range */
	lane_req_copy(&dst, &src);
	CHECK_EQ(dst.n_out, 0xa5);
	CHECK_EQ(dst.out[0].len, 0);
	CHECK_EQ(dst.in[3].len, 0);
	CHECK_EQ(dst.u.scsi.cdb_len, 0xa5a5);
	CHECK_EQ(dst.u.scsi.cdb[0], 0);

	memset(&src, 0xa5, sizeof(src));
	src.kind = LANE_SCSI;
	src.n_out = 1;
	src.n_in = 4;
	src.u.scsi.cdb_len = 10;
	lane_req_copy(&dst, &src);
	CHECK_MEM(dst.out, src.out, sizeof(src.out[0]));
	CHECK_EQ(dst.out[1].len, 0);
	CHECK_MEM(dst.in, src.in, sizeof(src.in));
	CHECK_EQ(dst.u.scsi.cdb[9], 0xa5);
	CHECK_EQ(dst.u.scsi.cdb[10], 0);

	src = blk(BLK_WRITE);
	src.u.blk.tag = (struct lane_tag){ 1, 2, 3, 4, 5 };
	lane_req_copy(&dst, &src);
	CHECK_MEM(&dst, &src, sizeof(src));
}

int
main(void)
{
	TEST(test_any);
	TEST(test_extents);
	TEST(test_scsi);
	TEST(test_tmf);
	TEST(test_blk);
	TEST(test_store);
	TEST(test_copy);
	return tap_done();
}
