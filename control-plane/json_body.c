/*
 * JSON texts into jansson's values. Called by exchange.c.
 */

#include "json_body.h"

#include <string.h>

/* jansson recurses: what is too deep never reaches it. */
static bool depth_ok(const char *text, size_t len)
{
    size_t depth = 0;
    bool quoted = false;

    for (size_t i = 0; i < len; i++) {
        if (quoted) {
            if (text[i] == '\\')
                i++;
            else
                quoted = text[i] != '"';
        } else if (text[i] == '"') {
            quoted = true;
        } else if (text[i] == '{' || text[i] == '[') {
            if (++depth > JSON_BODY_DEPTH_MAX)
                return false;
        } else if ((text[i] == '}' || text[i] == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
}

/* jansson's own words quote the text, which may be a secret. */
static const char *words(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_premature_end_of_input:
        return "the text ends too early";
    case json_error_end_of_input_expected:
        return "there is something after the document";
    case json_error_invalid_utf8:
        return "this is not UTF-8";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "a text has a NUL character";
    case json_error_duplicate_key:
        return "an object has this member twice";
    case json_error_numeric_overflow:
        return "a number is out of range";
    default:
        return "this is not JSON";
    }
}

json_t *json_body_read(const char *text, size_t len, problem_t *problem)
{
    json_error_t error;
    json_t *document;

    if (!depth_ok(text, len)) {
        problem_set(problem, PROBLEM_INVALID_JSON, "The body is nested more than %d levels deep.",
                    JSON_BODY_DEPTH_MAX);
        return NULL;
    }
    document = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (document == NULL)
        problem_set(problem, PROBLEM_INVALID_JSON, "The body, line %d, column %d: %s.", error.line,
                    error.column, words(&error));
    return document;
}
