/* Kills its process before the n-th call that changes a disk: KILL_BEFORE=n. Put before the C library: LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long done;

static long limit(void) {
    const char *text = getenv("KILL_BEFORE");
    return text ? atol(text) : 0;
}

static void step(void) {
    if (atomic_fetch_add(&done, 1) + 1 == limit()) kill(getpid(), SIGKILL);
}

/* Pipes, sockets and event counters are no disk. */
static void step_of(int file) {
    struct stat about;
    if (fstat(file, &about) == 0 && S_ISREG(about.st_mode)) step();
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int f, const void *b, size_t n) { step_of(f); return NEXT(write)(f, b, n); }
ssize_t writev(int f, const struct iovec *v, int n) { step_of(f); return NEXT(writev)(f, v, n); }
ssize_t pwrite(int f, const void *b, size_t n, off_t o) { step_of(f); return NEXT(pwrite)(f, b, n, o); }
ssize_t pwrite64(int f, const void *b, size_t n, off64_t o) { step_of(f); return NEXT(pwrite64)(f, b, n, o); }
int fsync(int f) { step(); return NEXT(fsync)(f); }
int fdatasync(int f) { step(); return NEXT(fdatasync)(f); }
int ftruncate(int f, off_t n) { step(); return NEXT(ftruncate)(f, n); }
int ftruncate64(int f, off64_t n) { step(); return NEXT(ftruncate64)(f, n); }
int rename(const char *a, const char *b) { step(); return NEXT(rename)(a, b); }
int renameat(int d, const char *a, int e, const char *b) { step(); return NEXT(renameat)(d, a, e, b); }
int link(const char *a, const char *b) { step(); return NEXT(link)(a, b); }
int linkat(int d, const char *a, int e, const char *b, int f) { step(); return NEXT(linkat)(d, a, e, b, f); }
int unlink(const char *a) { step(); return NEXT(unlink)(a); }
int mkdir(const char *a, mode_t m) { step(); return NEXT(mkdir)(a, m); }
