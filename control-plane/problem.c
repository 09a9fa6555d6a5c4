/*
 * Problems: the table of codes, and how one is filled and shown. Everybody
 * fills them; http.c shows them.
 */

#include "problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "utf8.h"

enum { DETAIL_MAX = 600 };

static const struct {
    unsigned status;
    const char *name;
    const char *title;
} codes[] = {
    [PROBLEM_NONE] = {500, "internal", "Internal Server Error"},
    [PROBLEM_INVALID_JSON] = {400, "invalid_json", "Bad Request"},
    [PROBLEM_INVALID_REQUEST] = {400, "invalid_request", "Bad Request"},
    [PROBLEM_UNAUTHENTICATED] = {401, "unauthenticated", "Unauthorized"},
    [PROBLEM_FORBIDDEN] = {403, "forbidden", "Forbidden"},
    [PROBLEM_NOT_FOUND] = {404, "not_found", "Not Found"},
    [PROBLEM_METHOD_NOT_ALLOWED] = {405, "method_not_allowed", "Method Not Allowed"},
    [PROBLEM_CONFLICT] = {409, "conflict", "Conflict"},
    [PROBLEM_IN_USE] = {409, "in_use", "Conflict"},
    [PROBLEM_IDEMPOTENCY_MISMATCH] = {409, "idempotency_mismatch", "Conflict"},
    [PROBLEM_STALE] = {412, "stale", "Precondition Failed"},
    [PROBLEM_TOO_LARGE] = {413, "too_large", "Content Too Large"},
    [PROBLEM_MEDIA_TYPE] = {415, "media_type", "Unsupported Media Type"},
    [PROBLEM_INVALID_DOCUMENT] = {422, "invalid_document", "Unprocessable Content"},
    [PROBLEM_PRECONDITION_REQUIRED] = {428, "precondition_required", "Precondition Required"},
    [PROBLEM_TOO_MANY_REQUESTS] = {429, "too_many_requests", "Too Many Requests"},
    [PROBLEM_INTERNAL] = {500, "internal", "Internal Server Error"},
    [PROBLEM_UNAVAILABLE] = {503, "unavailable", "Service Unavailable"},
    [PROBLEM_NOT_APPLIED] = {504, "not_applied", "Gateway Timeout"},
};

unsigned problem_status(problem_code_t code)
{
    return codes[code].status;
}

const char *problem_name(problem_code_t code)
{
    return codes[code].name;
}

/* Texts are cut by the byte and may quote anything: what is no character becomes a `?`. */
static void make_showable(char *text)
{
    relay_span_t rest = relay_span((const uint8_t *)text, strlen(text));

    while (rest.len != 0) {
        size_t len = relay_utf8_character(rest);
        if (len <= 1 && (len == 0 || rest.base[0] < 0x20 || rest.base[0] == 0x7f)) {
            text[(const char *)rest.base - text] = '?';
            len = 1;
        }
        rest = relay_span(rest.base + len, rest.len - len);
    }
}

bool problem_set(problem_t *problem, problem_code_t code, const char *format, ...)
{
    va_list values;

    if (problem->code != PROBLEM_NONE)
        return false;

    problem->code = code;
    va_start(values, format);
    vsnprintf(problem->detail, sizeof(problem->detail), format, values);
    va_end(values);
    make_showable(problem->detail);
    return false;
}

/* One that is too long points at what its place is part of. */
static void copy_pointer(char *copy, size_t size, const char *pointer)
{
    size_t len = strlen(pointer);

    if (len >= size)
        for (len = size - 1; len > 0 && pointer[len] != '/'; len--)
            ;
    memcpy(copy, pointer, len);
    copy[len] = '\0';
}

bool problem_fault(problem_t *problem, const char *pointer, const char *format, ...)
{
    va_list values;

    if (problem->code != PROBLEM_NONE && problem->code != PROBLEM_INVALID_DOCUMENT)
        return false;
    problem->code = PROBLEM_INVALID_DOCUMENT;
    if (problem->nfaults == PROBLEM_FAULTS_MAX)
        return false;

    size_t i = problem->nfaults++;
    copy_pointer(problem->faults[i].pointer, sizeof(problem->faults[i].pointer), pointer);
    va_start(values, format);
    vsnprintf(problem->faults[i].message, sizeof(problem->faults[i].message), format, values);
    va_end(values);
    make_showable(problem->faults[i].pointer);
    make_showable(problem->faults[i].message);
    return false;
}

static json_t *faults_json(const problem_t *problem)
{
    json_t *faults = json_array();

    for (size_t i = 0; i < problem->nfaults; i++)
        if (json_array_append_new(faults,
                                  json_pack("{s:s, s:s}", "pointer", problem->faults[i].pointer,
                                            "message", problem->faults[i].message)) != 0) {
            json_decref(faults);
            return NULL;
        }
    return faults;
}

/* A document with one fault needs no further sentence. */
static void describe(const problem_t *problem, char detail[DETAIL_MAX])
{
    if (problem->detail[0] != '\0')
        snprintf(detail, DETAIL_MAX, "%s", problem->detail);
    else if (problem->nfaults == 1)
        snprintf(detail, DETAIL_MAX, "The document has a fault: %s: %s.",
                 problem->faults[0].pointer, problem->faults[0].message);
    else if (problem->nfaults == PROBLEM_FAULTS_MAX)
        snprintf(detail, DETAIL_MAX, "The document has faults; the first %zu are listed.",
                 problem->nfaults);
    else
        snprintf(detail, DETAIL_MAX, "The document has %zu faults.", problem->nfaults);
    make_showable(detail);
}

json_t *problem_json(const problem_t *problem)
{
    char detail[DETAIL_MAX];

    describe(problem, detail);
    json_t *shown =
        json_pack("{s:s, s:s, s:i, s:s, s:s}", "type", "about:blank", "title",
                  codes[problem->code].title, "status", (int)codes[problem->code].status, "code",
                  codes[problem->code].name, "detail", detail);
    if (shown != NULL && problem->nfaults != 0 &&
        json_object_set_new(shown, "faults", faults_json(problem)) != 0) {
        json_decref(shown);
        return NULL;
    }
    return shown;
}
