/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * storaged/rdwr.c and null.c: what can and cannot be a store and what is said
 * about it; bytes go where they should on every path (inline, thread pool,
 * write-through); errors are told.  The three system calls are wrapped here,
 * so that a kernel that cannot, is interrupted, or moves less can be played.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "storaged/backends.h"
#include "tests/unit/tap.h"

/* ---- a kernel to order ------------------------------------------------- */

static _Atomic int flush_errno; /* fdatasync fails with it */
static _Atomic int flags_refused; /* these RWF_ flags: EOPNOTSUPP */
static _Atomic int interrupt; /* so many calls fail with EINTR */
static _Atomic int short_by; /* every call moves at most so many bytes */
static _Atomic int calls_nowait, calls_blocking, calls_dsync;
static _Atomic int dsync_errno; /* a write with RWF_DSYNC fails with it, once */

/* A write-back error that the kernel tells once: to the first of two syncs that
 * overlap, which returns last.  1: armed, 2: the first waits, 3: and may go. */
static _Atomic int told_once;

/* 0, or the errno for this sync. */
static int
tell_once(void)
{
	int armed = 1, begun = 2;

	if (atomic_compare_exchange_strong(&told_once, &armed, 2)) {
		for (int i = 0; i < 2000 && told_once == 2; i++)
			usleep(1000);
		usleep(50000);
		return EIO;
	}
	atomic_compare_exchange_strong(&told_once, &begun, 3);
	return 0;
}

int
fdatasync(int fd)
{
	int err = flush_errno ? flush_errno : tell_once();

	if (err) {
		errno = err;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

static ssize_t
vector(long nr, int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	struct iovec one = iov[0];

	*(flags & RWF_NOWAIT ? &calls_nowait :
	  flags & RWF_DSYNC ? &calls_dsync : &calls_blocking) += 1;
	if (flags & flags_refused) {
		errno = EOPNOTSUPP;
		return -1;
	}
	if (flags & RWF_DSYNC) {
		int err = dsync_errno ? dsync_errno : tell_once();

		dsync_errno = 0;
		if (err) {
			errno = err;
			return -1;
		}
	}
	if (interrupt) {
		interrupt--;
		errno = EINTR;
		return -1;
	}
	if (short_by && one.iov_len > (size_t)short_by) {
		one.iov_len = (size_t)short_by;
		iov = &one;
		n = 1;
	}
	return syscall(nr, fd, iov, (long)n, (long)off, 0L, (long)flags);
}

ssize_t
preadv2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	return vector(SYS_preadv2, fd, iov, n, off, flags);
}

ssize_t
pwritev2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	return vector(SYS_pwritev2, fd, iov, n, off, flags);
}

/* ---- helpers ----------------------------------------------------------- */

static char dir[64], path[128];
static int n_done, n_failed, last_err;
static _Atomic uint64_t flush_failed; /* what the next incarnation is told */

static void
on_done(struct blk_req *r, int err)
{
	r->busy = false;
	n_done++;
	n_failed += err != 0;
	last_err = err;
}

static void
make_file(const char *at, off_t size)
{
	int fd = open(at, O_RDWR | O_CREAT | O_TRUNC, 0600);

	CHECK(fd >= 0 && !ftruncate(fd, size));
	close(fd);
}

static int
open_conf(struct backend_conf conf, const struct backend_type *type, struct backend **b,
	  struct backend_report *rep)
{
	memset(rep, 0, sizeof(*rep));
	*b = NULL;
	if (!conf.block_size)
		conf.block_size = 512;
	return type->open(&conf, b, rep);
}

static struct backend *
open_file(bool read_only)
{
	struct backend_report rep;
	struct backend *b;
	int rc = open_conf((struct backend_conf){ .path = path, .read_only = read_only,
						  .flush_failed = &flush_failed },
			   &backend_rdwr, &b, &rep);

	CHECK_MSG(!rc, "open: %d %s", rc, rep.text);
	return b;
}

static void
wait_for(struct backend *b, int want)
{
	while (n_done < want) {
		struct pollfd p = { .fd = b->type->event_fd(b), .events = POLLIN };

		if (poll(&p, 1, 10000) != 1)
			break;
		b->type->reap(b);
	}
	CHECK_EQ(n_done, want);
}

/* One request over two iovecs, the first of @split bytes, to its end. */
static int
io(struct backend *b, uint8_t op, uint8_t flags, uint64_t off, uint8_t *buf, uint64_t len,
   uint64_t split)
{
	struct blk_req r = { .op = op, .flags = flags, .off = off, .len = len,
			     .backend = b, .done = on_done, .busy = true };

	if (split) {
		r.iov[r.n_iov].iov_base = buf;
		r.iov[r.n_iov++].iov_len = split;
	}
	if (len > split) {
		r.iov[r.n_iov].iov_base = buf + split;
		r.iov[r.n_iov++].iov_len = len - split;
	}
	n_done = 0;
	b->type->submit(b, &r);
	if (!n_done)
		wait_for(b, 1);
	return last_err;
}

static void
fill(uint8_t *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)((seed = seed * 1103515245 + 12345) >> 16);
}

/* ---- opening ----------------------------------------------------------- */

static void
expect_refusal(const char *at, int err, bool permanent, const char *says)
{
	struct backend_report rep;
	struct backend *b;
	int rc = open_conf((struct backend_conf){ .path = at }, &backend_rdwr, &b, &rep);

	CHECK_MSG(rc == err, "%s: %d, expected %d", at, rc, err);
	CHECK_MSG(strstr(rep.text, says) && strstr(rep.text, at), "%s: \"%s\"", at, rep.text);
	CHECK_EQ(rep.permanent, permanent);
}

static void
test_refused(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char at[160];
	int s;

	snprintf(at, sizeof(at), "%s/missing", dir);
	expect_refusal(at, -ENOENT, false, "does not exist; create it");
	snprintf(at, sizeof(at), "%s/empty", dir);
	make_file(at, 0);
	expect_refusal(at, -EINVAL, true, "is empty");
	make_file(at, 511);
	expect_refusal(at, -EINVAL, true, "smaller than one block");
	unlink(at);
	expect_refusal(dir, -EINVAL, true, "is a directory");
	expect_refusal("/dev/null", -EINVAL, true, "is a character device");
	snprintf(at, sizeof(at), "%s/fifo", dir);
	CHECK(!mkfifo(at, 0600));
	expect_refusal(at, -EINVAL, true, "is a pipe");
	unlink(at);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/s", dir);
	s = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(!bind(s, (struct sockaddr *)&sa, sizeof(sa)));
	expect_refusal(sa.sun_path, -EINVAL, true, "is a socket");
	close(s);
	unlink(sa.sun_path);
	expect_refusal("/proc/self/fd/0", -ELOOP, false, "link inside /proc");
	if (geteuid()) {
		snprintf(at, sizeof(at), "%s/secret", dir);
		make_file(at, 4096);
		chmod(at, 0400);
		expect_refusal(at, -EACCES, false, "no permission");
		unlink(at);
	}
}

static void
test_sizes(void)
{
	static const struct {
		off_t file;
		uint64_t conf;
		uint32_t block;
		int rc;
		uint64_t usable;
		bool warns;
	} rows[] = {
		{ 1 << 20, 0, 512, 0, 1 << 20, false },
		{ (1 << 20) + 511, 0, 512, 0, 1 << 20, true },
		{ 4096 + 512, 0, 4096, 0, 4096, true },
		{ 1 << 20, 8192, 512, 0, 8192, false },
		{ 8192, 1 << 20, 512, -EINVAL, 0, true },
		{ 4095, 0, 4096, -EINVAL, 0, true },
		{ 1 << 20, 0, 1000, -EINVAL, 0, true },
		{ 1 << 20, 0, 8192, -EINVAL, 0, true },
		{ 1 << 20, 0, 256, -EINVAL, 0, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct backend_report rep;
		struct backend *b;
		int rc;

		make_file(path, rows[i].file);
		rc = open_conf((struct backend_conf){ .path = path, .size = rows[i].conf,
						      .block_size = rows[i].block },
			       &backend_rdwr, &b, &rep);
		CHECK_EQ(rc, rows[i].rc);
		CHECK_EQ(rep.text[0] != 0, rows[i].warns);
		if (rc)
			continue;
		CHECK_EQ(b->size, rows[i].usable);
		CHECK(b->ino && b->dev);
		b->type->close(b);
	}
}

static void
test_one_user(void)
{
	struct backend *rw, *ro, *other;
	struct backend_report rep;

	make_file(path, 65536);
	rw = open_file(false);
	CHECK_EQ(open_conf((struct backend_conf){ .path = path }, &backend_rdwr, &other, &rep),
		 -EBUSY);
	CHECK(strstr(rep.text, "is locked by another process (another LUN, QEMU?)"));
	CHECK(!rep.permanent);
	rw->type->close(rw);
	ro = open_file(true);
	other = open_file(true);
	CHECK_EQ(open_conf((struct backend_conf){ .path = path }, &backend_rdwr, &rw, &rep),
		 -EBUSY);
	ro->type->close(ro);
	other->type->close(other);
}

/* ---- moving bytes ------------------------------------------------------ */

static const struct {
	uint64_t off, len, split;
	uint8_t flags;
} spans[] = {
	{ 0, 4096, 0, 0 }, /* whole pages */
	{ 8192, 65536, 4096, 0 },
	{ 512, 512, 100, 0 }, /* parts of pages */
	{ 4096 * 30 + 512, 12288, 1, 0 },
	{ 512, 2 << 20, 1 << 20, 0 }, /* more than is copied in the loop's thread */
	{ 1024, 1024, 0, BLK_FUA },
	{ 65536, 65536, 512, BLK_FUA },
};

static void
round_trips(void)
{
	static uint8_t out[2 << 20], in[2 << 20];
	struct backend *b;

	make_file(path, 4 << 20);
	b = open_file(false);
	for (unsigned i = 0; i < ARRAY_SIZE(spans); i++) {
		fill(out, spans[i].len, i + 1);
		memset(in, 0xee, sizeof(in));
		CHECK_EQ(io(b, BLK_WRITE, spans[i].flags, spans[i].off, out, spans[i].len,
			    spans[i].split), 0);
		CHECK_EQ(io(b, BLK_FLUSH, 0, 0, NULL, 0, 0), 0);
		CHECK_EQ(io(b, BLK_READ, 0, spans[i].off, in, spans[i].len, spans[i].split), 0);
		CHECK_MEM(in, out, spans[i].len);
	}
	b->type->close(b);
}

static void
test_round_trips(void)
{
	round_trips();
}

static void
test_round_trips_on_lesser_kernels(void)
{
	static const struct {
		int refuse, eintr, short_by;
	} rows[] = {
		{ RWF_NOWAIT, 0, 0 }, { RWF_DSYNC, 0, 0 }, { RWF_NOWAIT | RWF_DSYNC, 0, 0 },
		{ 0, 50, 0 }, { 0, 0, 1000 }, { RWF_NOWAIT, 30, 999 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		flags_refused = rows[i].refuse;
		interrupt = rows[i].eintr;
		short_by = rows[i].short_by;
		round_trips();
		flags_refused = interrupt = short_by = 0;
	}
}

/* What the page cache has is read without a thread (design: inline). */
static void
test_cached_read_is_inline(void)
{
	static uint8_t buf[8192];
	struct backend *b;

	make_file(path, 1 << 20);
	b = open_file(false);
	CHECK_EQ(io(b, BLK_WRITE, 0, 0, buf, sizeof(buf), 0), 0);
	calls_nowait = calls_blocking = 0;
	CHECK_EQ(io(b, BLK_READ, 0, 0, buf, sizeof(buf), 0), 0);
	CHECK(calls_nowait + calls_blocking == 1);
	b->type->close(b);
}

static void
test_many_at_once(void)
{
	enum { N = 200, LEN = 1536 };
	static uint8_t out[N * LEN], in[N * LEN];
	static struct blk_req r[N];
	struct backend *b;

	make_file(path, N * LEN + 512);
	b = open_file(false);
	fill(out, sizeof(out), 9);
	for (int pass = 0; pass < 2; pass++) {
		n_done = 0;
		for (unsigned i = 0; i < N; i++) {
			memset(&r[i], 0, sizeof(r[i]));
			r[i].op = pass ? BLK_READ : BLK_WRITE;
			r[i].off = 512 + (uint64_t)i * LEN;
			r[i].len = LEN;
			r[i].n_iov = 1;
			r[i].iov[0].iov_base = (pass ? in : out) + i * LEN;
			r[i].iov[0].iov_len = LEN;
			r[i].backend = b;
			r[i].done = on_done;
			b->type->submit(b, &r[i]);
		}
		wait_for(b, N);
	}
	CHECK_MEM(in, out, sizeof(out));
	b->type->close(b);
}

/* ---- failures ---------------------------------------------------------- */

static void
test_file_shrinks(void)
{
	static uint8_t buf[16384];
	struct backend *b;

	make_file(path, 65536);
	b = open_file(false);
	CHECK(!truncate(path, 6000));
	CHECK_EQ(io(b, BLK_READ, 0, 0, buf, 4096, 0), 0);
	CHECK_EQ(io(b, BLK_READ, 0, 4096, buf, 4096, 0), -EIO); /* a part of it */
	CHECK_EQ(io(b, BLK_READ, 0, 32768, buf, 4096, 0), -EIO);
	CHECK_EQ(io(b, BLK_READ, 0, 0, buf, sizeof(buf), 0), -EIO);
	flags_refused = RWF_NOWAIT;
	CHECK_EQ(io(b, BLK_READ, 0, 4096, buf, 4096, 0), -EIO);
	flags_refused = 0;
	b->type->close(b);
}

static void
test_flush_failure_is_latched(void)
{
	static uint8_t buf[4096];
	struct backend_report rep;
	struct backend *b;

	make_file(path, 65536);
	b = open_file(false);
	flush_errno = ENOSPC;
	CHECK_EQ(io(b, BLK_FLUSH, 0, 0, NULL, 0, 0), -ENOSPC);
	flush_errno = 0;
	CHECK_EQ(io(b, BLK_FLUSH, 0, 0, NULL, 0, 0), -ENOSPC);
	CHECK_EQ(io(b, BLK_WRITE, 0, 0, buf, sizeof(buf), 0), 0);
	b->type->close(b);
	b = open_file(false); /* a restart is no reason to forget it */
	CHECK_EQ(io(b, BLK_FLUSH, 0, 0, NULL, 0, 0), -ENOSPC);
	CHECK_EQ(io(b, BLK_WRITE, 0, 0, buf, sizeof(buf), 0), 0);
	b->type->close(b);
	flush_failed = UINT64_MAX; /* not an errno: failed all the same */
	CHECK_EQ(open_conf((struct backend_conf){ .path = path, .flush_failed = &flush_failed },
			   &backend_rdwr, &b, &rep), 0);
	CHECK(strstr(rep.text, "has failed"));
	CHECK_EQ(io(b, BLK_FLUSH, 0, 0, NULL, 0, 0), -EIO);
	b->type->close(b);
	flush_failed = 0;
	CHECK_EQ(open_conf((struct backend_conf){ .path = path }, &backend_rdwr, &b, &rep), 0);
	CHECK_EQ(io(b, BLK_FLUSH, 0, 0, NULL, 0, 0), 0);
	flags_refused = RWF_DSYNC;
	flush_errno = EIO;
	/* A write-through that could not be flushed has failed. */
	CHECK_EQ(io(b, BLK_WRITE, BLK_FUA, 512, buf, 512, 0),
		 strncmp(dir, "/dev/shm", 8) ? -EIO : 0);
	flags_refused = flush_errno = 0;
	b->type->close(b);
}

/* Two requests at once: how many of them failed. */
static int
two_at_once(struct backend *b, uint8_t op, uint8_t flags)
{
	static uint8_t buf[2][4096];
	struct blk_req r[2];

	n_done = n_failed = 0;
	memset(r, 0, sizeof(r));
	for (int i = 0; i < 2; i++) {
		r[i].op = i ? BLK_FLUSH : op;
		r[i].flags = i ? 0 : flags;
		r[i].backend = b;
		r[i].done = on_done;
		if (r[i].op == BLK_WRITE) {
			r[i].len = sizeof(buf[i]);
			r[i].n_iov = 1;
			r[i].iov[0].iov_base = buf[i];
			r[i].iov[0].iov_len = sizeof(buf[i]);
		}
		b->type->submit(b, &r[i]);
		if (!i)
			usleep(20000); /* it is the first in the kernel, too */
	}
	wait_for(b, 2);
	return n_failed;
}

/* Of two syncs that overlap the kernel tells only one that pages are lost. */
static void
test_overlapping_syncs_fail_together(void)
{
	struct backend *b;

	if (!strncmp(dir, "/dev/shm", 8))
		return; /* one thread */
	make_file(path, 65536);
	for (int i = 0; i < 2; i++) {
		flush_failed = 0;
		b = open_file(false);
		told_once = 1;
		CHECK_EQ(two_at_once(b, i ? BLK_WRITE : BLK_FLUSH, i ? BLK_FUA : 0), 2);
		CHECK_EQ(told_once, 3);
		told_once = 0;
		CHECK_EQ(flush_failed, EIO);
		b->type->close(b);
	}
	flush_failed = 0;
}

/* ENOSPC of a write-through: of the write itself, or told by its sync. */
static void
test_write_through_out_of_space(void)
{
	static uint8_t buf[4096];
	struct rlimit old, low = { 8192, 8192 };
	struct backend *b;

	if (!strncmp(dir, "/dev/shm", 8))
		return; /* writes, and no sync */
	make_file(path, 65536);
	b = open_file(false);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	low.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_FSIZE, &low);
	CHECK_EQ(io(b, BLK_WRITE, BLK_FUA, 16384, buf, sizeof(buf), 0), -EFBIG);
	dsync_errno = ENOSPC;
	CHECK_EQ(io(b, BLK_WRITE, BLK_FUA, 16384, buf, sizeof(buf), 0), -ENOSPC);
	setrlimit(RLIMIT_FSIZE, &old);
	CHECK_EQ(io(b, BLK_FLUSH, 0, 0, NULL, 0, 0), 0); /* nothing was lost */
	dsync_errno = ENOSPC;
	CHECK_EQ(io(b, BLK_WRITE, BLK_FUA, 16384, buf, sizeof(buf), 0), -ENOSPC);
	CHECK_EQ(io(b, BLK_FLUSH, 0, 0, NULL, 0, 0), -ENOSPC);
	b->type->close(b);
	flush_failed = 0;
}

static void
test_write_beyond_the_limit(void)
{
	static uint8_t buf[4096];
	struct rlimit old, low = { 8192, 8192 };
	struct backend *b;

	signal(SIGXFSZ, SIG_IGN);
	make_file(path, 65536);
	b = open_file(false);
	getrlimit(RLIMIT_FSIZE, &old);
	low.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_FSIZE, &low);
	CHECK_EQ(io(b, BLK_WRITE, 0, 16384, buf, sizeof(buf), 0), -EFBIG);
	CHECK_EQ(io(b, BLK_WRITE, 0, 512, buf, 512, 0), 0);
	CHECK_EQ(io(b, BLK_WRITE, 0, 16384 + 512, buf, 512, 0), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &old);
	b->type->close(b);
}

static void
test_null(void)
{
	static uint8_t buf[8192];
	struct backend_report rep;
	struct backend *b;
	char names[64];

	CHECK_EQ(open_conf((struct backend_conf){ 0 }, &backend_null, &b, &rep), -EINVAL);
	CHECK(strstr(rep.text, "needs a size"));
	CHECK_EQ(open_conf((struct backend_conf){ .size = 1 << 20 }, &backend_null, &b, &rep), 0);
	CHECK_EQ(b->size, 1 << 20);
	fill(buf, sizeof(buf), 1);
	CHECK_EQ(io(b, BLK_WRITE, 0, 0, buf, sizeof(buf), 512), 0);
	CHECK_EQ(io(b, BLK_READ, 0, 0, buf, sizeof(buf), 512), 0);
	for (size_t i = 0; i < sizeof(buf); i++)
		if (buf[i]) {
			CHECK_EQ(buf[i], 0); /* never old memory */
			break;
		}
	CHECK_EQ(io(b, BLK_FLUSH, 0, 0, NULL, 0, 0), 0);
	b->type->close(b);
	CHECK(backend_find("null") == &backend_null);
	CHECK(backend_find("rdwr") == &backend_rdwr);
	CHECK(backend_find("floppy") == NULL);
	CHECK_STR(backend_names(names, sizeof(names)), "null, rdwr");
}

/* Both kinds of file system matter: on tmpfs everything is inline. */
static void
in_dir(const char *parent)
{
	snprintf(dir, sizeof(dir), "%s/tgt-rdwr-XXXXXX", parent);
	if (!mkdtemp(dir)) {
		CHECK_MSG(0, "no directory in %s", parent);
		return;
	}
	printf("# in %s\n", dir);
	snprintf(path, sizeof(path), "%s/store", dir);
	TEST(test_refused);
	TEST(test_sizes);
	TEST(test_one_user);
	TEST(test_round_trips);
	TEST(test_round_trips_on_lesser_kernels);
	TEST(test_cached_read_is_inline);
	TEST(test_many_at_once);
	TEST(test_file_shrinks);
	TEST(test_flush_failure_is_latched);
	TEST(test_overlapping_syncs_fail_together);
	TEST(test_write_through_out_of_space);
	TEST(test_write_beyond_the_limit);
	unlink(path);
	rmdir(dir);
}

int
main(void)
{
	const char *tmp = getenv("TMPDIR");

	in_dir(tmp ? tmp : "/tmp");
	in_dir("/dev/shm");
	TEST(test_null);
	return tap_done();
}
