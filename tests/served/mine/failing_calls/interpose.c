/* Preloaded into a miner: counts its calls on files below a folder, or on sockets to servers, and lets one of them fail,
 * alone or with all that follow it.
 *
 * INTERPOSE_OF       files or sockets
 * INTERPOSE_BELOW    the folder of the files
 * INTERPOSE_LOG      every counted call is appended to this file, a line each
 * INTERPOSE_FAIL_AT  which call fails, from 1; without it none does
 * INTERPOSE_FAIL_ON  set: every later call fails as well
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define DESCRIPTORS 65536
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int on_sockets;
static const char *below;
static int log_descriptor = -1;
static long fail_at;
static int fail_on;
static atomic_long calls;
static atomic_char watched[DESCRIPTORS];

__attribute__((constructor)) static void begin(void) {
    const char *of = getenv("INTERPOSE_OF"), *at = getenv("INTERPOSE_FAIL_AT"), *log = getenv("INTERPOSE_LOG");
    on_sockets = of && !strcmp(of, "sockets");
    below = on_sockets ? NULL : getenv("INTERPOSE_BELOW");
    fail_at = at ? atol(at) : 0;
    fail_on = getenv("INTERPOSE_FAIL_ON") != NULL;
    if (log) log_descriptor = REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* Count a call; whether it is to fail. */
static int fails(const char *call, const char *path) {
    long number = atomic_fetch_add(&calls, 1) + 1;
    int failing = fail_at && (number == fail_at || (fail_on && number > fail_at));
    char line[512];
    int length = snprintf(line, sizeof line, "%ld %s%s %s\n", number, failing ? "FAILED " : "", call, path);
    if (length > (int)sizeof line) length = sizeof line;
    if (log_descriptor >= 0 && REAL(write)(log_descriptor, line, length) < 0) return failing;
    return failing;
}

static int is_below(const char *path) { return below && path && !strncmp(path, below, strlen(below)); }

static int is_watched(int descriptor) {
    return descriptor >= 0 && descriptor < DESCRIPTORS && atomic_load(&watched[descriptor]);
}

static int watch(int descriptor, int yes) {
    if (descriptor >= 0 && descriptor < DESCRIPTORS) atomic_store(&watched[descriptor], yes);
    return descriptor;
}

static int refused(int error) {
    errno = error;
    return -1;
}

/* A call on a descriptor that fails: a file's disk is at fault, a connection is broken for good. */
static int broken(int descriptor, const char *call, int file_error) {
    if (!is_watched(descriptor) || !fails(call, "")) return 0;
    if (on_sockets) shutdown(descriptor, SHUT_RDWR);
    errno = on_sockets ? ECONNRESET : file_error;
    return 1;
}

/* Files. */
#define OPENS(name)                                                                  \
    int name(const char *path, int flags, ...) {                                     \
        va_list more;                                                                \
        va_start(more, flags);                                                       \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;      \
        va_end(more);                                                                \
        if (!is_below(path)) return watch(REAL(name)(path, flags, mode), 0);         \
        if (fails(#name, path)) return refused(flags & O_CREAT ? ENOSPC : EIO);      \
        return watch(REAL(name)(path, flags, mode), 1);                              \
    }
OPENS(open)
OPENS(open64)

int mkdir(const char *path, mode_t mode) {
    return is_below(path) && fails("mkdir", path) ? refused(ENOSPC) : REAL(mkdir)(path, mode);
}

int unlink(const char *path) { return is_below(path) && fails("unlink", path) ? refused(EIO) : REAL(unlink)(path); }

int rename(const char *from, const char *to) {
    return is_below(to) && fails("rename", to) ? refused(EIO) : REAL(rename)(from, to);
}

int fsync(int descriptor) { return broken(descriptor, "fsync", EIO) ? -1 : REAL(fsync)(descriptor); }

int fdatasync(int descriptor) { return broken(descriptor, "fdatasync", EIO) ? -1 : REAL(fdatasync)(descriptor); }

int ftruncate64(int descriptor, off64_t length) {
    return broken(descriptor, "ftruncate64", EIO) ? -1 : REAL(ftruncate64)(descriptor, length);
}

/* Sockets. */
int socket(int domain, int type, int protocol) {
    int is_to_servers = on_sockets && (domain == AF_INET || domain == AF_INET6);
    return watch(REAL(socket)(domain, type, protocol), is_to_servers);
}

int connect(int descriptor, const struct sockaddr *address, socklen_t length) {
    if (is_watched(descriptor) && fails("connect", "")) return refused(ECONNREFUSED);
    return REAL(connect)(descriptor, address, length);
}

ssize_t send(int descriptor, const void *bytes, size_t length, int flags) {
    return broken(descriptor, "send", EIO) ? -1 : REAL(send)(descriptor, bytes, length, flags);
}

ssize_t recv(int descriptor, void *bytes, size_t length, int flags) {
    return broken(descriptor, "recv", EIO) ? -1 : REAL(recv)(descriptor, bytes, length, flags);
}

/* Both. */
ssize_t write(int descriptor, const void *bytes, size_t length) {
    return broken(descriptor, "write", ENOSPC) ? -1 : REAL(write)(descriptor, bytes, length);
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    return broken(descriptor, "writev", ENOSPC) ? -1 : REAL(writev)(descriptor, parts, count);
}

ssize_t read(int descriptor, void *bytes, size_t length) {
    return broken(descriptor, "read", EIO) ? -1 : REAL(read)(descriptor, bytes, length);
}

int close(int descriptor) { return REAL(close)(watch(descriptor, 0)); }
