/* What a program may do with the descriptor: open it twice, duplicate it, pass it on, close it, leave it open. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "cases.h"

static void open_twice(void) {
  struct port a = port_open("vale0:a"), b = port_open("vale0:b");
  CHECK(a.fd != b.fd);
  pass_frames(&a, &b, 100);
  pass_frames(&b, &a, 100);
  close_port(&a);
  close_port(&b);
}

static void looks_like_a_device(void) {
  struct stat info;
  char byte = 0;
  struct iovec part = {&byte, 1};
  const int fd = open("/dev/netmap", O_RDWR | O_CLOEXEC);
  CHECK(fd >= 0);
  CHECK(fstat(fd, &info) == 0 && S_ISCHR(info.st_mode));
  CHECK(stat("/dev/netmap", &info) == 0 && S_ISCHR(info.st_mode));
  CHECK(lstat("/dev/netmap", &info) == 0 && S_ISCHR(info.st_mode));
  CHECK(fstatat(AT_FDCWD, "/dev/netmap", &info, 0) == 0 && S_ISCHR(info.st_mode));
  CHECK(fstatat(fd, "", &info, AT_EMPTY_PATH) == 0 && S_ISCHR(info.st_mode));
  CHECK(lstat("/dev/null", &info) == 0 && S_ISCHR(info.st_mode) && stat("/", &info) == 0 && S_ISDIR(info.st_mode));
  CHECK(access("/dev/netmap", R_OK | W_OK) == 0);
  CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
  CHECK(read(fd, &byte, 1) == -1 && errno == EINVAL);
  CHECK(write(fd, &byte, 1) == -1 && errno == EINVAL);
  CHECK(readv(fd, &part, 1) == -1 && errno == EINVAL);
  CHECK(close(fd) == 0);
  const int folder = open("/dev", O_RDONLY | O_DIRECTORY);
  const int other = openat(folder, "netmap", O_RDWR);
  CHECK(other >= 0 && fcntl(other, F_GETFD) == 0);
  CHECK(close(other) == 0 && close(folder) == 0);
}

static void close_twice(void) {
  struct port a = port_open("vale0:a");
  CHECK(close(a.fd) == 0);
  CHECK(close(a.fd) == -1 && errno == EBADF);
  CHECK(ioctl(a.fd, NIOCTXSYNC, NULL) == -1 && errno == EBADF);
  struct pollfd watched = {a.fd, POLLIN, 0};
  CHECK(poll(&watched, 1, 0) == 1 && watched.revents == POLLNVAL);
  /* The memory stays mapped and is the program's to write. */
  memset(NETMAP_BUF(NETMAP_TXRING(a.nifp, 0), 2), 1, 64);
}

static void duplicates(void) {
  struct port a = port_open("vale0:a"), b = port_open("vale0:b"), copy = a;
  const int first = a.fd;
  copy.fd = dup(a.fd);
  CHECK(copy.fd >= 0);
  CHECK(close(first) == 0);
  pass_frames(&copy, &b, 10);
  CHECK(dup2(copy.fd, 100) == 100 && close(copy.fd) == 0);
  copy.fd = fcntl(100, F_DUPFD_CLOEXEC, 200);
  CHECK(copy.fd >= 200 && fcntl(copy.fd, F_GETFD) == FD_CLOEXEC);
  CHECK(close(100) == 0);
  pass_frames(&copy, &b, 10);
  /* What is put in its place closes it: the port is gone, and its name is free. */
  CHECK(dup2(b.fd, copy.fd) == copy.fd);
  struct port again;
  memset(&again, 0, sizeof again);
  again.fd = open("/dev/netmap", O_RDWR);
  again.reg.nr_flags = NR_EXCLUSIVE;
  for (int tries = 0; port_register(&again, "vale0:a") == EBUSY; tries++) {
    CHECK(tries < 1000);
    usleep(10000);
    memset(&again.reg, 0, sizeof again.reg);
    again.reg.nr_flags = NR_EXCLUSIVE;
  }
  CHECK(port_map(&again) == 0);
  pass_frames(&again, &b, 10);
}

static void close_all(void) {
  struct port a = port_open("vale0:a"), b = port_open("vale0:b");
  /* What daemons do when they start: everything that may be open is closed. The library's own descriptors are not. */
  for (int fd = 3; fd < 1024; fd++)
    if (fd != a.fd && fd != b.fd) close(fd);
  pass_frames(&a, &b, 50);
  CHECK(close_range((unsigned)a.fd, ~0u, 0) == 0);
  CHECK(ioctl(a.fd, NIOCTXSYNC, NULL) == -1 && errno == EBADF);
  struct port c = port_open("vale0:c"), d = port_open("vale0:d");
  pass_frames(&c, &d, 50);
}

static void fork_and_share(void) {
  struct port a = port_open("vale0:a"), b = port_open("vale0:b");
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    uint32_t next = 0;
    while (next < 300) {
      CHECK(wait_port(&b, POLLIN) == POLLIN);
      take_frames(NETMAP_RXRING(b.nifp, 0), &next);
    }
    CHECK(close(a.fd) == 0 && close(b.fd) == 0);
    _exit(0);
  }
  for (uint32_t i = 0; i < 3; i++) {
    CHECK(put_frames(NETMAP_TXRING(a.nifp, 0), i * 100, 100) == 100);
    CHECK(ioctl(a.fd, NIOCTXSYNC, NULL) == 0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  /* The child's end closed nothing of ours. */
  pass_frames(&b, &a, 20);
}

static void exit_in_a_batch(void) {
  struct port b = port_open("vale0:b");
  for (int i = 0; i < 3; i++) {
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      struct port a = port_open("vale0:a");
      put_frames(NETMAP_TXRING(a.nifp, 0), 0, 500);
      if (i == 0) _exit(0);
      if (i == 1) kill(getpid(), SIGKILL);
      CHECK(ioctl(a.fd, NIOCTXSYNC, NULL) == 0);
      _exit(0);
    }
    CHECK(waitpid(child, NULL, 0) == child);
  }
  struct port c = port_open("vale0:c");
  pass_frames(&b, &c, 100);
}

/* What was handed over before the end arrives. */
static void sync_and_exit(void) {
  struct port b = port_open("vale0:b");
  for (int i = 0; i < 50; i++) {
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      struct port a = port_open("vale0:a");
      CHECK(put_frames(NETMAP_TXRING(a.nifp, 0), 0, 500) == 500);
      CHECK(ioctl(a.fd, NIOCTXSYNC, NULL) == 0);
      _exit(0);
    }
    for (uint32_t next = 0; next < 500;) {
      CHECK(wait_port(&b, POLLIN) == POLLIN);
      take_frames(NETMAP_RXRING(b.nifp, 0), &next);
    }
    CHECK(waitpid(child, NULL, 0) == child);
  }
}

static volatile int fd_for_handler;
static void close_it(int signal) {
  (void)signal;
  close(fd_for_handler);
}

static void close_in_a_handler(void) {
  struct port a = port_open("vale0:a"), b = port_open("vale0:b");
  fd_for_handler = a.fd;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = close_it;
  CHECK(sigaction(SIGALRM, &action, NULL) == 0);
  alarm(1);
  struct pollfd watched = {a.fd, POLLIN, 0};
  CHECK(poll(&watched, 1, 10000) == -1 && errno == EINTR);
  CHECK(ioctl(a.fd, NIOCRXSYNC, NULL) == -1 && errno == EBADF);
  struct port c = port_open("vale0:c");
  pass_frames(&c, &b, 10);
}

/* As netmap's fd_server does: the descriptor travels in a message, the memory is mapped at the other end. */
static void pass_in_a_message(void) {
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  const pid_t child = fork();
  CHECK(child >= 0);
  char control[CMSG_SPACE(sizeof(int))];
  memset(control, 0, sizeof control);
  struct nmreq_register reg;
  struct iovec part = {&reg, sizeof reg};
  struct msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (child == 0) {
    struct port a = port_open("vale0:a");
    reg = a.reg;
    struct cmsghdr *item = CMSG_FIRSTHDR(&message);
    item->cmsg_level = SOL_SOCKET;
    item->cmsg_type = SCM_RIGHTS;
    item->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(item), &a.fd, sizeof(int));
    CHECK(sendmsg(ends[0], &message, 0) == (ssize_t)sizeof reg);
    char byte;
    CHECK(read(ends[0], &byte, 1) == 1); /* stays until the other has mapped it */
    _exit(0);
  }
  struct port a;
  memset(&a, 0, sizeof a);
  CHECK(recvmsg(ends[1], &message, 0) == (ssize_t)sizeof reg);
  memcpy(&a.fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
  a.reg = reg;
  CHECK(port_map(&a) == 0);
  CHECK(write(ends[1], "x", 1) == 1);
  CHECK(waitpid(child, NULL, 0) == child);
  struct port b = port_open("vale0:b");
  pass_frames(&a, &b, 100);
  pass_frames(&b, &a, 100);
}

static void exec_with(const char *name, const char *then) {
  struct port a = port_open(name);
  char fd[16], offset[32], size[32];
  snprintf(fd, sizeof fd, "%d", a.fd);
  snprintf(offset, sizeof offset, "%llu", (unsigned long long)a.reg.nr_offset);
  snprintf(size, sizeof size, "%llu", (unsigned long long)a.reg.nr_memsize);
  setenv("TEST_FD", fd, 1);
  setenv("TEST_OFFSET", offset, 1);
  setenv("TEST_SIZE", size, 1);
  execl("/proc/self/exe", "descriptors", then, (char *)NULL);
  CHECK(0);
}
static int open_descriptors(void) {
  int count = 0;
  char path[32];
  for (int fd = 0; fd < 2048; fd++) {
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct stat info;
    count += lstat(path, &info) == 0;
  }
  return count;
}

static void nothing_left_over(void) {
  int before = 0;
  for (int i = 0; i < 20; i++) {
    struct port a = port_open("vale0:a");
    struct pollfd watched = {a.fd, POLLIN, 0};
    CHECK(poll(&watched, 1, 1) == 0);
    const int copy = dup(a.fd);
    close_port(&a);
    CHECK(close(copy) == 0);
    if (i == 0) before = open_descriptors(); /* what is kept for the next sleep is there from the first on */
  }
  CHECK(open_descriptors() == before);
}

static void keep_across_exec(void) { exec_with("vale0:a", "go-on-after-exec"); }
static void keep_pipe_across_exec(void) { exec_with("vale0:a{1", "go-on-with-pipe"); }

static void go_on(const char *other) {
  struct port a;
  memset(&a, 0, sizeof a);
  a.fd = atoi(getenv("TEST_FD"));
  a.reg.nr_offset = strtoull(getenv("TEST_OFFSET"), NULL, 10);
  a.reg.nr_memsize = strtoull(getenv("TEST_SIZE"), NULL, 10);
  CHECK(port_map(&a) == 0);
  struct port b = port_open(other);
  pass_frames(&a, &b, 100);
  pass_frames(&b, &a, 100);
}
static void go_on_after_exec(void) { go_on("vale0:b"); }
static void go_on_with_pipe(void) { go_on("vale0:a}1"); }

int main(int argc, char **argv) {
  static const struct test_case cases[] = {
      {"open-twice", open_twice},
      {"looks-like-a-device", looks_like_a_device},
      {"close-twice", close_twice},
      {"duplicates", duplicates},
      {"close-all", close_all},
      {"fork-and-share", fork_and_share},
      {"exit-in-a-batch", exit_in_a_batch},
      {"nothing-left-over", nothing_left_over},
      {"sync-and-exit", sync_and_exit},
      {"close-in-a-handler", close_in_a_handler},
      {"pass-in-a-message", pass_in_a_message},
      {"keep-across-exec", keep_across_exec},
      {"keep-pipe-across-exec", keep_pipe_across_exec},
      {"go-on-after-exec", go_on_after_exec},
      {"go-on-with-pipe", go_on_with_pipe},
      {NULL, NULL},
  };
  return run_case(cases, argc, argv);
}
