/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lock-down, tried out: each row is a child that enters the sandbox and then
 * does one thing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/sandbox.h"
#include "proto/util.h"
#include "tests/unit/tap.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(NDEBUG_COV)
#define RUNTIME_CALLS 1 /* the runtime's own calls are allowed besides */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define RUNTIME_CALLS 1
#endif
#endif
#ifndef RUNTIME_CALLS
#define RUNTIME_CALLS 0
#endif

static char dir[] = "/tmp/test_sandbox.XXXXXX";

/* ---- what the children try: an exit status ------------------------------ */

static int
do_nothing(void)
{
	return 0;
}

static int
do_open(void)
{
	int fd = open("/etc/passwd", O_RDONLY);

	return fd < 0 ? errno : 0;
}

static int
do_create_beside(void)
{
	int fd = open("/tmp/test_sandbox.outside", O_WRONLY | O_CREAT, 0600);

	return fd < 0 ? errno : 0;
}

static int
do_keep_file(void)
{
	char a[64], b[64];
	int fd;

	snprintf(a, sizeof(a), "%s/a", dir);
	snprintf(b, sizeof(b), "%s/b", dir);
	fd = open(a, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, "x", 1) != 1 || close(fd) < 0)
		return errno;
	if (rename(a, b) < 0 || (fd = open(b, O_RDONLY)) < 0 || unlink(b) < 0)
		return errno;
	return 0;
}

static int
do_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) < 0 ? errno : 0;
}

static int
do_exec(void)
{
	execl("/bin/true", "true", NULL);
	return errno;
}

static int
do_fork(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return pid < 0 ? errno : 0;
}

static void *
thread(void *arg)
{
	*(int *)arg = 42;
	return NULL;
}

static int
do_thread(void)
{
	pthread_t t;
	int v = 0;
	int err = pthread_create(&t, NULL, thread, &v);

	if (!err)
		err = pthread_join(t, NULL);
	return err ? err : v != 42;
}

static int
do_kill_parent(void)
{
	return kill(getppid(), 0) < 0 ? errno : 0;
}

static int
do_mmap_exec(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	       MAP_FAILED ? errno : 0;
}

static int
do_mprotect_exec(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return errno;
	return mprotect(p, 4096, PROT_READ | PROT_EXEC) < 0 ? errno : 0;
}

static int
do_memory(void)
{
	for (int i = 1; i < 100; i++) {
		void *p = malloc((size_t)i * 10000);

		if (!p)
			return 1;
		free(p);
	}
	return 0;
}

static int
do_clone3(void)
{
	return syscall(SYS_clone3, NULL, 0) < 0 ? errno : 0;
}

static int
do_core_limit(void)
{
	struct rlimit lim;

	return getrlimit(RLIMIT_CORE, &lim) < 0 || lim.rlim_max != 0;
}

/* The line "@word:" of /proc/self/status as a number of that base. */
static unsigned long long
status(const char *word, int base)
{
	static char buf[8192];
	FILE *f = fopen("/proc/self/status", "re");
	size_t n = f ? fread(buf, 1, sizeof(buf) - 1, f) : 0;
	char *at;

	buf[n] = 0;
	if (f)
		fclose(f);
	at = strstr(buf, word);
	return at ? strtoull(at + strlen(word), NULL, base) : ~0ull;
}

static int
do_status(void)
{
	if (status("\nCapEff:", 16) || status("\nCapPrm:", 16) || status("\nCapInh:", 16) ||
	    status("\nCapAmb:", 16))
		return 10;
	if (status("\nNoNewPrivs:", 10) != 1 || status("\nSeccomp:", 10) != 2)
		return 11;
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != RUNTIME_CALLS)
		return 12;
	return 0;
}

static int
do_status_dropped(void)
{
	if (getuid() != 54321 || geteuid() != 54321 || getgid() != 54322)
		return 20;
	if (status("\nCapBnd:", 16))
		return 21;
	/* the way back is closed */
	if (setresuid(0, 0, 0) == 0)
		return 22;
	return do_status();
}

/* ---- rows --------------------------------------------------------------- */

static const struct sandbox_rule files[] = {
	SANDBOX_ALLOW(openat), SANDBOX_ALLOW(open),   SANDBOX_ALLOW(rename),
	SANDBOX_ALLOW(renameat), SANDBOX_ALLOW(unlink),
};
static const struct sandbox_rule threads[] = { SANDBOX_THREADS };
static const struct sandbox_rule limits[] = { SANDBOX_ALLOW(prlimit64), SANDBOX_ALLOW(getrlimit) };

static int
run_child(enum sandbox_mode mode, uint32_t uid, uint32_t gid, const struct sandbox_rule *own,
	  size_t n_own, bool dirs, int (*act)(void))
{
	const char *const keep[] = { dir, NULL };
	int st = -1;
	pid_t pid = fork();

	if (!pid) {
		struct sandbox_rule *rules = calloc(sandbox_n_common + n_own, sizeof(*rules));
		int err;

		memcpy(rules, sandbox_common, sandbox_n_common * sizeof(*rules));
		if (n_own)
			memcpy(rules + sandbox_n_common, own, n_own * sizeof(*rules));
		err = sandbox_enter_dirs(mode, uid, gid, rules, sandbox_n_common + n_own,
					 dirs ? keep : NULL);
		if (err) {
			dprintf(1, "# sandbox_enter: %s\n", strerror(-err));
			_exit(99);
		}
		free(rules);
		_exit(act());
	}
	waitpid(pid, &st, 0);
	return WIFSIGNALED(st) ? -WTERMSIG(st) : WEXITSTATUS(st);
}

static bool
have_landlock(void)
{
	return !RUNTIME_CALLS && syscall(444, NULL, 0, 1) > 0;
}

#define OWN(a) a, ARRAY_SIZE(a)

static void
test_rows(void)
{
	const int denied = have_landlock() ? EACCES : 0;
	const struct {
		const char *name;
		enum sandbox_mode mode;
		const struct sandbox_rule *own;
		size_t n_own;
		bool dirs;
		int (*act)(void);
		int expect; /* -signal or exit status */
		bool plain; /* says nothing under a sanitizer, whose calls are allowed */
	} rows[] = {
		{ "nothing", SANDBOX_ENFORCE, NULL, 0, false, do_nothing, 0, false },
		{ "memory", SANDBOX_ENFORCE, NULL, 0, false, do_memory, 0, false },
		{ "open", SANDBOX_ENFORCE, NULL, 0, false, do_open, -SIGSYS, true },
		{ "open, logged", SANDBOX_LOG, NULL, 0, false, do_open, 0, false },
		{ "open, landlock", SANDBOX_ENFORCE, OWN(files), false, do_open, denied, false },
		{ "open outside", SANDBOX_ENFORCE, OWN(files), true, do_open, denied, false },
		{ "create outside", SANDBOX_ENFORCE, OWN(files), true, do_create_beside, denied,
		  false },
		{ "keep a file", SANDBOX_ENFORCE, OWN(files), true, do_keep_file, 0, false },
		{ "socket", SANDBOX_ENFORCE, NULL, 0, false, do_socket, -SIGSYS, false },
		{ "exec", SANDBOX_ENFORCE, NULL, 0, false, do_exec, -SIGSYS, false },
		{ "fork", SANDBOX_ENFORCE, NULL, 0, false, do_fork, -SIGSYS, true },
		{ "thread", SANDBOX_ENFORCE, NULL, 0, false, do_thread, -SIGSYS, true },
		{ "thread, allowed", SANDBOX_ENFORCE, OWN(threads), false, do_thread, 0, true },
		{ "fork with threads", SANDBOX_ENFORCE, OWN(threads), false, do_fork, -SIGSYS,
		  true },
		{ "clone3", SANDBOX_ENFORCE, OWN(threads), false, do_clone3, ENOSYS, false },
		{ "kill", SANDBOX_ENFORCE, NULL, 0, false, do_kill_parent, -SIGSYS, true },
		{ "mmap exec", SANDBOX_ENFORCE, NULL, 0, false, do_mmap_exec, -SIGSYS, true },
		{ "mprotect exec", SANDBOX_ENFORCE, NULL, 0, false, do_mprotect_exec, -SIGSYS,
		  true },
		{ "core", SANDBOX_ENFORCE, OWN(limits), false, do_core_limit, 0, false },
		{ "status", SANDBOX_LOG, NULL, 0, false, do_status, 0, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int rc;

		if (rows[i].plain && RUNTIME_CALLS)
			continue;
		rc = run_child(rows[i].mode, 0, 0, rows[i].own, rows[i].n_own, rows[i].dirs,
			       rows[i].act);
		CHECK_MSG(rc == rows[i].expect, "%s: %d, expected %d", rows[i].name, rc,
			  rows[i].expect);
	}
	unlink("/tmp/test_sandbox.outside");
}

static void
test_drop(void)
{
	if (geteuid() != 0) {
		/* Nothing to drop; the rest still holds. */
		CHECK_EQ(run_child(SANDBOX_LOG, 54321, 54322, NULL, 0, false, do_status), 0);
		return;
	}
	CHECK_EQ(run_child(SANDBOX_LOG, 54321, 54322, NULL, 0, false, do_status_dropped), 0);
	/* A dropped process in its own directory, which is not its own. */
	CHECK_EQ(run_child(SANDBOX_ENFORCE, 54321, 54322, OWN(files), true, do_keep_file), EACCES);
}

/* In a user namespace where only root is mapped there is nobody to become. */
static void
test_can_drop(void)
{
	char map[64];
	int fd, st = 0;
	pid_t pid;

	CHECK(geteuid() ? !sandbox_can_drop(0, 1) : sandbox_can_drop(0, 1));
	fflush(stdout);
	pid = fork();
	if (!pid) {
		uid_t uid = geteuid();

		if (unshare(CLONE_NEWUSER) < 0)
			_exit(0); /* not allowed here: nothing to see */
		if (sandbox_can_drop(1, 1))
			_exit(1); /* nobody is mapped yet */
		fd = open("/proc/self/setgroups", O_WRONLY);
		if (fd < 0 || write(fd, "deny", 4) != 4)
			_exit(2);
		fd = open("/proc/self/uid_map", O_WRONLY);
		snprintf(map, sizeof(map), "0 %u 1", (unsigned)uid);
		if (fd < 0 || write(fd, map, strlen(map)) < 0)
			_exit(3);
		_exit(sandbox_can_drop(0, 1) ? 4 : 0); /* setgroups is denied */
	}
	waitpid(pid, &st, 0);
	CHECK_MSG(WIFEXITED(st) && !WEXITSTATUS(st), "status 0x%x", st);
}

/* "docker run --cap-drop ALL": root, and nobody to become either. */
static void
test_cannot_drop_without_capability(void)
{
	int st = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
		struct __user_cap_data_struct cap[_LINUX_CAPABILITY_U32S_3] = { 0 };

		if (syscall(SYS_capget, &head, cap) < 0)
			_exit(1);
		cap[0].effective &= ~(1u << CAP_SETUID);
		if (syscall(SYS_capset, &head, cap) < 0)
			_exit(2);
		_exit(sandbox_can_drop(0, 1) ? 3 : 0);
	}
	waitpid(pid, &st, 0);
	CHECK_MSG(WIFEXITED(st) && !WEXITSTATUS(st), "status 0x%x", st);
}

static void
test_mode(void)
{
	enum sandbox_mode m = SANDBOX_LOG;

	CHECK_EQ(sandbox_parse_mode("enforce", &m), 0);
	CHECK_EQ(m, SANDBOX_ENFORCE);
	CHECK_EQ(sandbox_parse_mode("log", &m), 0);
	CHECK_EQ(m, SANDBOX_LOG);
	CHECK_EQ(sandbox_parse_mode("off", &m), -EINVAL);
	CHECK_EQ(sandbox_parse_mode("", &m), -EINVAL);
	CHECK_EQ(m, SANDBOX_LOG);
}

int
main(void)
{
	if (!mkdtemp(dir))
		return 1;
	TEST(test_mode);
	TEST(test_can_drop);
	TEST(test_cannot_drop_without_capability);
	TEST(test_rows);
	TEST(test_drop);
	rmdir(dir);
	return tap_done();
}
