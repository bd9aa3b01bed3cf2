/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sva_client: a process shares its address space with pasid-testdev
 *
 * Open /dev/sva_client, SVA_CLIENT_BIND; the device's registers are mapped
 * from sysfs (resource0).  Closing the file ends the bond.
 */
#ifndef SVA_CLIENT_H
#define SVA_CLIENT_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Bind the calling process; the PASID is written back.  EBUSY: bound. */
#define SVA_CLIENT_BIND		_IOR('P', 1, __u32)
/* End it.  ENODEV: not bound. */
#define SVA_CLIENT_UNBIND	_IO('P', 2)

#endif
