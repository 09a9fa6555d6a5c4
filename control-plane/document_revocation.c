/*
 * Revocations of a workspace: documents of 4096 places each, so that one more
 * re-sends little. Postgres writes them; 100,000 of them are no JSON values
 * here. `revocation_segment` has the count and the sum of the revisions of each:
 * a document is read again, hashed and tried only if one of them is another
 * one. A row that comes or changes has a later revision than any before, a row
 * that goes takes one from the count. See document.h.
 */

#include "document.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_MAX = 24, MARK_MAX = 96 };

/* One document while it is looked at. */
typedef struct {
    const char *workspace_id;
    char name[RELAY_HEAD_NAME_MAX + 1];
    const char *number;
    size_t entries;
    char mark[MARK_MAX]; /* count and sum */
} segment_t;

/* The document's members, from the database. */
static json_t *read_text(document_build_t *build, const segment_t *segment)
{
    PGresult *row =
        SESSION_QUERY(build->session,
                      "SELECT string_agg(format('\"%s\":%s', encode(digest, 'hex'), revision), ','"
                      " ORDER BY digest) FROM revocation WHERE workspace_id = $1::uuid"
                      " AND position > $2::bigint * 4096 AND position <= ($2::bigint + 1) * 4096",
                      segment->workspace_id, segment->number);
    json_t *text = NULL;

    if (row != NULL) {
        text = json_sprintf("{\"revocations\":{%s}}", PQgetvalue(row, 0, 0));
    } else {
        document_fail(build, "the database: %s", session_error(build->session)->message);
    }
    PQclear(row);
    return text;
}

/* {mark, digest, text} as it is now, or NULL. */
static json_t *read_segment(document_build_t *build, const segment_t *segment)
{
    json_t *text = read_text(build, segment);
    char digest[2 * RELAY_DIGEST_LEN + 1];

    if (text == NULL) {
        return NULL;
    }
    document_digest(json_string_value(text), json_string_length(text), digest);
    return json_pack("{s:s, s:s, s:o}", "mark", segment->mark, "digest", digest, "text", text);
}

/* The same, kept from the last build if nothing changed. Owned by the caller. */
static json_t *find_text(document_build_t *build, const segment_t *segment)
{
    json_t *kept = json_object_get(build->source->revocations, segment->name);
    const char *mark = json_string_value(json_object_get(kept, "mark"));

    if (mark != NULL && strcmp(mark, segment->mark) == 0) {
        return json_incref(kept);
    }
    return read_segment(build, segment);
}

static bool add_segment(document_build_t *build, const segment_t *segment)
{
    json_t *kept = find_text(build, segment);
    json_t *text = json_object_get(kept, "text");
    bool good = text != NULL && json_object_set(build->revocations, segment->name, kept) == 0 &&
                documents_lend(&build->documents,
                               &(document_t){.text = (char *)json_string_value(text),
                                             .len = json_string_length(text),
                                             .tried = json_object_get(kept, "tried") != NULL},
                               segment->name, json_string_value(json_object_get(kept, "digest")));

    json_decref(kept);
    build->nrevocations += segment->entries;
    return good || document_fail(build, "out of memory");
}

bool document_revocations(document_build_t *build, const char *id, const char *name)
{
    PGresult *rows = document_query(build,
                                    "SELECT number, entries, revisions FROM revocation_segment"
                                    " WHERE workspace_id = $1::uuid AND entries > 0"
                                    " ORDER BY number",
                                    id);
    bool good = rows != NULL;

    for (int i = 0; good && i < PQntuples(rows); i++) {
        segment_t segment = {.workspace_id = id,
                             .number = PQgetvalue(rows, i, 0),
                             .entries = strtoull(PQgetvalue(rows, i, 1), NULL, 10)};
        snprintf(segment.name, sizeof(segment.name), "workspace/%.128s/revocations/%.20s", name,
                 segment.number);
        snprintf(segment.mark, sizeof(segment.mark), "%.40s %.40s", PQgetvalue(rows, i, 1),
                 PQgetvalue(rows, i, 2));
        good = add_segment(build, &segment);
    }
    PQclear(rows);
    return good;
}

void document_revocations_tried(document_build_t *build)
{
    const char *name;
    json_t *kept;

    json_object_foreach(build->revocations, name, kept)
    {
        json_object_set_new(kept, "tried", json_true());
    }
}
