/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TOOLS_VFIO_FAULTS_H
#define TOOLS_VFIO_FAULTS_H

#include <stdbool.h>

/*
 * Print the faults of a device as they come, whoever has it open: @count of
 * them, or all until a signal if it is 0.  Returns 0 or -errno.
 */
int faults_follow(const char *bdf, bool json, unsigned long count);

#endif
