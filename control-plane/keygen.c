/* Key rings of a new installation; called by main(). Nothing that exists is touched. */

#include "keygen.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base64.h"
#include "signature.h"

enum { LINE_MAX_LEN = 128, PATH_LEN = 4096 };

static int complain(const char *path)
{
    fprintf(stderr, "relayd: %s: %s\n", path, strerror(errno));
    return 1;
}

/* The day is a good id: rings are read by people, too. */
static size_t line_of(char line[LINE_MAX_LEN], const uint8_t key[RELAY_KEY_RING_KEY_LEN])
{
    relay_buf_t out = relay_buf(line, LINE_MAX_LEN);
    char id[16];
    struct tm tm;
    time_t now = time(NULL);

    strftime(id, sizeof(id), "k%Y%m%d ", gmtime_r(&now, &tm));
    relay_buf_put(&out, relay_span((const uint8_t *)id, strlen(id)));
    relay_base64_put(&out, relay_span(key, RELAY_KEY_RING_KEY_LEN));
    relay_buf_put_byte(&out, '\n');
    return out.len;
}

/* 0: written; 1: failed; 2: it was there. */
static int write_ring(const char *directory, const char *name, mode_t mode,
                      const uint8_t key[RELAY_KEY_RING_KEY_LEN])
{
    char path[PATH_LEN], line[LINE_MAX_LEN];
    size_t len = line_of(line, key);
    int fd;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return errno == EEXIST ? 2 : complain(path);

    bool ok = write(fd, line, len) == (ssize_t)len && fsync(fd) == 0;
    OPENSSL_cleanse(line, sizeof(line));
    close(fd);
    if (!ok)
        unlink(path);
    return ok ? 0 : complain(path);
}

static int write_pair(const char *directory, const uint8_t seed[RELAY_KEY_RING_KEY_LEN])
{
    uint8_t public_key[RELAY_KEY_RING_KEY_LEN];
    int status = write_ring(directory, "signing.keys", 0600, seed);

    if (status != 0)
        return status == 2 ? 0 : status;
    if (!relay_signature_public(seed, public_key)) {
        fprintf(stderr, "relayd: libcrypto has no Ed25519\n");
        return 1;
    }
    return write_ring(directory, "verify.keys", 0644, public_key) == 1;
}

int keygen_run(const char *directory)
{
    static const char *const rings[] = {"master.keys", "dataplane.keys", NULL};
    uint8_t key[RELAY_KEY_RING_KEY_LEN];
    int status = 0;

    for (size_t i = 0; rings[i] != NULL && status == 0; i++) {
        status = RAND_bytes(key, sizeof(key)) != 1;
        if (status == 0)
            status = write_ring(directory, rings[i], 0600, key) == 1;
    }
    if (status == 0)
        status = RAND_bytes(key, sizeof(key)) != 1 || write_pair(directory, key) != 0;

    OPENSSL_cleanse(key, sizeof(key));
    return status;
}
