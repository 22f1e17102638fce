/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The few macros and the one list that every folder uses.  Pure.
 */
#ifndef PROTO_UTIL_H
#define PROTO_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)

/* An intrusive doubly linked list; an empty list points to itself. */
struct list {
	struct list *next;
	struct list *prev;
};

#define LIST_INIT(name) { &(name), &(name) }

static inline void
list_init(struct list *l)
{
	l->next = l;
	l->prev = l;
}

static inline bool
list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void
list_add_tail(struct list *head, struct list *n)
{
	n->prev = head->prev;
	n->next = head;
	head->prev->next = n;
	head->prev = n;
}

static inline void
list_add(struct list *head, struct list *n)
{
	list_add_tail(head->next, n);
}

/* Unlinks @n and leaves it an empty list, so that a second call is harmless. */
static inline void
list_del(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)

#define list_first(head, type, member) \
	(list_empty(head) ? NULL : list_entry((head)->next, type, member))

/* Safe against removal of @pos itself, not of its neighbours. */
#define list_for_each(pos, head, member)                                       \
	for (struct list *pos##_l = (head)->next,                              \
			 *pos##_n = pos##_l->next;                             \
	     pos##_l != (head) &&                                              \
	     ((pos) = container_of(pos##_l, __typeof__(*(pos)), member), 1);   \
	     pos##_l = pos##_n, pos##_n = pos##_l->next)

#endif
