/*
 * What a translation still needs while its answer is streamed, apart from what
 * only the request needed: see translate.h.
 */

#include "codec_support.h"

typedef struct {
    relay_translation_t *translation;
    bool failed;
} keeping_t;

static relay_span_t keep(keeping_t *keeping, relay_span_t text)
{
    relay_span_t copy = relay_arena_copy(keeping->translation->arena, text);

    keeping->failed = keeping->failed || copy.base == NULL;
    return copy;
}

static void keep_notes(keeping_t *keeping)
{
    relay_note_t **place = &keeping->translation->notes;

    for (const relay_note_t *note = *place; note != NULL; note = note->next) {
        relay_note_t *copy = relay_codec_new(keeping->translation, sizeof(*copy));
        if (copy == NULL) {
            keeping->failed = true;
            break;
        }
        *copy = (relay_note_t){.name = keep(keeping, note->name), .changed = note->changed};
        *place = copy;
        place = &copy->next;
    }
    *place = NULL;
}

static void keep_renames(keeping_t *keeping)
{
    relay_rename_t **place = &keeping->translation->renames;

    for (const relay_rename_t *rename = *place; rename != NULL; rename = rename->next) {
        relay_rename_t *copy = relay_codec_new(keeping->translation, sizeof(*copy));
        if (copy == NULL) {
            keeping->failed = true;
            break;
        }
        *copy = *rename;
        copy->original = keep(keeping, rename->original);
        copy->scope = keep(keeping, rename->scope);
        copy->sent = keep(keeping, rename->sent);
        *place = copy;
        place = &copy->next;
    }
    *place = NULL;
}

bool relay_translation_keep(relay_translation_t *translation, const relay_arena_t *arena)
{
    keeping_t keeping = {translation, false};

    translation->arena = arena;
    translation->words = NULL; /* of the request alone */
    translation->model = keep(&keeping, translation->model);
    keep_notes(&keeping);
    keep_renames(&keeping);
    return !keeping.failed;
}
