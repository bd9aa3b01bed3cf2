/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Device TLBs in resets of functions: for IOMMU drivers
 *
 * See Documentation/driver-api/iommu-nesting.rst.
 */
#ifndef __IOMMU_RESET_H
#define __IOMMU_RESET_H

#include <linux/compiler.h>
#include <linux/iommu.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/rcupdate.h>

#if IS_ENABLED(CONFIG_IOMMU_NESTING)
int iommu_enable_ats(struct device *dev, int stu);
void iommu_disable_ats(struct device *dev);

/**
 * iommu_devtlb_reachable() - May an invalidation be sent to a device's TLB?
 * @dev: the PCI device
 *
 * If not, it has none, and gets an empty one, or it was pulled.
 *
 * Context: an RCU reader, until the device has answered: a reset waits.
 * Return: whether it may.
 */
static inline bool iommu_devtlb_reachable(struct device *dev)
{
	RCU_LOCKDEP_WARN(!rcu_read_lock_any_held(), "a reset would not wait");

	if (unlikely(READ_ONCE(dev->iommu->resets)))
		return false;
	return !pci_dev_is_disconnected(to_pci_dev(dev));
}

/**
 * iommu_devtlb_timed_out() - An invalidation of a device's TLB had no answer
 * @dev: the PCI device
 *
 * Until a reset, it is asked for the kernel alone: what an owner sends it would
 * be waited for by all devices of the IOMMU.
 *
 * Context: any; the device does not go meanwhile.
 */
static inline void iommu_devtlb_timed_out(struct device *dev)
{
	if (dev->iommu)
		WRITE_ONCE(dev->iommu->devtlb_silent, true);
}

/**
 * iommu_devtlb_silent() - Did a device leave an invalidation unanswered?
 * @dev: the PCI device
 *
 * Context: any.
 * Return: whether there was one since the last reset.
 */
static inline bool iommu_devtlb_silent(struct device *dev)
{
	return READ_ONCE(dev->iommu->devtlb_silent);
}
#else
static inline int iommu_enable_ats(struct device *dev, int stu)
{
	return pci_enable_ats(to_pci_dev(dev), stu);
}

static inline void iommu_disable_ats(struct device *dev)
{
	pci_disable_ats(to_pci_dev(dev));
}

static inline bool iommu_devtlb_reachable(struct device *dev)
{
	return true;
}

static inline void iommu_devtlb_timed_out(struct device *dev)
{
}

static inline bool iommu_devtlb_silent(struct device *dev)
{
	return false;
}
#endif

#endif /* __IOMMU_RESET_H */
