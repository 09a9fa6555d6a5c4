/*
 * What calls to the outside have in common: libcurl is started once, in a way
 * that cleanses what it frees; no proxy, no redirect, no other protocols.
 * Called by vault.c, service_account.c and probe.c.
 */

#ifndef RELAY_OUTBOUND_H
#define RELAY_OUTBOUND_H

#include <curl/curl.h>

#include "buf.h"

/* A handle with what all have in common; NULL: no memory. curl_easy_cleanup() it. */
CURL *outbound_open(const char *url, long connect_ms, long total_ms);

/* Authorities: of this PEM file alone; "": of SSL_CERT_FILE, else the machine's. */
void outbound_trust(CURL *curl, const char *ca_file);

/* What the data plane does not reach is not reached: *refused says that it was tried. */
void outbound_public_only(CURL *curl, bool *refused);

/* The body goes here; one that does not fit ends the call with CURLE_WRITE_ERROR. */
void outbound_keep(CURL *curl, relay_buf_t *body);

#endif
