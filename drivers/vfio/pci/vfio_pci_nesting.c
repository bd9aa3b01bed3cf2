// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO PCI: what nesting offers for one device
 *
 * VFIO_DEVICE_FEATURE_NESTING tells about the device and the IOMMU it is
 * behind, whatever container or iommufd it was opened with: a VMM may look
 * before it chooses.
 */

#include <linux/bitops.h>
#include <linux/err.h>
#include <linux/iommu-nesting.h>
#include <linux/minmax.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>
#include <linux/vfio_pci_core.h>

#include "vfio_pci_nesting.h"

/**
 * vfio_pci_nesting_check_feature() - vfio_check_feature(), with no unknown data
 * @flags: of the feature ioctl
 * @arg: data of the user
 * @argsz: bytes at @arg
 * @supported_ops: VFIO_DEVICE_FEATURE_GET, _SET or both
 * @size: bytes of data that are known here
 *
 * The rules of vfio_nesting.h: what is behind @size has to be zero.  Of a probe
 * the data is not looked at.
 *
 * Context: may sleep, touches user memory.
 * Return: 1 to go on with GET or SET, 0 if that was a probe; -EINVAL for an
 * operation that is not supported or too little data; -E2BIG for more than a
 * page, the header of the ioctl included, or what is not zero; -EFAULT.
 */
int vfio_pci_nesting_check_feature(u32 flags, const void __user *arg,
				   size_t argsz, u32 supported_ops, size_t size)
{
	int ret;

	ret = vfio_check_feature(flags, argsz, supported_ops, size);
	if (ret != 1 || argsz == size)
		return ret;

	if (argsz > PAGE_SIZE - sizeof(struct vfio_device_feature))
		return -E2BIG;

	return check_zeroed_user(arg + size, argsz - size) ?: -E2BIG;
}

/**
 * vfio_pci_core_feature_nesting() - VFIO_DEVICE_FEATURE_NESTING
 * @device: the device
 * @flags: of the feature ioctl
 * @arg: struct vfio_device_feature_nesting of the user
 * @argsz: bytes at @arg
 *
 * Context: the device is open, and so stays with its driver.
 * Return: 0 or a negative errno.
 */
int vfio_pci_core_feature_nesting(struct vfio_device *device, u32 flags,
				  void __user *arg, size_t argsz)
{
	struct vfio_device_feature_nesting nesting;
	struct device *dev = device->dev;
	struct iommu_nesting_info info;
	u32 len, type;
	void *hw_info;
	int ret;

	if (iommu_nesting_get_info(dev, &info))
		return -ENOTTY;

	ret = vfio_pci_nesting_check_feature(flags, arg, argsz,
					     VFIO_DEVICE_FEATURE_GET,
					     sizeof(nesting));
	if (ret != 1)
		return ret;

	if (copy_from_user(&nesting, arg, sizeof(nesting)))
		return -EFAULT;

	if (nesting.flags || nesting.pasid_bits || nesting.format ||
	    nesting.max_requests || nesting.__reserved)
		return -EINVAL;

	hw_info = iommu_nesting_hw_info(dev, &len, &type);
	if (IS_ERR(hw_info))
		return PTR_ERR(hw_info);

	if (copy_to_user(u64_to_user_ptr(nesting.hw_info_uptr), hw_info,
			 min(len, nesting.hw_info_len)))
		ret = -EFAULT;
	else
		ret = 0;
	kfree(hw_info);
	if (ret)
		return ret;

	if (info.flags & IOMMU_NESTING_PASID_EXEC)
		nesting.flags |= VFIO_DEVICE_NESTING_PASID_EXEC;
	if (info.flags & IOMMU_NESTING_PASID_PRIV)
		nesting.flags |= VFIO_DEVICE_NESTING_PASID_PRIV;
	if (info.flags & IOMMU_NESTING_ATS)
		nesting.flags |= VFIO_DEVICE_NESTING_ATS;

	/* Both limits, the device's and the IOMMU's, are powers of two. */
	nesting.pasid_bits = info.max_pasids ? __fls(info.max_pasids) : 0;
	nesting.format = info.format;
	nesting.hw_info_len = len;
	nesting.max_requests = info.max_requests;

	return copy_to_user(arg, &nesting, sizeof(nesting)) ? -EFAULT : 0;
}
