/*
 * Secrets at rest: what a ciphertext is bound to, what the data plane gets, and
 * the rotation of both kinds of keys. The database is a few rows in memory that
 * answer the statements of secret.c.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "secret.c"

#define WORKSPACE "01890000-0000-7000-8000-000000000001"
#define ELSEWHERE "01890000-0000-7000-8000-000000000002"
#define ROW       "01890000-0000-7000-8000-0000000000a1"
#define ORIGIN    "https://api.example.com:443"
#define SECRET    "planted-provider-secret"

#define MASTER    "master-1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n"
#define MASTER_2  "master-2 ICECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n"
#define DATAPLANE "data-1 MDECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n"

/* ---- the database --------------------------------------------------------- */

typedef struct {
    char id[UUID_MAX], workspace_id[UUID_MAX], wrapped[WRAPPED_MAX], master_id[UUID_MAX];
    bool retired;
} data_key_row_t;

typedef struct {
    char name[16], sealed[512], version[8], previous[512], previous_version[8], last[512];
} provider_key_row_t;

enum { ROWS_MAX = 8 };

#define LAST_VERSION SECRET_VERSION_LAST "vault:secret/a#key"

static bool tokens_dropped;

static data_key_row_t data_keys[ROWS_MAX];
static size_t ndata_keys;
static provider_key_row_t provider_keys[ROWS_MAX];
static size_t nprovider_keys;
static database_error_t no_error;

const database_error_t *session_error(const session_t *session)
{
    (void)session;
    return &no_error;
}

static PGresult *table(int columns)
{
    PGresAttDesc attributes[9] = {{.name = "c", .columnid = 0}};
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);

    for (int i = 0; i < columns; i++) {
        attributes[i] = (PGresAttDesc){.name = "c"};
    }
    assert_true(PQsetResultAttrs(result, columns, attributes));
    return result;
}

static void set(PGresult *result, int row, int column, const char *text)
{
    assert_true(
        PQsetvalue(result, row, column, (char *)text, text[0] != '\0' ? (int)strlen(text) : -1));
}

static bool same_uuid(const char *a, const char *b)
{
    char first[UUID_HEX + 1], second[UUID_HEX + 1];

    return uuid_digits(a, first) && uuid_digits(b, second) && strcmp(first, second) == 0;
}

static PGresult *find_data_key(const char *id, const char *workspace_id)
{
    PGresult *result = table(2);

    for (size_t i = 0; i < ndata_keys; i++) {
        const data_key_row_t *row = &data_keys[i];
        if (strcmp(row->workspace_id, workspace_id) == 0 &&
            (id != NULL ? same_uuid(row->id, id) : !row->retired)) {
            set(result, 0, 0, row->id);
            set(result, 0, 1, row->wrapped);
        }
    }
    return result;
}

static PGresult *all_data_keys(void)
{
    PGresult *result = table(4);

    for (size_t i = 0; i < ndata_keys; i++) {
        set(result, (int)i, 0, data_keys[i].id);
        set(result, (int)i, 1, data_keys[i].workspace_id);
        set(result, (int)i, 2, data_keys[i].wrapped);
        set(result, (int)i, 3, data_keys[i].master_id);
    }
    return result;
}

static PGresult *all_provider_keys(void)
{
    PGresult *result = table(9);

    for (size_t i = 0; i < nprovider_keys; i++) {
        const provider_key_row_t *row = &provider_keys[i];
        set(result, (int)i, ROW_ID, ROW);
        set(result, (int)i, ROW_NAME, row->name);
        set(result, (int)i, ROW_ORIGIN, ORIGIN);
        set(result, (int)i, ROW_SEALED, row->sealed);
        set(result, (int)i, ROW_VERSION, row->version);
        set(result, (int)i, ROW_PREVIOUS, row->previous);
        set(result, (int)i, ROW_PREVIOUS_VERSION, row->previous_version);
        set(result, (int)i, ROW_LAST, row->last);
        set(result, (int)i, ROW_LAST_VERSION, LAST_VERSION);
    }
    return result;
}

static PGresult *insert_data_key(const char *const values[])
{
    data_key_row_t *row = &data_keys[ndata_keys++];

    assert_true(ndata_keys <= ROWS_MAX);
    *row = (data_key_row_t){.retired = false};
    snprintf(row->id, sizeof(row->id), "%s", values[0]);
    snprintf(row->workspace_id, sizeof(row->workspace_id), "%s", values[1]);
    snprintf(row->master_id, sizeof(row->master_id), "%s", values[2]);
    snprintf(row->wrapped, sizeof(row->wrapped), "%s", values[3]);
    return table(0);
}

static PGresult *update_data_key(const char *const values[])
{
    for (size_t i = 0; i < ndata_keys; i++) {
        if (same_uuid(data_keys[i].id, values[0])) {
            snprintf(data_keys[i].wrapped, sizeof(data_keys[i].wrapped), "%s", values[1]);
            snprintf(data_keys[i].master_id, sizeof(data_keys[i].master_id), "%s", values[2]);
        }
    }
    return table(0);
}

static PGresult *retire_data_keys(const char *const values[])
{
    for (size_t i = 0; i < ndata_keys; i++) {
        data_keys[i].retired |= strcmp(data_keys[i].workspace_id, values[0]) == 0;
    }
    return table(0);
}

/* All rows have one id here: the statement is for the one that was read last. */
static size_t updated;

static PGresult *update_provider_key(const char *const values[])
{
    provider_key_row_t *row = &provider_keys[updated++];

    snprintf(row->sealed, sizeof(row->sealed), "%s", values[1] != NULL ? values[1] : "");
    snprintf(row->previous, sizeof(row->previous), "%s", values[2] != NULL ? values[2] : "");
    snprintf(row->last, sizeof(row->last), "%s", values[3] != NULL ? values[3] : "");
    return table(0);
}

PGresult *session_query(session_t *session, const char *sql, size_t count,
                        const char *const values[])
{
    (void)session;
    (void)count;
    if (strncmp(sql, "SELECT id, wrapped FROM data_key WHERE id", 41) == 0) {
        return find_data_key(values[0], values[1]);
    }
    if (strncmp(sql, "SELECT id, wrapped FROM data_key", 32) == 0) {
        return find_data_key(NULL, values[0]);
    }
    if (strncmp(sql, "SELECT id, workspace_id", 23) == 0) {
        return all_data_keys();
    }
    if (strncmp(sql, "SELECT id, name, origin", 23) == 0) {
        return all_provider_keys();
    }
    if (strncmp(sql, "INSERT INTO data_key", 20) == 0) {
        return insert_data_key(values);
    }
    if (strncmp(sql, "UPDATE data_key SET wrapped", 27) == 0) {
        return update_data_key(values);
    }
    if (strncmp(sql, "UPDATE data_key SET retired_at", 30) == 0) {
        return retire_data_keys(values);
    }
    if (strncmp(sql, "DELETE FROM access_token", 24) == 0) {
        tokens_dropped = true;
        return table(0);
    }
    assert_int_equal(strncmp(sql, "UPDATE provider_key SET sealed", 30), 0);
    return update_provider_key(values);
}

/* ---- helpers -------------------------------------------------------------- */

static const secret_place_t place = {WORKSPACE, ROW, "1", ORIGIN};

static int reset(void **state)
{
    (void)state;
    ndata_keys = nprovider_keys = updated = 0;
    tokens_dropped = false;
    return 0;
}

static secrets_t *rings(const char *master)
{
    char error[256] = "";
    secrets_t *secrets = secrets_new(master, DATAPLANE, error, sizeof(error));

    assert_string_equal(error, "");
    assert_non_null(secrets);
    return secrets;
}

static char *seal(secrets_t *secrets, const secret_place_t *where)
{
    secret_t secret;
    char *sealed;

    assert_true(secret_copy(&secret, SECRET, strlen(SECRET)));
    sealed = secret_seal(secrets, NULL, where, &secret);
    secret_free(&secret);
    assert_non_null(sealed);
    return sealed;
}

static bool opens(secrets_t *secrets, const secret_place_t *where, const char *sealed)
{
    secret_t secret;
    bool opened = secret_open(secrets, NULL, where, sealed, &secret);

    if (opened) {
        assert_int_equal(secret.len, strlen(SECRET));
        assert_memory_equal(secret.bytes, SECRET, secret.len);
    } else {
        assert_null(secret.bytes);
    }
    secret_free(&secret);
    return opened;
}

static void add_provider_key(secrets_t *secrets, const char *name, const char *previous_version)
{
    provider_key_row_t *row = &provider_keys[nprovider_keys++];
    secret_place_t before = place;
    char *sealed = seal(secrets, &place);

    *row = (provider_key_row_t){.version = "1"};
    snprintf(row->name, sizeof(row->name), "%s", name);
    snprintf(row->sealed, sizeof(row->sealed), "%s", sealed);
    free(sealed);
    if (previous_version[0] != '\0') {
        before.version = previous_version;
        sealed = seal(secrets, &before);
        snprintf(row->previous, sizeof(row->previous), "%s", sealed);
        snprintf(row->previous_version, sizeof(row->previous_version), "%s", previous_version);
        free(sealed);
    }
}

/* ---- at rest -------------------------------------------------------------- */

static void test_opens_in_its_place_only(void **state)
{
    const secret_place_t others[] = {{ELSEWHERE, ROW, "1", ORIGIN},
                                     {WORKSPACE, WORKSPACE, "1", ORIGIN},
                                     {WORKSPACE, ROW, "2", ORIGIN},
                                     {WORKSPACE, ROW, "1", "https://evil.example.com:443"},
                                     {WORKSPACE, ROW "1", "", ORIGIN}};
    secrets_t *secrets = rings(MASTER);
    char *sealed = seal(secrets, &place);

    (void)state;
    assert_null(strstr(sealed, SECRET));
    assert_true(opens(secrets, &place, sealed));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_false(opens(secrets, &others[i], sealed));
    }
    free(sealed);
    secrets_free(secrets);
}

static void test_every_character_counts(void **state)
{
    secrets_t *secrets = rings(MASTER);
    char *sealed = seal(secrets, &place);
    size_t len = strlen(sealed);

    (void)state;
    for (size_t i = 0; i < len; i++) {
        char kept = sealed[i];
        sealed[i] = kept == 'A' ? 'B' : 'A';
        assert_false(opens(secrets, &place, sealed));
        sealed[i] = '\0';
        assert_false(opens(secrets, &place, sealed));
        sealed[i] = kept;
    }
    assert_true(opens(secrets, &place, sealed));
    free(sealed);
    secrets_free(secrets);
}

static void test_one_data_key_for_a_workspace(void **state)
{
    secrets_t *secrets = rings(MASTER);
    secret_place_t other = {ELSEWHERE, ROW, "1", ORIGIN};
    char *first = seal(secrets, &place), *second = seal(secrets, &place);
    char *third = seal(secrets, &other);

    (void)state;
    assert_string_not_equal(first, second);
    assert_int_equal(ndata_keys, 2);
    assert_memory_equal(first, second, UUID_HEX + 1);
    assert_memory_not_equal(first, third, UUID_HEX + 1);
    free(first);
    free(second);
    free(third);
    secrets_free(secrets);
}

/* A wrapped data key that was copied to another workspace's row is of no use there. */
static void test_data_key_is_bound_to_its_row(void **state)
{
    secrets_t *secrets = rings(MASTER), *fresh = rings(MASTER);
    secret_place_t other = {ELSEWHERE, ROW, "1", ORIGIN};
    char *sealed = seal(secrets, &place), *theirs = seal(secrets, &other);

    (void)state;
    memcpy(data_keys[1].wrapped, data_keys[0].wrapped, sizeof(data_keys[0].wrapped));
    assert_true(opens(fresh, &place, sealed));
    assert_false(opens(fresh, &other, theirs));
    free(sealed);
    free(theirs);
    secrets_free(secrets);
    secrets_free(fresh);
}

static void test_longest_and_empty(void **state)
{
    secrets_t *secrets = rings(MASTER);
    unsigned char bytes[SECRET_MAX + 1];
    secret_t secret, again;
    char *sealed;

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    assert_true(secret_copy(&secret, bytes, SECRET_MAX));
    sealed = secret_seal(secrets, NULL, &place, &secret);
    assert_non_null(sealed);
    assert_true(secret_open(secrets, NULL, &place, sealed, &again));
    assert_int_equal(again.len, SECRET_MAX);
    free(sealed);
    secret_free(&again);
    secret_free(&secret);

    assert_true(secret_copy(&secret, bytes, SECRET_MAX + 1));
    assert_null(secret_seal(secrets, NULL, &place, &secret));
    secret_free(&secret);

    assert_true(secret_copy(&secret, "", 0));
    sealed = secret_seal(secrets, NULL, &place, &secret);
    assert_true(secret_open(secrets, NULL, &place, sealed, &again));
    assert_int_equal(again.len, 0);
    free(sealed);
    secret_free(&again);
    secret_free(&secret);
    secrets_free(secrets);
}

/* Whether the mapping that holds address is left out of core images. */
static bool not_dumped(const void *address)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    unsigned long from, to, at = (unsigned long)address;
    bool inside = false, left_out = false;
    char line[512];

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
            inside = at >= from && at < to;
        }
        left_out |= inside && strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " dd") != NULL;
    }
    fclose(maps);
    return left_out;
}

static void test_not_in_core_images(void **state)
{
    secrets_t *secrets = rings(MASTER);
    secret_t secret;

    (void)state;
    assert_true(secret_copy(&secret, SECRET, strlen(SECRET)));
    assert_true(not_dumped(secrets));
    assert_true(not_dumped(secret.bytes));
    secret_free(&secret);
    assert_null(secret.bytes);
    secrets_free(secrets);
}

/* ---- for the data plane --------------------------------------------------- */

static char *for_dataplane(secrets_t *secrets, const char *version, const char *text)
{
    secret_t secret;
    char *sealed;

    assert_true(secret_copy(&secret, text, strlen(text)));
    sealed = secret_seal_for_dataplane(secrets, "default", "example-1", version, ORIGIN, &secret);
    secret_free(&secret);
    assert_non_null(sealed);
    return sealed;
}

/* Opened as a worker opens it: STORE.md. */
static bool worker_opens(const char *ring_text, const char *sealed, const char *version)
{
    relay_span_t parts[] = {RELAY_SPAN("relay-dataplane-1"), RELAY_SPAN("default"),
                            RELAY_SPAN("example-1"), span_of(version), RELAY_SPAN(ORIGIN)};
    uint8_t room[256];
    relay_buf_t out = relay_buf(room, sizeof(room));
    relay_key_ring_t ring;
    size_t line;
    const char *message;

    assert_true(relay_key_ring_read(span_of(ring_text), &ring, &line, &message));
    return relay_seal_open(&ring, (relay_seal_data_t){parts, 5}, span_of(sealed), &out) &&
           relay_span_eq(relay_buf_span(&out), RELAY_SPAN(SECRET));
}

static void test_dataplane(void **state)
{
    secrets_t *secrets = rings(MASTER);
    char *sealed = for_dataplane(secrets, "7", SECRET),
         *again = for_dataplane(secrets, "7", SECRET);
    char *next = for_dataplane(secrets, "8", SECRET), *other = for_dataplane(secrets, "7", "x");

    (void)state;
    assert_true(worker_opens(DATAPLANE, sealed, "7"));
    assert_false(worker_opens(DATAPLANE, sealed, "8"));
    assert_false(worker_opens("data-1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n", sealed, "7"));
    assert_true(worker_opens(DATAPLANE, next, "8"));
    assert_string_equal(sealed, again);
    /* The nonce: 16 characters behind the dot. */
    assert_memory_not_equal(sealed + 7, next + 7, 16);
    assert_memory_not_equal(sealed + 7, other + 7, 16);
    free(sealed);
    free(again);
    free(next);
    free(other);
    secrets_free(secrets);
}

/* ---- rotation ------------------------------------------------------------- */

static void test_rotate_master(void **state)
{
    secrets_t *old = rings(MASTER), *both = rings(MASTER_2 MASTER), *new;
    problem_t problem = {.code = PROBLEM_NONE};
    char *sealed = seal(old, &place);

    (void)state;
    data_keys[0].retired = true; /* retired ones are wrapped anew, too */
    free(seal(old, &place));
    assert_int_equal(ndata_keys, 2);
    assert_true(secrets_rotate_master(both, NULL, &problem));
    assert_int_equal(problem.code, PROBLEM_NONE);
    for (size_t i = 0; i < ndata_keys; i++) {
        assert_string_equal(data_keys[i].master_id, "master-2");
        assert_int_equal(strncmp(data_keys[i].wrapped, "master-2.", 9), 0);
    }
    new = rings(MASTER_2);
    assert_true(opens(new, &place, sealed));
    secrets_free(old);
    old = rings(MASTER);
    assert_false(opens(old, &place, sealed));
    free(sealed);
    secrets_free(old);
    secrets_free(both);
    secrets_free(new);
}

static void test_rotate_master_names_what_does_not_open(void **state)
{
    secrets_t *old = rings(MASTER), *new = rings(MASTER_2);
    problem_t problem = {.code = PROBLEM_NONE};
    secret_place_t other = {ELSEWHERE, ROW, "1", ORIGIN};

    (void)state;
    free(seal(old, &place));
    free(seal(old, &other));
    assert_false(secrets_rotate_master(new, NULL, &problem));
    assert_int_equal(problem.nfaults, 2);
    assert_non_null(strstr(problem.faults[0].pointer, data_keys[0].id));
    assert_non_null(strstr(problem.faults[1].pointer, data_keys[1].id));
    assert_non_null(strstr(problem.faults[1].message, "master-1"));
    secrets_free(old);
    secrets_free(new);
}

static void test_rotate_data_key(void **state)
{
    secrets_t *secrets = rings(MASTER);
    problem_t problem = {.code = PROBLEM_NONE};
    secret_place_t before = {WORKSPACE, ROW, "1", ORIGIN};
    char first[UUID_HEX + 1];

    (void)state;
    add_provider_key(secrets, "one", "");
    add_provider_key(secrets, "two", "5");
    for (size_t i = 0; i < 2; i++) { /* the second one's does not open any more */
        before.version = i == 0 ? LAST_VERSION : "another";
        char *last = seal(secrets, &before);
        provider_keys[nprovider_keys] =
            (provider_key_row_t){.name = "by-reference", .version = "1"};
        snprintf(provider_keys[nprovider_keys++].last, sizeof(provider_keys[0].last), "%s", last);
        free(last);
    }
    memcpy(first, provider_keys[0].sealed, sizeof(first));

    assert_true(secrets_rotate_data_key(secrets, NULL, WORKSPACE, &problem));
    assert_int_equal(ndata_keys, 2);
    assert_true(data_keys[0].retired && !data_keys[1].retired);
    for (size_t i = 0; i < 2; i++) {
        assert_memory_not_equal(provider_keys[i].sealed, first, UUID_HEX);
        assert_true(opens(secrets, &place, provider_keys[i].sealed));
    }
    before.version = "5";
    assert_true(opens(secrets, &before, provider_keys[1].previous));
    assert_memory_equal(provider_keys[1].previous, provider_keys[1].sealed, UUID_HEX);
    assert_string_equal(provider_keys[2].sealed, "");
    before.version = LAST_VERSION;
    assert_true(opens(secrets, &before, provider_keys[2].last));
    assert_memory_equal(provider_keys[2].last, provider_keys[1].sealed, UUID_HEX);
    assert_string_equal(provider_keys[3].last, "");
    assert_true(tokens_dropped);
    secrets_free(secrets);
}

static void test_rotate_data_key_names_what_does_not_open(void **state)
{
    secrets_t *secrets = rings(MASTER);
    problem_t problem = {.code = PROBLEM_NONE};

    (void)state;
    add_provider_key(secrets, "good", "");
    add_provider_key(secrets, "broken", "");
    add_provider_key(secrets, "stale", "5");
    memcpy(provider_keys[1].version, "9", 2);
    memcpy(provider_keys[2].previous_version, "6", 2);
    assert_false(secrets_rotate_data_key(secrets, NULL, WORKSPACE, &problem));
    assert_int_equal(problem.nfaults, 2);
    assert_string_equal(problem.faults[0].pointer, "/provider_keys/broken");
    assert_string_equal(problem.faults[1].pointer, "/provider_keys/stale");
    secrets_free(secrets);
}

static void test_rings_are_checked(void **state)
{
    char error[256];

    (void)state;
    assert_null(secrets_new("", DATAPLANE, error, sizeof(error)));
    assert_int_equal(strncmp(error, "the master key: ", 16), 0);
    assert_null(secrets_new(MASTER, "data-1 c2hvcnQ\n", error, sizeof(error)));
    assert_int_equal(strncmp(error, "the data-plane key, line 1: ", 28), 0);
    assert_null(strstr(error, "c2hvcnQ"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_opens_in_its_place_only, reset),
        cmocka_unit_test_setup(test_every_character_counts, reset),
        cmocka_unit_test_setup(test_one_data_key_for_a_workspace, reset),
        cmocka_unit_test_setup(test_data_key_is_bound_to_its_row, reset),
        cmocka_unit_test_setup(test_longest_and_empty, reset),
        cmocka_unit_test_setup(test_not_in_core_images, reset),
        cmocka_unit_test_setup(test_dataplane, reset),
        cmocka_unit_test_setup(test_rotate_master, reset),
        cmocka_unit_test_setup(test_rotate_master_names_what_does_not_open, reset),
        cmocka_unit_test_setup(test_rotate_data_key, reset),
        cmocka_unit_test_setup(test_rotate_data_key_names_what_does_not_open, reset),
        cmocka_unit_test_setup(test_rings_are_checked, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
