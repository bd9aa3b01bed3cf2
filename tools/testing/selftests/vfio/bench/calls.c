// SPDX-License-Identifier: GPL-2.0-only
#include "calls.h"

unsigned long long nr_calls;

/* The third argument is there or is not looked at */
int __wrap_ioctl(int fd, unsigned long cmd, void *arg)
{
	nr_calls++;
	return __real_ioctl(fd, cmd, arg);
}

ssize_t __wrap_read(int fd, void *buf, size_t len)
{
	nr_calls++;
	return __real_read(fd, buf, len);
}

ssize_t __wrap_write(int fd, const void *buf, size_t len)
{
	nr_calls++;
	return __real_write(fd, buf, len);
}

ssize_t __wrap_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	nr_calls++;
	return __real_pwrite(fd, buf, len, off);
}
