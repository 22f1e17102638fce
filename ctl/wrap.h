/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Putting one message into the WorkerMsg that carries it.  Pure.
 */
#ifndef CTL_WRAP_H
#define CTL_WRAP_H

#include "proto/worker.pb-c.h"

/* Fills *@m with @inner (of the lifetime of the caller's block); gives @m. */
#define WRAP(m, CASE, field, inner)                                            \
	(tgt__worker_msg__init(m), (m)->body_case = TGT__WORKER_MSG__BODY_##CASE, \
	 (m)->field = (inner), (m))

#endif
