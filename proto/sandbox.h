/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The second half of start-up: from "has what it needs" to "can do nothing
 * else".  The syscall allow-list of a process is a const array next to its
 * main(), one row a call with a comment why.
 */
#ifndef PROTO_SANDBOX_H
#define PROTO_SANDBOX_H

#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sandbox_mode {
	SANDBOX_ENFORCE = 0, /* a call that is not listed kills the process */
	SANDBOX_LOG = 1, /* ... is logged by the kernel and allowed */
};

/* One allowed system call, optionally with one condition on an argument. */
struct sandbox_rule {
	int nr; /* __NR_... as SCMP_SYS gives it */
	int arg; /* index of the argument compared; -1: none */
	uint64_t mask; /* (arg & mask) == value */
	uint64_t value;
	int deny_errno; /* nonzero: do not allow but fail with this errno */
};

#define SANDBOX_ALLOW(name) { .nr = SCMP_SYS(name), .arg = -1 }
#define SANDBOX_ALLOW_IF(name, a, m, v) \
	{ .nr = SCMP_SYS(name), .arg = (a), .mask = (m), .value = (v) }
#define SANDBOX_DENY(name, e) { .nr = SCMP_SYS(name), .arg = -1, .deny_errno = (e) }

/* What a process with threads of its own needs besides the common rules:
 * threads, never processes (clone3 hides its flags behind a pointer and fails
 * with ENOSYS for everyone, so that the C library uses clone). */
#define SANDBOX_THREADS                                                        \
	SANDBOX_ALLOW_IF(clone, 0, CLONE_THREAD, CLONE_THREAD),                \
	SANDBOX_ALLOW(set_robust_list), SANDBOX_ALLOW(rseq),                   \
	SANDBOX_ALLOW(sched_getaffinity), SANDBOX_ALLOW(prctl)

/* "enforce" or "log" -> mode; -EINVAL otherwise. */
int sandbox_parse_mode(const char *s, enum sandbox_mode *mode);

/*
 * No core dumps, uid/gid drop (uid 0: keep the user), every capability gone
 * from every set, no_new_privs, not dumpable, landlock with an empty rule set
 * where the kernel has it (not in log mode: landlock cannot only log), seccomp
 * for all threads.  The rules every worker needs are in proto/daemon.c; this
 * takes exactly the ones given.  Not dumpable and landlock are left out of
 * sanitizer builds, whose runtime needs /proc and ptrace for its reports.
 * 0 or -errno; on failure the process must exit.
 */
int sandbox_enter(enum sandbox_mode mode, uint32_t uid, uint32_t gid,
		  const struct sandbox_rule *rules, size_t n_rules);

/*
 * The same for a process that keeps files (tgt-ctld's state directory):
 * landlock lets it create, read, write, rename and remove regular files
 * beneath @dirs, a NULL-terminated list of paths, and nothing else.
 */
int sandbox_enter_dirs(enum sandbox_mode mode, uint32_t uid, uint32_t gid,
		       const struct sandbox_rule *rules, size_t n_rules,
		       const char *const *dirs);

/*
 * True if we may become any user and group from @first on, @count of them: we
 * are root with the capabilities for it, and in our user namespace (a rootless
 * container) they exist and setgroups is not denied.  For whoever chooses the
 * uids of ConfigDone.
 */
bool sandbox_can_drop(uint32_t first, uint32_t count);

/*
 * The system calls every process of tgt-ng needs once it runs (memory, time,
 * its event loop, its channels, its own end).  daemon_main puts them in front
 * of a worker's rules; tgt-ctld does so itself.
 */
extern const struct sandbox_rule sandbox_common[];
extern const size_t sandbox_n_common;

#endif
