/*
 * Records of relay keys: what is read, what is refused, what may be skipped.
 * Records are written with ' for ", and with ~ in front of the place where a
 * fault is to be found.
 */

#include "key_record.c"

#include "config_check.h"

#define SHA "91d402d7f382f5209357649631365922853062107e48343f8fb493879924e6ef"
#define REST                                                                                       \
    "'revision': 41, 'id': 'rk_1', 'name': 'app-1', 'workspace': 'default', 'policy': 'team'"
#define LEAST "'sha256': '" SHA "', " REST

static bool read_written(check_arena_t *arena, const char *written, relay_key_record_t *record,
                         relay_config_fault_t *fault)
{
    char *text = calloc(1, CHECK_DOCUMENT_MAX);
    relay_arena_t memory = {check_allocate, arena};
    bool good;

    assert_non_null(text);
    check_prepare(written, text);
    memset(fault, 0x5a, sizeof(*fault));
    good = relay_key_record_read(&memory, check_text(text), record, fault);
    free(text); /* nothing may point here */
    return good;
}

static void refused(const char *written, const char *path, const char *message)
{
    char document[CHECK_DOCUMENT_MAX];
    size_t line, column, mark = check_prepare(written, document);
    check_arena_t arena = {0};
    relay_key_record_t record;
    relay_config_fault_t fault;

    if (read_written(&arena, written, &record, &fault)) {
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

static const char full[] =
    "{'sha256': '" SHA "', 'revision': 9007199254740992, 'id': 'rk_01932c', 'name': 'app-1',"
    "'workspace': 'team/blue', 'policy': 'team', 'models': ['example-*', 'x'],"
    "'expires_at': '2027-01-01T00:00:00Z', 'disabled': true, '$comment': [1],"
    "'tags': {'team': 'search', 'cost-centre': '', 'city': 'K\\u00f6ln'}}";

static void every_member_is_read(void **state)
{
    check_arena_t arena = {0};
    relay_key_record_t record;
    relay_config_fault_t fault;
    relay_digest_t digest;

    (void)state;
    assert_true(read_written(&arena, full, &record, &fault));
    assert_true(relay_digest_parse(RELAY_SPAN(SHA), &digest));
    assert_true(relay_digest_eq(&record.digest, &digest));
    assert_int_equal(record.revision, UINT64_C(1) << 53);
    check_span(record.id, "rk_01932c");
    check_span(record.name, "app-1");
    check_span(record.workspace, "team/blue");
    check_span(record.policy, "team");
    assert_int_equal(record.models.count, 2);
    check_span(record.models.items[0], "example-*");
    check_span(record.models.items[1], "x");
    assert_int_equal(record.expires_at_s, 1798761600);
    assert_true(record.disabled);
    assert_int_equal(record.ntags, 3);
    check_span(record.tags[0].name, "team");
    check_span(record.tags[0].value, "search");
    check_span(record.tags[1].name, "cost-centre");
    check_span(record.tags[1].value, "");
    check_span(record.tags[2].value, "K\xc3\xb6ln");
    check_release(&arena);
}

static void members_have_defaults(void **state)
{
    static const char *const records[] = {"{" LEAST "}", "{" LEAST ", 'expires_at': null}",
                                          "{" LEAST ", 'tags': {}, 'disabled': false}"};

    (void)state;
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        check_arena_t arena = {0};
        relay_key_record_t record;
        relay_config_fault_t fault;
        memset(&record, 0x5a, sizeof(record));
        assert_true(read_written(&arena, records[i], &record, &fault));
        assert_int_equal(record.revision, 41);
        assert_int_equal(record.models.count, 1);
        check_span(record.models.items[0], "*");
        assert_int_equal(record.expires_at_s, 0);
        assert_false(record.disabled);
        assert_int_equal(record.ntags, 0);
        check_release(&arena);
    }
}

static void a_record_becomes_a_key(void **state)
{
    check_arena_t arena = {0};
    relay_key_record_t record;
    relay_config_fault_t fault;
    relay_policy_t policy = {.name = RELAY_SPAN("team")};
    relay_relay_key_t key;

    (void)state;
    assert_true(read_written(&arena, full, &record, &fault));
    key = relay_key_of_record(&record, &policy);
    check_span(key.name, "app-1");
    assert_true(relay_digest_eq(&key.digest, &record.digest));
    assert_ptr_equal(key.policy, &policy);
    check_span(key.models.items[1], "x");
    assert_int_equal(key.expires_at_s, 1798761600);
    assert_true(key.disabled);
    check_release(&arena);
}

/* ---- what is refused ---------------------------------------------------------- */

static void syntax(void **state)
{
    (void)state;
    refused("~", "", "JSON ends too early");
    refused("{" LEAST "~", "", "JSON ends too early");
    refused("{" LEAST "} ~x", "", "unexpected x");
    refused("~[]", "", "expected an object, found an array");
    refused("{" LEAST ", ~'name': 'b'}", "name", "occurs twice");
    refused("{" LEAST ", ~'n\\u0061me': 'b'}", "[\"n\\u0061me\"]", "occurs twice");
}

static void required_members(void **state)
{
    (void)state;
    refused("~{" REST "}", "", "expected \"sha256\"");
    refused("~{}", "", "expected \"sha256\"");
    refused("~{'sha256': '" SHA "', 'id': 'a', 'name': 'a', 'workspace': 'a', 'policy': 'a'}", "",
            "expected \"revision\"");
    refused("~{'sha256': '" SHA "', 'revision': 1, 'name': 'a', 'workspace': 'a', 'policy': 'a'}",
            "", "expected \"id\"");
    refused("~{'sha256': '" SHA "', 'revision': 1, 'id': 'a', 'workspace': 'a', 'policy': 'a'}", "",
            "expected \"name\"");
    refused("~{'sha256': '" SHA "', 'revision': 1, 'id': 'a', 'name': 'a', 'policy': 'a'}", "",
            "expected \"workspace\"");
    refused("~{'sha256': '" SHA "', 'revision': 1, 'id': 'a', 'name': 'a', 'workspace': 'a'}", "",
            "expected \"policy\"");
}

static void values(void **state)
{
    (void)state;
    refused("{'sha256': ~'" SHA "0'}", "sha256", "64 hexadecimal digits");
    refused("{'sha256': ~'91D402d7f382f5209357649631365922853062107e48343f8fb493879924e6ef'}",
            "sha256", "in lower case");
    refused("{'sha256': ~5}", "sha256", "64 hexadecimal digits");
    refused("{'revision': ~0}", "revision", "from 1 to 9007199254740992");
    refused("{'revision': ~9007199254740993}", "revision", "from 1 to 9007199254740992");
    refused("{'revision': ~1.0}", "revision", "a whole number");
    refused("{'id': ~''}", "id", "expected a name");
    refused("{'name': ~'a b'}", "name", "expected a name");
    refused("{'workspace': ~'a\\n'}", "workspace", "expected a name");
    refused("{'policy': ~null}", "policy", "expected a string, found null");
    refused("{'models': ~'*'}", "models", "an array of patterns");
    refused("{'models': [~'a b']}", "models[0]", "without spaces");
    refused("{'expires_at': ~'2027-13-01T00:00:00Z'}", "expires_at", "2027-01-01T00:00:00Z");
    refused("{'expires_at': ~0}", "expires_at", "2027-01-01T00:00:00Z");
    refused("{'disabled': ~0}", "disabled", "expected true or false");
    refused("{'disabled': ~null}", "disabled", "expected true or false");
    refused("{'tags': ~[]}", "tags", "an object of texts");
    refused("{'tags': {~'a b': ''}}", "tags[\"a b\"]", "expected a name");
    refused("{'tags': {'a': ~1}}", "tags.a", "expected a string");
    refused("{'tags': {'a': ~'\\u0007'}}", "tags.a", "control character");
}

static char *repeat(const char *before, const char *part, size_t count, const char *after)
{
    size_t room = strlen(before) + (strlen(part) + 16) * count + strlen(after) + 1;
    char *text = malloc(room), *at = text;

    assert_non_null(text);
    at += snprintf(at, room, "%s", before);
    for (size_t i = 0; i < count; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        at += snprintf(at, room - (size_t)(at - text), part, i != 0 ? "," : "", i);
#pragma GCC diagnostic pop
    }
    snprintf(at, room - (size_t)(at - text), "%s", after);
    return text;
}

static void limits(void **state)
{
    static const struct {
        const char *before;
        const char *part;
        size_t count;
        const char *after;
        const char *message;
    } cases[] = {
        {"{" LEAST ", 'tags': {", "%s'%zu': ''", 64, "}}", "more than 64 tags"},
        {"{" LEAST ", 'ignorable': [", "%s'%zu'", 64, "]}", "more than 64 names"},
        {"{" LEAST ", 'models': [", "%s'%zu'", 1000, "]}", "more than 1000 patterns"},
    };

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        size_t over = i % 2;
        char *text = repeat(cases[i / 2].before, cases[i / 2].part, cases[i / 2].count + over,
                            cases[i / 2].after);
        check_arena_t arena = {0};
        relay_key_record_t record;
        relay_config_fault_t fault;
        assert_int_equal(read_written(&arena, text, &record, &fault), !over);
        assert_true(!over || strcmp(fault.message, cases[i / 2].message) == 0);
        check_release(&arena);
        free(text);
    }
}

static void sizes(void **state)
{
    enum { MAX = 64 * 1024 };
    char *text = malloc(MAX + 1);
    check_arena_t arena = {0};
    relay_arena_t memory = {check_allocate, &arena};
    relay_key_record_t record;
    relay_config_fault_t fault;
    size_t length;

    (void)state;
    assert_non_null(text);
    memset(text, ' ', MAX + 1);
    length = check_prepare("{" LEAST "}", text);
    text[length] = ' ';
    assert_true(relay_key_record_read(&memory, relay_span(text, MAX), &record, &fault));
    assert_false(relay_key_record_read(&memory, relay_span(text, MAX + 1), &record, &fault));
    assert_string_equal(fault.message, "the record is too large");
    check_release(&arena);
    free(text);
}

/* ---- members of later versions -------------------------------------------------- */

static void unknown_members(void **state)
{
    static const char *const good[] = {
        "{" LEAST ", 'ignorable': []}",
        "{" LEAST ", 'ignorable': ['colour'], 'colour': {'policy': [1]}}",
        "{'colour': 1, " LEAST ", 'ignorable': ['shape', 'colour']}",
        "{" LEAST ", 'ignorable': ['c\\u006flour'], 'col\\u006fur': 1}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        check_arena_t arena = {0};
        relay_key_record_t record;
        relay_config_fault_t fault;
        if (!read_written(&arena, good[i], &record, &fault)) {
            print_error("%s: %s: %s\n", good[i], fault.path, fault.message);
            fail();
        }
        check_span(record.policy, "team");
        check_release(&arena);
    }
    refused("{" LEAST ", ~'colour': 1}", "colour", "there is no member \"colour\"");
    refused("{" LEAST ", 'ignorable': ['color'], ~'colour': 1}", "colour", "no member");
    refused("{" LEAST ", 'ignorable': [~'*'], 'colour': 1}", "ignorable[0]", "expected a name");
}

/* That a member may be skipped by others is no reason to skip it. */
static void known_members_are_never_skipped(void **state)
{
    check_arena_t arena = {0};
    relay_key_record_t record;
    relay_config_fault_t fault;

    (void)state;
    assert_true(read_written(&arena, "{" LEAST ", 'ignorable': ['disabled'], 'disabled': true}",
                             &record, &fault));
    assert_true(record.disabled);
    check_release(&arena);
    refused("{" LEAST ", 'ignorable': ['disabled'], 'disabled': ~1}", "disabled", "true or false");
    refused("{" LEAST ", 'ignorable': ~'x'}", "ignorable", "an array of names of members");
    refused("{" LEAST ", 'ignorable': [~'a b']}", "ignorable[0]", "expected a name");
    refused("{" LEAST ", 'tags': {'a': ''}, 'ignorable': ['a'], ~'b': 1}", "b", "no member");
}

/* ---- memory ------------------------------------------------------------------------ */

/* A cache holds many records: the token tape is not in the arena. */
static void little_memory_is_kept(void **state)
{
    check_arena_t arena = {0};
    relay_key_record_t record;
    relay_config_fault_t fault;
    size_t kept = 0;

    (void)state;
    assert_true(read_written(&arena, full, &record, &fault));
    for (const check_block_t *block = arena.blocks; block != NULL; block = block->next) {
        kept += block->size;
    }
    assert_true(kept < 256);
    check_release(&arena);
}

static void memory_may_run_out_at_any_moment(void **state)
{
    char *many = repeat("{" LEAST ", 'models': [", "%s'%zu'", 1000, "], 'tags': {'a': 'b'}}");
    check_arena_t arena = {0};
    relay_key_record_t record;
    relay_config_fault_t fault;
    size_t needed;

    (void)state;
    assert_true(read_written(&arena, many, &record, &fault));
    needed = arena.allocations;
    check_release(&arena);
    assert_true(needed > 1000);
    for (size_t fail_at = 1; fail_at <= needed; fail_at += fail_at < 20 ? 1 : 17) {
        arena.fail_at = fail_at;
        assert_false(read_written(&arena, many, &record, &fault));
        assert_string_equal(fault.message, "out of memory");
        check_release(&arena);
    }
    free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_is_read),
        cmocka_unit_test(members_have_defaults),
        cmocka_unit_test(a_record_becomes_a_key),
        cmocka_unit_test(syntax),
        cmocka_unit_test(required_members),
        cmocka_unit_test(values),
        cmocka_unit_test(limits),
        cmocka_unit_test(sizes),
        cmocka_unit_test(unknown_members),
        cmocka_unit_test(known_members_are_never_skipped),
        cmocka_unit_test(little_memory_is_kept),
        cmocka_unit_test(memory_may_run_out_at_any_moment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
