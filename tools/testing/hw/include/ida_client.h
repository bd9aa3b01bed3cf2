/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ida_client: numbers from an IDA of the kernel, one for each ioctl
 *
 * What VFIO_IOMMU_PASID_REQUEST is compared with.  Open /dev/ida_client; there
 * is one IDA for all.
 */
#ifndef IDA_CLIENT_H
#define IDA_CLIENT_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* PASIDs have so many bits: numbers from 1 to the last one */
#define IDA_CLIENT_LAST		0xfffffu

/* Returns a number that was free.  ENOSPC: none is. */
#define IDA_CLIENT_ALLOC	_IO('I', 1)
/* Gives the number back that is the argument. */
#define IDA_CLIENT_FREE		_IO('I', 2)

#endif
