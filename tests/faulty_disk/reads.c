/* A disk that fails at reads of one file, put before the C library of a process: LD_PRELOAD.
 *
 * FAULT_FILE  how the path of the file ends
 * FAULT_KIND  `eio`: reads fail; `end`: reads say that the file is at its end; `short`: reads give at most three bytes
 * FAULT_AT    how many reads of the file go well before
 * FAULT_MET   a file that is made when a read did not go well
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_int reads_so_far;

static int is_the_file(int fd) {
    const char *end = getenv("FAULT_FILE");
    char link[64], path[4096];
    if (end == NULL) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    size_t wanted = strlen(end);
    return length >= (ssize_t)wanted && memcmp(path + length - wanted, end, wanted) == 0;
}

/* Whether the read goes on, of *count bytes; if not, *result is what it gives. */
static int goes_on(int fd, size_t *count, ssize_t *result) {
    int before = errno;
    if (!is_the_file(fd)) {
        errno = before;
        return 1;
    }
    const char *kind = getenv("FAULT_KIND"), *at = getenv("FAULT_AT"), *met = getenv("FAULT_MET");
    errno = before;
    if (kind == NULL || atomic_fetch_add(&reads_so_far, 1) < (at == NULL ? 0 : atoi(at))) return 1;
    if (met != NULL) {
        int made = open(met, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        if (made >= 0) close(made);
    }
    errno = before;
    if (strcmp(kind, "short") == 0) {
        if (*count > 3) *count = 3;
        return 1;
    }
    *result = 0;
    if (strcmp(kind, "eio") == 0) {
        errno = EIO;
        *result = -1;
    }
    return 0;
}

ssize_t read(int fd, void *buffer, size_t count) {
    static ssize_t (*real)(int, void *, size_t);
    ssize_t result;
    if (real == NULL) real = dlsym(RTLD_NEXT, "read");
    return goes_on(fd, &count, &result) ? real(fd, buffer, count) : result;
}

ssize_t pread64(int fd, void *buffer, size_t count, off64_t offset) {
    static ssize_t (*real)(int, void *, size_t, off64_t);
    ssize_t result;
    if (real == NULL) real = dlsym(RTLD_NEXT, "pread64");
    return goes_on(fd, &count, &result) ? real(fd, buffer, count, offset) : result;
}
