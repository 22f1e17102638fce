/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files and block devices through the page cache: at once where the cache
 * answers, on a thread where the call could block.  Must not duplicate its
 * descriptor (it carries the fence), check ranges (serve.c does), or answer a
 * flush better than the kernel did.
 *
 * A flush that failed is latched: the kernel drops dirty pages whose write
 * failed and reports that once, so a later "success" would be a lie.  Every
 * following flush and write-through fails, also after a crash of storaged
 * (backend_conf.flush_failed), until the LUN's lane has new memory.
 *
 * Nothing has to be flushed when a dead storaged is replaced: what it wrote is
 * in the page cache, and a write-back error that nobody was told of is told to
 * a description that is opened later, too (Linux 4.17).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "proto/log.h"
#include "storaged/backends.h"
#include "storaged/fence.h"

enum {
	INLINE_MAX = 1 << 20, /* bytes copied in the loop's thread at most */
	BUSY_POLL_MS = 4,
	MAX_ERRNO = 4096,
};

enum know { UNKNOWN = 0, YES, NO }; /* what the store's driver supports */

struct rdwr {
	struct backend b;
	int fd;
	bool memory; /* tmpfs: nothing blocks, nothing to flush */
	uint64_t page;
	enum know nowait_read, nowait_write; /* loop's thread only */
	_Atomic int dsync; /* enum know */
	struct threads *threads;
	_Atomic uint64_t *flush_failed; /* the latch: 0 or an errno */
	_Atomic uint64_t not_kept; /* the latch if backend_conf has none */
	pthread_mutex_t lock; /* of the next three */
	pthread_cond_t sync_ended;
	struct list syncs; /* under way, oldest first */
	uint64_t n_syncs;
	char path[256]; /* for log lines */
};

/* An fdatasync or a write with RWF_DSYNC that is under way. */
struct sync {
	struct list link;
	uint64_t no;
};

typedef ssize_t vector_fn(int fd, const struct iovec *iov, int n, off_t off, int flags);

/* Drops the first @n bytes of what is left to do. */
static void
advance(struct blk_req *r, uint64_t n)
{
	unsigned i = 0;

	r->moved += n;
	while (i < r->n_iov && n >= r->iov[i].iov_len)
		n -= r->iov[i++].iov_len;
	if (i) {
		r->n_iov = (uint8_t)(r->n_iov - i);
		memmove(r->iov, r->iov + i, r->n_iov * sizeof(r->iov[0]));
	}
	if (r->n_iov && n) {
		r->iov[0].iov_base = (uint8_t *)r->iov[0].iov_base + n;
		r->iov[0].iov_len -= n;
	}
}

/* One call; retries EINTR.  1: all is moved; 0: some, or none yet; -errno. */
static int
move_once(const struct rdwr *d, struct blk_req *r, vector_fn *fn, int flags)
{
	ssize_t n;

	do
		n = fn(d->fd, r->iov, r->n_iov, (off_t)(r->off + r->moved), flags);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	advance(r, (uint64_t)n);
	if (r->moved == r->len)
		return 1;
	/* Nothing moved by a call that may wait: the end of the file came
	 * nearer under us.  Never an answer with the pool's old bytes. */
	return n || (flags & RWF_NOWAIT) ? 0 : -EIO;
}

static int
move_all(const struct rdwr *d, struct blk_req *r, vector_fn *fn, int flags)
{
	int rc;

	do
		rc = r->moved == r->len ? 1 : move_once(d, r, fn, flags);
	while (!rc);
	return rc < 0 ? rc : 0;
}

/* ---- what may block ---------------------------------------------------- */

static int
latched(const struct rdwr *d)
{
	uint64_t err = atomic_load(d->flush_failed);

	if (!err)
		return 0;
	return err < MAX_ERRNO ? -(int)err : -EIO; /* a dead incarnation wrote it */
}

static void
sync_begin(struct rdwr *d, struct sync *s)
{
	pthread_mutex_lock(&d->lock);
	s->no = ++d->n_syncs;
	list_add_tail(&d->syncs, &s->link);
	pthread_mutex_unlock(&d->lock);
}

/*
 * Latches what the kernel told this sync (@err, 0 for nothing).  It tells a
 * lost page to one sync of a description only, so another one that overlapped
 * may have been told of ours: success waits for those that had begun.  0 or
 * what is latched.
 */
static int
sync_end(struct rdwr *d, struct sync *s, int err)
{
	const struct sync *oldest;
	uint64_t last;

	pthread_mutex_lock(&d->lock);
	if (err && !latched(d))
		atomic_store(d->flush_failed, (uint64_t)-err);
	list_del(&s->link);
	pthread_cond_broadcast(&d->sync_ended);
	last = d->n_syncs;
	while (!(err = latched(d)) && (oldest = list_first(&d->syncs, struct sync, link)) &&
	       oldest->no <= last)
		pthread_cond_wait(&d->sync_ended, &d->lock);
	pthread_mutex_unlock(&d->lock);
	return err;
}

static int
flush(struct rdwr *d)
{
	int err = latched(d);
	struct sync s;

	if (err)
		return err;
	sync_begin(d, &s);
	do
		err = fdatasync(d->fd) ? -errno : 0;
	while (err == -EINTR);
	return sync_end(d, &s, err);
}

static void
read_job(struct thread_job *j)
{
	struct blk_req *r = container_of(j, struct blk_req, job);

	r->err = move_all(container_of(r->backend, struct rdwr, b), r, preadv2, 0);
}

static void
write_job(struct thread_job *j)
{
	struct blk_req *r = container_of(j, struct blk_req, job);

	r->err = move_all(container_of(r->backend, struct rdwr, b), r, pwritev2, 0);
}

/* A write with RWF_DSYNC.  Its error is latched if it is the sync's, which can
 * be about anybody's pages.  It is the write's own (ENOSPC, EFBIG) if not a byte
 * can be written without the sync either. */
static int
write_dsync(struct rdwr *d, struct blk_req *r)
{
	struct sync s;
	int err, told;

	sync_begin(d, &s);
	err = told = move_all(d, r, pwritev2, RWF_DSYNC);
	if (err == -EOPNOTSUPP || (err && err != -EIO && move_once(d, r, pwritev2, 0) < 0))
		told = 0;
	told = sync_end(d, &s, told);
	return err ? err : told;
}

/* Write-through: RWF_DSYNC where the store knows it, else write and flush. */
static void
write_through_job(struct thread_job *j)
{
	struct blk_req *r = container_of(j, struct blk_req, job);
	struct rdwr *d = container_of(r->backend, struct rdwr, b);

	r->err = latched(d);
	if (r->err)
		return;
	if (atomic_load(&d->dsync) != NO) {
		r->err = write_dsync(d, r);
		if (r->err != -EOPNOTSUPP)
			return;
		atomic_store(&d->dsync, NO);
	}
	r->err = move_all(d, r, pwritev2, 0);
	if (!r->err)
		r->err = flush(d);
}

static void
flush_job(struct thread_job *j)
{
	struct blk_req *r = container_of(j, struct blk_req, job);

	r->err = flush(container_of(r->backend, struct rdwr, b));
}

/* ---- the loop's side --------------------------------------------------- */

static void
done(const struct rdwr *d, struct blk_req *r, int err)
{
	static const char *const names[BLK_OP_COUNT] = {
		[BLK_READ] = "read", [BLK_WRITE] = "write", [BLK_FLUSH] = "flush",
	};

	if (err && err != -ECANCELED)
		log_limited(LOG_LEVEL_ERR, "op=%s off=%" PRIu64 " len=%" PRIu64 " of %s: %s",
			    names[r->op], r->off, r->len, d->path, strerror(-err));
	blk_done(r, err);
}

static void
later(struct rdwr *d, struct blk_req *r, void (*job)(struct thread_job *j))
{
	r->job.run = job;
	threads_submit(d->threads, &r->job);
}

/*
 * Tries not to block.  1: done; 0: the rest has to wait, or this store or
 * kernel cannot say; -errno.
 */
static int
try_nowait(const struct rdwr *d, struct blk_req *r, vector_fn *fn, enum know *can)
{
	int rc;

	if (*can == NO)
		return 0;
	rc = move_once(d, r, fn, RWF_NOWAIT);
	if (rc == -EOPNOTSUPP || rc == -ENOSYS)
		*can = NO;
	else if (rc >= 0)
		*can = YES;
	return rc == -EAGAIN || *can == NO ? 0 : rc;
}

static void
submit_read(struct rdwr *d, struct blk_req *r)
{
	int rc;

	if (d->memory) {
		done(d, r, move_all(d, r, preadv2, 0));
		return;
	}
	rc = r->len <= INLINE_MAX ? try_nowait(d, r, preadv2, &d->nowait_read) : 0;
	if (rc)
		done(d, r, rc < 0 ? rc : 0);
	else
		later(d, r, read_job);
}

/* A write of whole pages into the page cache reads nothing first, so it does
 * not wait for the device but where the kernel throttles a writer. */
static void
submit_write(struct rdwr *d, struct blk_req *r)
{
	int rc;

	if (d->memory) {
		done(d, r, move_all(d, r, pwritev2, 0));
		return;
	}
	if (r->flags & BLK_FUA) {
		later(d, r, write_through_job);
		return;
	}
	if (r->len > INLINE_MAX) {
		later(d, r, write_job);
		return;
	}
	rc = try_nowait(d, r, pwritev2, &d->nowait_write);
	if (rc)
		done(d, r, rc < 0 ? rc : 0);
	else if (d->nowait_write == NO && !(r->off % d->page) && !(r->len % d->page))
		done(d, r, move_all(d, r, pwritev2, 0));
	else
		later(d, r, write_job);
}

static void
submit_flush(struct rdwr *d, struct blk_req *r)
{
	if (d->memory)
		done(d, r, flush(d));
	else
		later(d, r, flush_job);
}

static void (*const submit_op[BLK_OP_COUNT])(struct rdwr *d, struct blk_req *r) = {
	[BLK_READ] = submit_read,
	[BLK_WRITE] = submit_write,
	[BLK_FLUSH] = submit_flush,
};

static void
rdwr_submit(struct backend *b, struct blk_req *r)
{
	submit_op[r->op](container_of(b, struct rdwr, b), r);
}

static void
rdwr_cancel(struct backend *b, struct blk_req *r)
{
	struct rdwr *d = container_of(b, struct rdwr, b);

	if (threads_cancel(d->threads, &r->job))
		blk_done(r, -ECANCELED);
}

static int
rdwr_event_fd(struct backend *b)
{
	return threads_fd(container_of(b, struct rdwr, b)->threads);
}

static unsigned
rdwr_reap(struct backend *b)
{
	struct rdwr *d = container_of(b, struct rdwr, b);
	struct list finished = LIST_INIT(finished);
	struct thread_job *j;
	unsigned n = 0;

	threads_reap(d->threads, &finished);
	while ((j = list_first(&finished, struct thread_job, link))) {
		struct blk_req *r = container_of(j, struct blk_req, job);

		list_del(&j->link);
		done(d, r, r->err);
		n++;
	}
	return n;
}

/* ---- opening ----------------------------------------------------------- */

#define SAY(rep, ...) snprintf((rep)->text, sizeof((rep)->text), __VA_ARGS__)

/* Symbolic links are the operator's (/dev/disk/by-id), but not those of /proc
 * that lead to somebody's descriptor. */
static int
open_path(const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
		.resolve = RESOLVE_NO_MAGICLINKS,
	};
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	if (fd < 0 && errno == ENOSYS)
		fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int
say_open_error(int err, const struct backend_conf *conf, struct backend_report *rep)
{
	const struct {
		int err;
		const char *text;
	} hints[] = {
		{ ENOENT, "does not exist; create it (truncate -s 1G FILE) or correct the path" },
		{ ENOTDIR, "does not exist: a part of the path is no directory" },
		{ EACCES, conf->read_only ? "cannot be read: no permission for tgt-storaged"
			: "cannot be opened for writing: no permission, or a read-only device; "
			  "change the owner or mode, or make the LUN read-only" },
		{ EPERM, "cannot be opened for writing: it is immutable or append-only" },
		{ EROFS, "is on a read-only file system; make the LUN read-only" },
		{ EBUSY, "is in use: mounted, part of a RAID or volume group, or another LUN's" },
		{ ETXTBSY, "is a program that runs, or swap space" },
		{ ELOOP, "cannot be opened: too many symbolic links, or a link inside /proc" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(hints); i++)
		if (hints[i].err == err) {
			SAY(rep, "%s %s", conf->path, hints[i].text);
			return -err;
		}
	SAY(rep, "%s cannot be opened: %s", conf->path, strerror(err));
	return -err;
}

/* Looks before it opens: opening a tape rewinds it, opening a pipe waits. */
static int
look(const struct backend_conf *conf, struct stat *st, struct backend_report *rep)
{
	static const struct {
		mode_t type;
		const char *is;
	} kinds[] = {
		{ S_IFDIR, "is a directory" }, { S_IFIFO, "is a pipe" },
		{ S_IFSOCK, "is a socket" }, { S_IFCHR, "is a character device" },
	};
	int fd = open_path(conf->path, O_PATH);

	if (fd < 0)
		return say_open_error(-fd, conf, rep);
	if (fstat(fd, st)) {
		int err = errno;

		close(fd);
		return say_open_error(err, conf, rep);
	}
	close(fd);
	if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if ((st->st_mode & S_IFMT) == kinds[i].type)
			SAY(rep, "%s %s; a store must be a regular file or a block device",
			    conf->path, kinds[i].is);
	rep->permanent = true;
	return -EINVAL;
}

/* A dead storaged's claim on a block device ends with its last write, as its
 * lock does, so both are waited for. */
static int
open_store(const struct backend_conf *conf, bool block, unsigned *left_ms)
{
	int flags = conf->read_only ? O_RDONLY : O_RDWR | (block ? O_EXCL : 0);
	struct timespec nap = { .tv_nsec = BUSY_POLL_MS * 1000000L };
	int fd;

	while ((fd = open_path(conf->path, flags | O_NONBLOCK)) == -EBUSY
	       && block && *left_ms) {
		nanosleep(&nap, NULL);
		*left_ms -= MIN(*left_ms, (unsigned)BUSY_POLL_MS);
	}
	return fd;
}

static int
take_fence(const struct backend_conf *conf, int fd, unsigned wait_ms,
	   struct backend_report *rep)
{
	pid_t holder;
	int rc = fence_take(fd, !conf->read_only, wait_ms, &holder);

	if (rc == -EBUSY && holder)
		SAY(rep, "%s is locked by process %d; end it, or use another file",
		    conf->path, (int)holder);
	else if (rc == -EBUSY)
		SAY(rep, "%s is locked by another process (another LUN, QEMU?); a store can "
		    "have one user, or several that only read", conf->path);
	else if (rc)
		SAY(rep, "%s cannot be locked: %s; its file system must support locks, for "
		    "without them a restart could lose data", conf->path, strerror(-rc));
	return rc;
}

static int
measure(struct rdwr *d, const struct backend_conf *conf, const struct stat *seen,
	struct backend_report *rep)
{
	struct statfs fs;
	struct stat st;
	uint64_t bytes;

	if (fstat(d->fd, &st) || fstatfs(d->fd, &fs))
		return say_open_error(errno, conf, rep);
	if (st.st_dev != seen->st_dev || st.st_ino != seen->st_ino) {
		SAY(rep, "%s was replaced while it was being opened", conf->path);
		return -EAGAIN;
	}
	bytes = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(d->fd, BLKGETSIZE64, &bytes))
		return say_open_error(errno, conf, rep);
	d->memory = S_ISREG(st.st_mode) && fs.f_type == TMPFS_MAGIC;
	/* Two device nodes of one device are one store. */
	d->b.dev = S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev;
	d->b.ino = S_ISBLK(st.st_mode) ? BACKEND_INO_DEVICE : st.st_ino;
	return backend_fit(conf, conf->path, bytes, &d->b.size, rep);
}

/* In this order: the size is true only once nobody else writes. */
static int
acquire(struct rdwr *d, const struct backend_conf *conf, struct backend_report *rep)
{
	unsigned left_ms = conf->fence_wait_ms;
	struct stat st;
	int rc = look(conf, &st, rep);

	if (rc)
		return rc;
	d->fd = open_store(conf, S_ISBLK(st.st_mode), &left_ms);
	if (d->fd < 0)
		return say_open_error(-d->fd, conf, rep);
	rc = take_fence(conf, d->fd, left_ms, rep);
	if (!rc)
		rc = measure(d, conf, &st, rep);
	if (!rc && fcntl(d->fd, F_SETFL, 0)) /* O_NONBLOCK was for the open only */
		rc = say_open_error(errno, conf, rep);
	if (rc)
		close(d->fd);
	return rc;
}

static int
rdwr_open(const struct backend_conf *conf, struct backend **out, struct backend_report *rep)
{
	struct rdwr *d = calloc(1, sizeof(*d));
	int rc;

	if (!d)
		return -ENOMEM;
	d->threads = threads_new(conf->io_threads);
	if (!d->threads) {
		rc = -errno;
		SAY(rep, "no thread pool of %u: %s", conf->io_threads, strerror(errno));
		goto free_d;
	}
	rc = acquire(d, conf, rep);
	if (rc)
		goto free_threads;
	snprintf(d->path, sizeof(d->path), "%s", conf->path);
	d->flush_failed = conf->flush_failed ? conf->flush_failed : &d->not_kept;
	if (latched(d))
		SAY(rep, "a flush of %s has failed (%s), and data may be lost: flushes go on "
		    "failing until the LUN is deleted and created anew, or all is restarted",
		    conf->path, strerror(-latched(d)));
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->sync_ended, NULL);
	list_init(&d->syncs);
	d->page = (uint64_t)sysconf(_SC_PAGESIZE);
	d->b.type = &backend_rdwr;
	d->b.caps = backend_rdwr.caps;
	*out = &d->b;
	return 0;

free_threads:
	threads_free(d->threads);
free_d:
	free(d);
	return rc;
}

static void
rdwr_close(struct backend *b)
{
	struct rdwr *d = container_of(b, struct rdwr, b);

	threads_free(d->threads);
	close(d->fd);
	pthread_cond_destroy(&d->sync_ended);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

const struct backend_type backend_rdwr = {
	.name = "rdwr",
	.caps = BLK_CAP_FLUSH | BLK_CAP_FUA,
	.open = rdwr_open,
	.submit = rdwr_submit,
	.cancel = rdwr_cancel,
	.event_fd = rdwr_event_fd,
	.reap = rdwr_reap,
	.close = rdwr_close,
};
