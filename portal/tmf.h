/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Task management functions (RFC 7143 11.5, 11.6).  Answered only when every
 * effect of what they end is over.
 */
#ifndef PORTAL_TMF_H
#define PORTAL_TMF_H

#include <stdint.h>

#include "portal/pdu.h"

struct cmd;
struct conn;
struct session;
struct thread;

void tmf_thread_init(struct thread *th);

/* A TMF request whose turn it is.  0, or a Reject reason. */
int tmf_run(struct conn *c, const struct bhs *b, const uint8_t *data);

/* ExpCmdSN went on: starts the functions that waited for it. */
void tmf_in_turn(struct session *s);

/* Sends the response (enum iscsi_tmf_rsp) of the function @tmf stands for and
 * ends it. */
void tmf_answer(struct cmd *tmf, uint8_t response);

#endif
