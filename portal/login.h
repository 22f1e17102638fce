/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The login dialogue of one connection (RFC 7143 chapters 6 and 11.12-11.13):
 * login requests in, login responses and finally a result out.  Self-contained:
 * no sockets, no clocks, no globals.  The caller reads and sends, runs the
 * login timer, and decides what only it can know (is there such a target, are
 * there resources) at LOGIN_COMMIT.
 *
 *	read 48 bytes; n = login_rest(raw); n < 0: login_input(l, raw, NULL, 0)
 *	else read n bytes; v = login_input(l, raw, bytes, n)
 *
 *	LOGIN_SEND	send login_out(); read the next request
 *	LOGIN_COMMIT	login_result() is complete; nothing to send yet.  Open the
 *			session (this may take its time; read nothing meanwhile),
 *			then v = login_commit() or login_refuse()
 *	LOGIN_DONE	send login_out(); the full feature phase begins
 *	LOGIN_REFUSED	send login_out(); then close
 *	LOGIN_CLOSE	close at once
 */
#ifndef PORTAL_LOGIN_H
#define PORTAL_LOGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "portal/iscsi.h"
#include "portal/keys.h"

enum login_verdict {
	LOGIN_SEND = 1,
	LOGIN_COMMIT,
	LOGIN_DONE,
	LOGIN_REFUSED,
	LOGIN_CLOSE,
};

/* Plain data without pointers: it may be copied and outlives the login. */
struct login_result {
	char initiator[ISCSI_NAME_MAX + 1];
	char target[ISCSI_NAME_MAX + 1]; /* "" in a discovery session */
	char initiator_alias[ISCSI_VALUE_MAX + 1];
	uint8_t isid[ISCSI_ISID_LEN];
	uint16_t tsih; /* 0: a new session (or reinstatement); else the session to join:
			* refuse with 020Ah if there is none, 0206h if it is full */
	uint16_t cid;
	uint16_t tpgt;
	bool discovery;
	uint32_t exp_cmd_sn; /* the first CmdSN of the full feature phase */
	uint32_t stat_sn; /* the StatSN of the next response after the login's last */
	struct iscsi_params params;
};

struct login;

/* @limits is copied. @tpgt: of the listener that took the connection. NULL: out
 * of memory. */
struct login *login_new(const struct login_limits *limits, uint16_t tpgt);
void login_free(struct login *l);

/* Bytes that follow this header (0..8192), or -EPROTO if they are not worth
 * reading: then pass (NULL, 0) to login_input, which answers. */
int login_rest(const uint8_t raw[ISCSI_BHS_LEN]);

/* One request; @rest: the @n = login_rest(raw) bytes after the header. Must not
 * be called after DONE, REFUSED or CLOSE. */
enum login_verdict login_input(struct login *l, const uint8_t raw[ISCSI_BHS_LEN],
			       const uint8_t *rest, size_t n);

/* After LOGIN_COMMIT: the session exists. @tsih != 0. @alias: TargetAlias, or
 * NULL (left out if it does not fit into the last PDU). Always LOGIN_DONE. */
enum login_verdict login_commit(struct login *l, uint16_t tsih, const char *alias);

/* At any time between requests, and after LOGIN_COMMIT: @status is an enum
 * iscsi_login_status other than OK. LOGIN_REFUSED, or LOGIN_CLOSE when no
 * request has come yet. */
enum login_verdict login_refuse(struct login *l, uint16_t status);

/* After LOGIN_COMMIT: the target is at @address ("192.0.2.1:3260", without a tag:
 * 13.8), from now on if @permanent. LOGIN_REFUSED. */
enum login_verdict login_redirect(struct login *l, bool permanent, const char *address);

/* The PDU to send after SEND, DONE, REFUSED, padded; valid until the next call. */
const uint8_t *login_out(const struct login *l, size_t *len);

/* Valid from LOGIN_COMMIT on; the numbers are final after LOGIN_DONE. */
const struct login_result *login_result(const struct login *l);

/* What the peer called itself so far, for the log; "" if it has not. */
const char *login_initiator(const struct login *l);
/* The status of the refusal, for the log; 0 if there was none. */
uint16_t login_status(const struct login *l);

#endif
