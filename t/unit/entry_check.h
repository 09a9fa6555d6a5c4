/*
 * One document, the catalog's or not, that has to be good or bad. For tests of what
 * is read into hosts, models and offers. Documents are written with ' for ".
 */

#ifndef RELAY_TEST_ENTRY_CHECK_H
#define RELAY_TEST_ENTRY_CHECK_H

#include "config_check.h"

typedef struct {
    check_arena_t arena;
    char text[CHECK_DOCUMENT_MAX];
    relay_config_fault_t fault;
    const relay_config_t *config;
} entry_t;

static bool entry_build(entry_t *entry, const char *written, bool catalog)
{
    relay_arena_t memory = {check_allocate, &entry->arena};
    relay_document_t document = {RELAY_SPAN("d"), {NULL, 0}, catalog};

    check_prepare(written, entry->text);
    document.text = check_text(entry->text);
    entry->config = relay_config_build(&memory, &document, 1, &entry->fault);
    return entry->config != NULL;
}

__attribute__((unused)) static entry_t *entry_good(const char *written, bool catalog)
{
    entry_t *entry = calloc(1, sizeof(*entry));

    assert_non_null(entry);
    if (!entry_build(entry, written, catalog)) {
        print_error("%s\n%s: %s\n", written, entry->fault.path, entry->fault.message);
        fail();
    }
    return entry;
}

__attribute__((unused)) static void entry_free(entry_t *entry)
{
    check_release(&entry->arena);
    free(entry);
}

__attribute__((unused)) static void entry_refused(const char *written, bool catalog,
                                                  const char *path, const char *message)
{
    entry_t *entry = calloc(1, sizeof(*entry));

    assert_non_null(entry);
    if (entry_build(entry, written, catalog)) {
        print_error("accepted: %s\n", written);
        fail();
    }
    if (strcmp(entry->fault.path, path) != 0 || strstr(entry->fault.message, message) == NULL) {
        print_error("got  %s: %s\nwant %s: %s\n", entry->fault.path, entry->fault.message, path,
                    message);
        fail();
    }
    entry_free(entry);
}

/* Every allocation may be the one that fails. */
__attribute__((unused)) static void entry_without_memory(const char *written, bool catalog)
{
    entry_t *entry = entry_good(written, catalog);
    size_t needed = entry->arena.allocations;

    for (size_t fail_at = 1; fail_at <= needed; fail_at++) {
        check_release(&entry->arena);
        entry->arena.fail_at = fail_at;
        assert_false(entry_build(entry, written, catalog));
        assert_string_equal(entry->fault.message, "out of memory");
    }
    entry_free(entry);
}

__attribute__((unused)) static const relay_host_t *entry_host(const entry_t *entry,
                                                              const char *name)
{
    return relay_config_find_host(entry->config, check_text(name));
}

__attribute__((unused)) static const relay_wire_t *entry_wire(const char *format)
{
    const relay_wire_t *wire = relay_wire_find(check_text(format));

    assert_non_null(wire);
    return wire;
}

#endif
