/*
 * Heads: what is read, what is refused. Heads are written with ' for ", and with
 * ~ in front of the place where a fault is to be found.
 */

#include "config_head.c"

#include "config_check.h"

#define SHA            "91d402d7f382f5209357649631365922853062107e48343f8fb493879924e6ef"
#define TOP            "'deployment': '01932c', 'revision': 42, 'issued_at': 1795521600"
#define DOCUMENT(name) "{'name': '" name "', 'sha256': '" SHA "', 'bytes': 90}"
#define ONE            "'documents': [" DOCUMENT("a") "]"

static bool read_written(check_arena_t *arena, const char *written, relay_head_t *head,
                         relay_config_fault_t *fault)
{
    char *text = calloc(1, CHECK_DOCUMENT_MAX);
    relay_arena_t memory = {check_allocate, arena};
    bool good;

    assert_non_null(text);
    check_prepare(written, text);
    memset(fault, 0x5a, sizeof(*fault));
    memset(head, 0x5a, sizeof(*head));
    good = relay_head_read(&memory, check_text(text), head, fault);
    free(text); /* nothing may point here */
    return good;
}

static void refused(const char *written, const char *path, const char *message)
{
    char document[CHECK_DOCUMENT_MAX];
    size_t line, column, mark = check_prepare(written, document);
    check_arena_t arena = {0};
    relay_head_t head;
    relay_config_fault_t fault;

    if (read_written(&arena, written, &head, &fault)) {
        print_error("accepted: %s\n", document);
        fail();
    }
    relay_json_position(check_text(document), mark, &line, &column);
    if (fault.line != line || fault.column != column || strcmp(fault.path, path) != 0 ||
        strstr(fault.message, message) == NULL) {
        print_error("%s\nwant %zu:%zu: %s: %s\ngot  %zu:%zu: %s: %s\n", document, line, column,
                    path, message, fault.line, fault.column, fault.path, fault.message);
        fail();
    }
    assert_int_equal(fault.document.len, 0);
    check_release(&arena);
}

/* ---- what is read ----------------------------------------------------------- */

static void every_member_is_read(void **state)
{
    check_arena_t arena = {0};
    relay_head_t head;
    relay_config_fault_t fault;
    relay_digest_t digest;

    (void)state;
    assert_true(read_written(&arena,
                             "{" TOP ", 'documents': ["
                             "{'name': 'workspace/default/revocations/0', 'sha256': '" SHA
                             "', 'bytes': 67108864},"
                             "{'bytes': 1, 'name': 'catalog/models/example', 'sha256': '" SHA "'},"
                             "{'bytes': 2, 'name': 'catalogue', 'sha256': '" SHA "'}]}",
                             &head, &fault));
    check_span(head.deployment, "01932c");
    assert_int_equal(head.revision, 42);
    assert_int_equal(head.issued_at_s, 1795521600);
    assert_int_equal(head.ndocuments, 3);
    assert_int_equal(head.bytes, 67108864 + 3);
    check_span(head.documents[0].name, "workspace/default/revocations/0");
    assert_int_equal(head.documents[0].bytes, 67108864);
    assert_false(head.documents[0].catalog);
    assert_true(relay_digest_parse(RELAY_SPAN(SHA), &digest));
    assert_true(relay_digest_eq(&head.documents[1].digest, &digest));
    check_span(head.documents[1].name, "catalog/models/example");
    assert_true(head.documents[1].catalog);
    assert_false(head.documents[2].catalog);
    check_release(&arena);
}

/* ---- what is refused ---------------------------------------------------------- */

static void members(void **state)
{
    (void)state;
    refused("~", "", "JSON ends too early");
    refused("~[]", "", "expected an object, found an array");
    refused("{" TOP ", " ONE ", ~'colour': 1}", "colour", "there is no member");
    refused("{" TOP ", " ONE ", ~'revision': 43}", "revision", "occurs twice");
    refused("~{'revision': 42, 'issued_at': 1, " ONE "}", "", "expected \"deployment\"");
    refused("~{'deployment': 'a', 'issued_at': 1, " ONE "}", "", "expected \"revision\"");
    refused("~{'deployment': 'a', 'revision': 1, " ONE "}", "", "expected \"issued_at\"");
    refused("~{" TOP "}", "", "expected \"documents\"");
    refused("{'deployment': ~''}", "deployment", "expected a name");
    refused("{'deployment': ~5}", "deployment", "expected a string");
    refused("{'revision': ~0}", "revision", "from 1 to 9007199254740992");
    refused("{'revision': ~9007199254740993}", "revision", "from 1 to 9007199254740992");
    refused("{'issued_at': ~-1}", "issued_at", "from 0 to 9007199254740992");
    refused("{'issued_at': ~'1'}", "issued_at", "expected a number");
}

static void documents(void **state)
{
    (void)state;
    refused("{'documents': ~{}}", "documents", "expected an array of documents");
    refused("{'documents': ~[]}", "documents", "expected 1 to 1000 documents");
    refused("{'documents': [~5]}", "documents[0]", "expected an object");
    refused("{'documents': [~{'sha256': '" SHA "', 'bytes': 1}]}", "documents[0]",
            "expected \"name\"");
    refused("{'documents': [~{'name': 'a', 'bytes': 1}]}", "documents[0]", "expected \"sha256\"");
    refused("{'documents': [" DOCUMENT("a") ", ~{'name': 'b', 'sha256': '" SHA "'}]}",
            "documents[1]", "expected \"bytes\"");
    refused("{'documents': [{~'url': 'x'}]}", "documents[0].url", "there is no member");
    refused("{'documents': [{'sha256': ~'" SHA "0'}]}", "documents[0].sha256", "64 hexadecimal");
    refused("{'documents': [{'bytes': ~0}]}", "documents[0].bytes", "from 1 to 67108864");
    refused("{'documents': [{'bytes': ~67108865}]}", "documents[0].bytes", "from 1 to 67108864");
}

static void names(void **state)
{
    static const char *const wrong[] = {
        "",      "/",
        "/a",    "a/",
        "a//b",  ".",
        "..",    "../a",
        "a/..",  "a/./b",
        "a b/c", "a\\n",
        "a\\\\", "a/n123456789012345678901234567890123456789012345678901234567890123456789"};
    char document[CHECK_DOCUMENT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(document, sizeof(document), "{'documents': [{'name': ~'%s'}]}", wrong[i]);
        refused(document, "documents[0].name", "expected a document's name");
    }
    refused("{" TOP ", 'documents': [" DOCUMENT("b") ", " DOCUMENT("a") ", ~" DOCUMENT(
                "b") ", " DOCUMENT("c") "]}",
            "documents[2]", "this name occurs twice");
    for (size_t i = 0; i < 2; i++) { /* segments of 64, 192 bytes in all */
        char name[256] = {0};
        check_arena_t arena = {0};
        relay_head_t head;
        relay_config_fault_t fault;
        memset(name, 'n', 192 + i);
        name[64] = name[128] = '/';
        snprintf(document, sizeof(document),
                 "{" TOP ", 'documents': [{'name': '%s', 'sha256': '" SHA "', 'bytes': 1}]}", name);
        assert_int_equal(read_written(&arena, document, &head, &fault), i == 0);
        check_release(&arena);
    }
}

/* count documents of `bytes` each. */
static char *many(size_t count, size_t bytes)
{
    size_t room = 256 + count * 160;
    char *text = malloc(room), *at = text;

    assert_non_null(text);
    at +=
        snprintf(at, room, "{\"deployment\":\"a\",\"revision\":1,\"issued_at\":0,\"documents\":[");
    for (size_t i = 0; i < count; i++) {
        at += snprintf(at, room - (size_t)(at - text),
                       "%s{\"name\":\"d/%zu\",\"sha256\":\"" SHA "\",\"bytes\":%zu}",
                       i != 0 ? "," : "", i, bytes);
    }
    snprintf(at, room - (size_t)(at - text), "]}");
    return text;
}

static void limits(void **state)
{
    static const struct {
        size_t count;
        size_t bytes;
        const char *message; /* NULL: good */
    } cases[] = {
        {1000, 1, NULL},
        {1001, 1, "expected 1 to 1000 documents"},
        {4, 64 << 20, NULL},
        {5, 64 << 20, "the documents have more than 268435456 bytes"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = many(cases[i].count, cases[i].bytes);
        check_arena_t arena = {0};
        relay_arena_t memory = {check_allocate, &arena};
        relay_head_t head;
        relay_config_fault_t fault;
        assert_int_equal(relay_head_read(&memory, check_text(text), &head, &fault),
                         cases[i].message == NULL);
        if (cases[i].message != NULL) {
            assert_string_equal(fault.message, cases[i].message);
        } else {
            assert_int_equal(head.ndocuments, cases[i].count);
            assert_int_equal(head.bytes, cases[i].count * cases[i].bytes);
        }
        check_release(&arena);
        free(text);
    }
}

static void sizes(void **state)
{
    enum { MAX = 1024 * 1024 };
    char *text = malloc(MAX + 1);
    check_arena_t arena = {0};
    relay_arena_t memory = {check_allocate, &arena};
    relay_head_t head;
    relay_config_fault_t fault;
    size_t length;

    (void)state;
    assert_non_null(text);
    memset(text, ' ', MAX + 1);
    length = check_prepare("{" TOP ", " ONE "}", text);
    text[length] = ' ';
    assert_true(relay_head_read(&memory, relay_span(text, MAX), &head, &fault));
    assert_false(relay_head_read(&memory, relay_span(text, MAX + 1), &head, &fault));
    assert_string_equal(fault.message, "the head is too large");
    check_release(&arena);
    free(text);
}

static void memory_may_run_out_at_any_moment(void **state)
{
    char *text = many(20, 1);
    check_arena_t arena = {0};
    relay_arena_t memory = {check_allocate, &arena};
    relay_head_t head;
    relay_config_fault_t fault;
    size_t needed;

    (void)state;
    assert_true(relay_head_read(&memory, check_text(text), &head, &fault));
    needed = arena.allocations;
    check_release(&arena);
    assert_true(needed > 20);
    for (size_t fail_at = 1; fail_at <= needed; fail_at++) {
        arena.fail_at = fail_at;
        assert_false(relay_head_read(&memory, check_text(text), &head, &fault));
        assert_string_equal(fault.message, "out of memory");
        check_release(&arena);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_is_read),
        cmocka_unit_test(members),
        cmocka_unit_test(documents),
        cmocka_unit_test(names),
        cmocka_unit_test(limits),
        cmocka_unit_test(sizes),
        cmocka_unit_test(memory_may_run_out_at_any_moment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
