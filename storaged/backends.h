/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every backend there is; backends.c lists them.
 */
#ifndef STORAGED_BACKENDS_H
#define STORAGED_BACKENDS_H

#include "storaged/backend.h"

extern const struct backend_type backend_null;
extern const struct backend_type backend_rdwr;

#endif
