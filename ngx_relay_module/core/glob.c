/*
 * Globs of model and host names, declared in config_doc.h: `*` is any run of
 * characters, `?` one. Called by route for each request.
 */

#include "config_doc.h"

/* Only the last star can need another try: what stands before it already
 * matches as early as possible. */
bool relay_glob_match(relay_span_t glob, relay_span_t text)
{
    size_t g = 0, t = 0;
    size_t star = SIZE_MAX, star_text = 0; /* behind the last star; where its run ends */

    while (t < text.len) {
        if (g < glob.len && glob.base[g] == '*') {
            star = ++g;
            star_text = t;
        } else if (g < glob.len && (glob.base[g] == '?' || glob.base[g] == text.base[t])) {
            g++;
            t++;
        } else if (star != SIZE_MAX) {
            g = star;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (g < glob.len && glob.base[g] == '*') {
        g++;
    }
    return g == glob.len;
}

bool relay_globs_match(const relay_globs_t *globs, relay_span_t text)
{
    for (size_t i = 0; i < globs->count; i++) {
        if (relay_glob_match(globs->items[i], text)) {
            return true;
        }
    }
    return false;
}
