/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * System calls of what is measured: the linker (--wrap) has it enter the
 * kernel through calls.c.
 */
#ifndef BENCH_CALLS_H
#define BENCH_CALLS_H

#include <sys/types.h>

extern unsigned long long nr_calls;

int __real_ioctl(int fd, unsigned long cmd, void *arg);
int __wrap_ioctl(int fd, unsigned long cmd, void *arg);
ssize_t __real_read(int fd, void *buf, size_t len);
ssize_t __wrap_read(int fd, void *buf, size_t len);
ssize_t __real_write(int fd, const void *buf, size_t len);
ssize_t __wrap_write(int fd, const void *buf, size_t len);
ssize_t __real_pwrite(int fd, const void *buf, size_t len, off_t off);
ssize_t __wrap_pwrite(int fd, const void *buf, size_t len, off_t off);

#endif
