/*
 * Kept answers, in the table idempotency: `answer` is {"body", "location",
 * "revision"}, as a text, whose members stay in their order. Called by exchange.c.
 */

#include "idempotency.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

enum { DIGEST_LEN = 32, BYTEA_TEXT = 2 + 2 * DIGEST_LEN + 1 };

bool idempotency_key_ok(const char *key)
{
    size_t len = strlen(key);

    for (size_t i = 0; i < len; i++)
        if (key[i] <= ' ' || key[i] > '~')
            return false;
    return len >= 1 && len <= 255;
}

/* Of method, path and body; as bytea is written. */
static bool fingerprint(const exchange_t *exchange, char text[BYTEA_TEXT])
{
    uint8_t digest[DIGEST_LEN];
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    bool ok = sha != NULL && EVP_DigestInit_ex(sha, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(sha, exchange->method, strlen(exchange->method) + 1) == 1 &&
              EVP_DigestUpdate(sha, exchange->path, strlen(exchange->path) + 1) == 1 &&
              EVP_DigestUpdate(sha, exchange->body, exchange->body_len) == 1 &&
              EVP_DigestFinal_ex(sha, digest, NULL) == 1;

    EVP_MD_CTX_free(sha);
    snprintf(text, BYTEA_TEXT, "\\x");
    for (size_t i = 0; ok && i < sizeof(digest); i++)
        snprintf(text + 2 + 2 * i, 3, "%02x", digest[i]);
    return ok;
}

/* ---- an answer that is there ---- */

static bool replay(exchange_t *exchange, const PGresult *row)
{
    reply_t *reply = &exchange->reply;
    json_t *answer = json_loads(PQgetvalue(row, 0, 2), 0, NULL);
    const json_t *body = json_object_get(answer, "body");
    const char *location = json_string_value(json_object_get(answer, "location"));

    reply->status = (unsigned)strtoul(PQgetvalue(row, 0, 1), NULL, 10);
    reply->revision = json_integer_value(json_object_get(answer, "revision"));
    reply->changed = reply->revision != 0;
    snprintf(reply->etag, sizeof(reply->etag), "%s", PQgetvalue(row, 0, 3));
    snprintf(reply->location, sizeof(reply->location), "%s", location != NULL ? location : "");
    reply->body = json_is_object(body) ? json_deep_copy(body) : NULL;
    exchange->replayed = true;

    bool withheld = answer == NULL || json_is_true(json_object_get(answer, "withheld"));
    json_decref(answer);
    return !withheld || problem_set(&exchange->request.problem, PROBLEM_CONFLICT,
                                    "This was done before. Its answer showed something once and"
                                    " was not kept.");
}

static bool lock_key(exchange_t *exchange)
{
    request_t *request = &exchange->request;
    PGresult *done = SESSION_QUERY(request->session,
                                   "SELECT pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2,"
                                   " 20))",
                                   request->identity.id, request->idempotency_key);
    bool ok = done != NULL;

    PQclear(done);
    return ok;
}

bool idempotency_begin(exchange_t *exchange)
{
    request_t *request = &exchange->request;
    char print[BYTEA_TEXT];

    if (!fingerprint(exchange, print) || !lock_key(exchange))
        return false;

    PGresult *row = SESSION_QUERY(request->session,
                                  "SELECT fingerprint = $3::bytea, status, answer #>> '{}',"
                                  " coalesce(etag, '') FROM idempotency"
                                  " WHERE token_id = $1 AND key = $2"
                                  " AND created_at > now() - interval '1 day'",
                                  request->identity.id, request->idempotency_key, print);
    if (row == NULL)
        return false;

    bool ok = true;
    if (PQntuples(row) == 1)
        ok = PQgetvalue(row, 0, 0)[0] == 't'
                 ? replay(exchange, row)
                 : problem_set(&request->problem, PROBLEM_IDEMPOTENCY_MISMATCH,
                               "This Idempotency-Key was used for another request.");
    PQclear(row);
    return ok;
}

/* ---- keeping one ---- */

/* Members that are shown once are those that not every answer has. Returns how many there were. */
static size_t leave_out_once(const schema_t *schema, json_t *body)
{
    size_t removed = 0;

    for (size_t i = 0; schema != NULL && i < schema->count; i++)
        if ((schema->fields[i].flags & FIELD_OPTIONAL_ANSWER) != 0 &&
            json_object_del(body, schema->fields[i].name) == 0)
            removed++;
    return removed;
}

static char *answer_text(const exchange_t *exchange)
{
    const reply_t *reply = &exchange->reply;
    json_t *body = reply->body == NULL ? json_null() : json_deep_copy(reply->body);
    bool withheld = reply->shows_secret && leave_out_once(exchange->route->answer, body) == 0;
    json_t *answer = json_pack(
        "{s:O, s:s, s:I, s:b}", "body", withheld ? json_null() : body, "location", reply->location,
        "revision", (json_int_t)(reply->changed ? reply->revision : 0), "withheld", (int)withheld);
    char *text = json_dumps(answer, JSON_COMPACT);

    json_decref(answer);
    json_decref(body);
    return text;
}

/* Old ones go little by little, with those that come; two requests never wait for each other. */
static bool remove_old(session_t *session)
{
    PGresult *done = session_query(
        session,
        "DELETE FROM idempotency WHERE ctid = ANY (ARRAY(SELECT ctid FROM idempotency"
        " WHERE created_at < now() - interval '1 day' LIMIT 20 FOR UPDATE SKIP LOCKED))",
        0, NULL);
    bool ok = done != NULL;

    PQclear(done);
    return ok;
}

bool idempotency_keep(exchange_t *exchange)
{
    request_t *request = &exchange->request;
    char print[BYTEA_TEXT], status[16];
    char *answer = answer_text(exchange);

    if (answer == NULL || !fingerprint(exchange, print)) {
        free(answer);
        return false;
    }
    snprintf(status, sizeof(status), "%u", exchange->reply.status);
    PGresult *done = SESSION_QUERY(
        request->session,
        "INSERT INTO idempotency (token_id, key, fingerprint, status, answer, etag)"
        " VALUES ($1, $2, $3::bytea, $4::integer, to_jsonb($5::text), $6)"
        " ON CONFLICT (token_id, key) DO UPDATE SET fingerprint = excluded.fingerprint,"
        " status = excluded.status, answer = excluded.answer, etag = excluded.etag,"
        " created_at = now()",
        request->identity.id, request->idempotency_key, print, status, answer,
        exchange->reply.etag);
    free(answer);
    PQclear(done);
    return done != NULL && remove_old(request->session);
}
