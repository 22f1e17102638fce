/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lock-down: see sandbox.h.  Every step either worked or the caller exits;
 * only landlock may be missing, because old kernels have none.
 */
#include "proto/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/util.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(NDEBUG_COV) && !defined(SANITIZED)
#define SANITIZED 1 /* gcov writes its counts at exit */
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* Landlock's numbers and layout are fixed; older headers know only a part. */
enum {
	NR_LANDLOCK_CREATE_RULESET = 444,
	NR_LANDLOCK_ADD_RULE = 445,
	NR_LANDLOCK_RESTRICT_SELF = 446,
	LANDLOCK_VERSION_FLAG = 1,
	LANDLOCK_PATH_BENEATH = 1,
};

enum { /* LANDLOCK_ACCESS_FS_* that a directory of sandbox_enter_dirs gets */
	FS_WRITE_FILE = 1 << 1,
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_REMOVE_FILE = 1 << 5,
	FS_MAKE_REG = 1 << 8,
	FS_TRUNCATE = 1 << 14,
};

struct landlock_ruleset {
	uint64_t fs;
	uint64_t net; /* ABI 4 */
	uint64_t scoped; /* ABI 6: abstract sockets, signals */
};

struct landlock_beneath {
	uint64_t access;
	int32_t fd;
} __attribute__((packed));

int
sandbox_parse_mode(const char *s, enum sandbox_mode *mode)
{
	if (s && !strcmp(s, "enforce"))
		*mode = SANDBOX_ENFORCE;
	else if (s && !strcmp(s, "log"))
		*mode = SANDBOX_LOG;
	else
		return -EINVAL;
	return 0;
}

/* Whether a line of uid_map or gid_map, "inside outside count", covers the ids. */
static bool
ids_mapped(const char *map, uint32_t first, uint32_t count)
{
	unsigned long long inside, outside, n;
	FILE *f = fopen(map, "re");
	bool found = false;

	if (!f)
		return true; /* a kernel without user namespaces */
	while (!found && fscanf(f, "%llu %llu %llu", &inside, &outside, &n) == 3)
		found = inside <= first && inside + n >= (unsigned long long)first + count;
	fclose(f);
	return found;
}

/* Root in a container need not have them. */
static bool
may_change_ids(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct cap[_LINUX_CAPABILITY_U32S_3] = { 0 };
	const uint32_t need = 1u << CAP_SETUID | 1u << CAP_SETGID;

	return !syscall(SYS_capget, &head, cap) && (cap[0].effective & need) == need;
}

bool
sandbox_can_drop(uint32_t first, uint32_t count)
{
	char word[8] = "allow";
	FILE *f;

	if (geteuid() != 0 || !may_change_ids())
		return false;
	f = fopen("/proc/self/setgroups", "re");
	if (f) {
		if (fscanf(f, "%7s", word) != 1)
			strcpy(word, "allow");
		fclose(f);
	}
	return !strcmp(word, "allow") && ids_mapped("/proc/self/uid_map", first, count) &&
	       ids_mapped("/proc/self/gid_map", first, count);
}

static int
drop_user(uint32_t uid, uint32_t gid)
{
	if (!uid || geteuid() != 0)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	/* A kernel that says yes and does nothing has been seen. */
	if (getuid() != uid || geteuid() != uid || getgid() != gid || getegid() != gid)
		return -EPERM;
	return 0;
}

/* Needs CAP_SETPCAP, so before the user is dropped; without it there is nothing
 * in the bounding set that no_new_privs does not keep away as well. */
static int
drop_bounding_set(void)
{
	for (unsigned long cap = 0; cap < 64; cap++) {
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		if (errno == EINVAL || errno == EPERM)
			return 0;
		return -errno;
	}
	return 0;
}

static int
drop_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	if (syscall(SYS_capset, &head, none) < 0)
		return -errno;
	return 0;
}

static int
landlock_allow_dir(int ruleset, const char *dir, uint64_t handled)
{
	struct landlock_beneath rule = {
		.access = (FS_WRITE_FILE | FS_READ_FILE | FS_READ_DIR | FS_REMOVE_FILE |
			   FS_MAKE_REG | FS_TRUNCATE) & handled,
	};
	int err = 0;

	rule.fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (rule.fd < 0)
		return -errno;
	if (syscall(NR_LANDLOCK_ADD_RULE, ruleset, LANDLOCK_PATH_BENEATH, &rule, 0) < 0)
		err = -errno;
	close(rule.fd);
	return err;
}

/* Denies all the rights that this kernel's landlock knows about. */
static int
landlock_enter(const char *const *dirs)
{
	struct landlock_ruleset attr = { 0 };
	size_t size = sizeof(attr.fs);
	long abi = syscall(NR_LANDLOCK_CREATE_RULESET, NULL, 0, LANDLOCK_VERSION_FLAG);
	int fd, err = 0;

	if (abi < 0) /* not built in, switched off, or behind an outer seccomp */
		return errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM ? 0 : -errno;
	attr.fs = (1 << 13) - 1;
	if (abi >= 2)
		attr.fs |= 1 << 13; /* REFER */
	if (abi >= 3)
		attr.fs |= 1 << 14; /* TRUNCATE */
	if (abi >= 4) {
		attr.net = 3; /* bind and connect TCP */
		size = offsetof(struct landlock_ruleset, scoped);
	}
	if (abi >= 5)
		attr.fs |= 1 << 15; /* IOCTL_DEV */
	if (abi >= 6) {
		attr.scoped = 3;
		size = sizeof(attr);
	}
	fd = (int)syscall(NR_LANDLOCK_CREATE_RULESET, &attr, size, 0);
	if (fd < 0)
		return -errno;
	for (; !err && dirs && *dirs; dirs++)
		err = landlock_allow_dir(fd, *dirs, attr.fs);
	if (!err && syscall(NR_LANDLOCK_RESTRICT_SELF, fd, 0) < 0)
		err = -errno;
	close(fd);
	return err;
}

static int
seccomp_add(scmp_filter_ctx ctx, const struct sandbox_rule *r)
{
	uint32_t action = r->deny_errno ? SCMP_ACT_ERRNO((uint32_t)r->deny_errno) : SCMP_ACT_ALLOW;
	int err;

	if (r->nr < 0) /* a call this architecture does not have */
		return 0;
	if (r->arg < 0)
		err = seccomp_rule_add_array(ctx, action, r->nr, 0, NULL);
	else
		err = seccomp_rule_add(ctx, action, r->nr, 1,
				       SCMP_CMP((unsigned)r->arg, SCMP_CMP_MASKED_EQ, r->mask,
						r->value));
	return err == -EEXIST ? 0 : err; /* common and own rules may agree */
}

static int
seccomp_enter(enum sandbox_mode mode, const struct sandbox_rule *rules, size_t n_rules)
{
	scmp_filter_ctx ctx = seccomp_init(mode == SANDBOX_LOG ? SCMP_ACT_LOG :
								 SCMP_ACT_KILL_PROCESS);
	int err;

	if (!ctx)
		return -ENOMEM;
	/* A call made in another ABI never matches a rule: always fatal. */
	err = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (!err)
		err = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	for (size_t i = 0; !err && i < n_rules; i++)
		err = seccomp_add(ctx, &rules[i]);
	if (!err)
		err = seccomp_load(ctx);
	seccomp_release(ctx);
	return err;
}

int
sandbox_enter_dirs(enum sandbox_mode mode, uint32_t uid, uint32_t gid,
		   const struct sandbox_rule *rules, size_t n_rules, const char *const *dirs)
{
	const struct rlimit no_core = { 0, 0 };
	int err;

	if (setrlimit(RLIMIT_CORE, &no_core) < 0)
		return -errno;
	err = drop_bounding_set();
	if (!err)
		err = drop_user(uid, gid);
	if (!err)
		err = drop_capabilities();
	if (err)
		return err;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	/* Leaving root made a sanitizer build undumpable as well: undo it there. */
	if (prctl(PR_SET_DUMPABLE, SANITIZED, 0, 0, 0) < 0)
		return -errno;
	if (mode == SANDBOX_ENFORCE && !SANITIZED) {
		err = landlock_enter(dirs);
		if (err)
			return err;
	}
	return seccomp_enter(mode, rules, n_rules);
}

int
sandbox_enter(enum sandbox_mode mode, uint32_t uid, uint32_t gid,
	      const struct sandbox_rule *rules, size_t n_rules)
{
	return sandbox_enter_dirs(mode, uid, gid, rules, n_rules, NULL);
}
