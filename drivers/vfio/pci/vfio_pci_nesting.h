/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VFIO PCI: what nesting offers for one device
 */
#ifndef __VFIO_PCI_NESTING_H
#define __VFIO_PCI_NESTING_H

#include <linux/errno.h>
#include <linux/types.h>
#include <uapi/linux/vfio_nesting.h>

struct vfio_device;

#ifdef CONFIG_IOMMU_NESTING
int vfio_pci_nesting_check_feature(u32 flags, const void __user *arg,
				   size_t argsz, u32 supported_ops,
				   size_t size);
int vfio_pci_core_feature_nesting(struct vfio_device *device, u32 flags,
				  void __user *arg, size_t argsz);
#else
static inline int vfio_pci_core_feature_nesting(struct vfio_device *device,
						u32 flags, void __user *arg,
						size_t argsz)
{
	return -ENOTTY;
}
#endif

#endif /* __VFIO_PCI_NESTING_H */
