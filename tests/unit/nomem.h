/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes malloc fail for a while, for the branches that only ENOMEM reaches: no
 * more address space, and what the heap still has is taken away first.  A
 * sanitizer's allocator cannot live with that; NOMEM_WORKS says so.
 */
#ifndef TESTS_NOMEM_H
#define TESTS_NOMEM_H

#include <stdlib.h>
#include <sys/resource.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
	__has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define NOMEM_WORKS 0
#else
#define NOMEM_WORKS 1
#endif

struct nomem {
	struct rlimit old;
	void *held; /* a chain of what was taken */
};

static inline void
nomem_begin(struct nomem *m)
{
	struct rlimit none;

	getrlimit(RLIMIT_AS, &m->old);
	none = m->old;
	none.rlim_cur = 0;
	setrlimit(RLIMIT_AS, &none);
	m->held = NULL;
	for (size_t size = 4096; size >= 32; size /= 2) {
		void **p;

		while ((p = malloc(size))) {
			*p = m->held;
			m->held = p;
		}
	}
}

static inline void
nomem_end(struct nomem *m)
{
	setrlimit(RLIMIT_AS, &m->old);
	while (m->held) {
		void *next = *(void **)m->held;

		free(m->held);
		m->held = next;
	}
}

#endif
