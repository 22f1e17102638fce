/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The test harness: a test is a function, a check is CHECK(); the program
 * prints TAP (one line a test) and exits 1 if any check failed.
 *
 *	static void test_wrap(void) { CHECK(ring_used(&r) == 0); CHECK_EQ(a, b); }
 *	int main(void) { TEST(test_wrap); return tap_done(); }
 */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int tap_count, tap_failed, tap_bad;

#define CHECK_MSG(cond, ...)                                                   \
	do {                                                                   \
		if (!(cond)) {                                                 \
			tap_bad++;                                             \
			printf("# %s:%d: ", __FILE__, __LINE__);               \
			printf(__VA_ARGS__);                                   \
			printf("\n");                                          \
		}                                                              \
	} while (0)

#define CHECK(cond) CHECK_MSG(cond, "failed: %s", #cond)

#define CHECK_EQ(a, b)                                                         \
	do {                                                                   \
		long long a_ = (long long)(a), b_ = (long long)(b);            \
		CHECK_MSG(a_ == b_, "%s is %lld (0x%llx), expected %lld (0x%llx)", \
			  #a, a_, a_, b_, b_);                                 \
	} while (0)

#define CHECK_MEM(a, b, n) CHECK_MSG(!memcmp(a, b, n), "%s differs from %s", #a, #b)
#define CHECK_STR(a, b) CHECK_MSG(!strcmp(a, b), "%s is \"%s\", expected \"%s\"", #a, a, b)

#define TEST(fn)                                                               \
	do {                                                                   \
		tap_bad = 0;                                                   \
		fn();                                                          \
		tap_count++;                                                   \
		tap_failed += tap_bad != 0;                                    \
		printf("%sok %d - %s\n", tap_bad ? "not " : "", tap_count, #fn); \
		fflush(stdout);                                                \
	} while (0)

static inline int
tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed != 0;
}

#endif
