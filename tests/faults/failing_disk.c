/* A disk that fails at one chosen system call.  Preloaded into a program that arms it.
 *
 * Calls that write to a file whose name has "replay.sqlite" in it are counted from the
 * arming on; the one chosen fails, and where it lasts, all after it.  A write may also be
 * cut: half of it is written, and what follows fails. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static long at = -1, calls;
static int failure, lasting, half;
static char failed[512];

void failing_disk_arm(long which, int error, int for_good, int cut)
{
    at = which;
    failure = error;
    lasting = for_good;
    half = cut;
    calls = 0;
    failed[0] = 0;
}

const char *failing_disk_failed(void)
{
    return failed;
}

/* 1: fail; 2: write the half. */
static int chosen(int descriptor, const char *name, int writes)
{
    char link[64], path[400];
    ssize_t length;
    long call;

    if (at < 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    if (!strstr(path, "replay.sqlite"))
        return 0;
    call = calls++;
    if (call == at) {
        const char *base = strrchr(path, '/');
        snprintf(failed, sizeof failed, "%s %s", name, base ? base + 1 : path);
        if (half && writes) {
            at++;
            half = 0;
            return 2;
        }
        errno = failure;
        return 1;
    }
    if (lasting && call > at) {
        errno = failure;
        return 1;
    }
    return 0;
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) \
        real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define WRITING(name, offset_type) \
    ssize_t name(int descriptor, const void *data, size_t size, offset_type offset) \
    { \
        REAL(name); \
        switch (chosen(descriptor, #name, 1)) { \
        case 1: return -1; \
        case 2: return real(descriptor, data, size / 2, offset); \
        } \
        return real(descriptor, data, size, offset); \
    }

#define FORCING(name) \
    int name(int descriptor) \
    { \
        REAL(name); \
        return chosen(descriptor, #name, 0) ? -1 : real(descriptor); \
    }

#define CUTTING(name, offset_type) \
    int name(int descriptor, offset_type length) \
    { \
        REAL(name); \
        return chosen(descriptor, #name, 0) ? -1 : real(descriptor, length); \
    }

WRITING(pwrite, off_t)
WRITING(pwrite64, off64_t)
FORCING(fsync)
FORCING(fdatasync)
CUTTING(ftruncate, off_t)
CUTTING(ftruncate64, off64_t)

ssize_t write(int descriptor, const void *data, size_t size)
{
    REAL(write);
    switch (chosen(descriptor, "write", 1)) {
    case 1: return -1;
    case 2: return real(descriptor, data, size / 2);
    }
    return real(descriptor, data, size);
}
