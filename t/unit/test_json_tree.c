/* Walking a tape: members, children, decoded text. */

#include "json_tree.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

typedef struct {
    relay_json_token_t tokens[64];
    relay_json_tree_t tree;
} document_t;

static void parse(document_t *document, const char *text)
{
    relay_json_fault_t fault;

    document->tree.text = relay_span(text, strlen(text));
    document->tree.tokens = document->tokens;
    assert_int_equal(relay_json_tape(document->tree.text, document->tokens, 64,
                                     &document->tree.count, false, &fault),
                     RELAY_TAPE_OK);
}

static void expect(relay_span_t got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.base, want, got.len);
}

static void members_are_found_however_they_are_spelt(void **state)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("a"), RELAY_SPAN_INIT("b"),
                                        RELAY_SPAN_INIT("c")};
    relay_json_node_t nodes[3];
    document_t document;

    (void)state;
    parse(&document, "{\"a\":{\"b\":1},\"\\u0062\":[2,[3]],\"a\":\"last\",\"d\":null}");
    relay_json_pick(&document.tree, 0, keys, 3, nodes);
    expect(relay_json_content(&document.tree, nodes[0]), "last");
    expect(relay_json_value(&document.tree, nodes[1]).text, "[2,[3]]");
    assert_int_equal(nodes[2], RELAY_JSON_NOWHERE);
    assert_int_equal(relay_json_type(&document.tree, nodes[2]), RELAY_JSON_ABSENT);
    assert_int_equal(relay_json_value(&document.tree, nodes[2]).type, RELAY_JSON_ABSENT);
    relay_json_pick(&document.tree, nodes[1], keys, 3, nodes);
    assert_int_equal(nodes[0], RELAY_JSON_NOWHERE);
}

static void children_come_in_order(void **state)
{
    relay_json_node_t node;
    document_t document;
    char seen[64] = "";

    (void)state;
    parse(&document, "[1,[],{\"x\":[5]},\"s\"]");
    for (node = relay_json_first(&document.tree, 0); node != RELAY_JSON_NOWHERE;
         node = relay_json_next(&document.tree, 0, node)) {
        relay_span_t text = relay_json_value(&document.tree, node).text;
        size_t at = strlen(seen);
        snprintf(seen + at, sizeof(seen) - at, "%.*s;", (int)text.len, (const char *)text.base);
    }
    assert_string_equal(seen, "1;[];{\"x\":[5]};\"s\";");
    assert_int_equal(relay_json_first(&document.tree, 2), RELAY_JSON_NOWHERE);
    assert_int_equal(relay_json_first(&document.tree, 1), RELAY_JSON_NOWHERE);
    assert_int_equal(relay_json_first(&document.tree, RELAY_JSON_NOWHERE), RELAY_JSON_NOWHERE);
}

static void strings_compare_decoded(void **state)
{
    document_t document;

    (void)state;
    parse(&document, "[\"a\\u0062\",3]");
    assert_true(relay_json_reads(&document.tree, 1, RELAY_SPAN("ab")));
    assert_false(relay_json_reads(&document.tree, 1, RELAY_SPAN("a")));
    assert_false(relay_json_reads(&document.tree, 2, RELAY_SPAN("3")));
    assert_int_equal(relay_json_content(&document.tree, 2).len, 0);
}

static void content_is_decoded_without_quotes_around_it(void **state)
{
    char bytes[64];
    relay_buf_t out = relay_buf(bytes, sizeof(bytes));

    (void)state;
    relay_json_decode_content(RELAY_SPAN("a\\n\\u00e9\\ud83d\\ude00\\\\"), &out);
    expect(relay_buf_span(&out), "a\n\xc3\xa9\xf0\x9f\x98\x80\\");
    relay_json_decode_content(relay_span(NULL, 0), &out);
    assert_int_equal(out.len, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_found_however_they_are_spelt),
        cmocka_unit_test(children_come_in_order),
        cmocka_unit_test(strings_compare_decoded),
        cmocka_unit_test(content_is_decoded_without_quotes_around_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
