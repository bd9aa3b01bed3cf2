// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device TLBs in resets of functions
 *
 * A function in reset does not answer an invalidation of its TLB, and the
 * queue that all devices of an IOMMU share would wait for it.  So ATS is off
 * from iommu_nesting_reset_prepare() to iommu_nesting_reset_done(): no TLB,
 * nothing to invalidate, and an empty one afterwards (PCIe 6.0, 10.5.1.3),
 * whether or not the reset did anything.
 *
 * Drivers switch ATS by the two functions here.  Whoever sends an invalidation
 * is an RCU reader that iommu_devtlb_reachable() has told so.
 *
 * A reader may wait for a device that never answers, the one that is to be
 * reset for that reason or another: a driver looks again after each time-out,
 * and here nobody waits for readers longer than RESET_WAIT.
 *
 * Pairs may nest, in one thread or in two.  dev_iommu.ats_lock is for the first
 * and the last of them, and for the drivers; no other lock is taken in it.
 */

#include <linux/cleanup.h>
#include <linux/delay.h>
#include <linux/export.h>
#include <linux/iommu.h>
#include <linux/iommu-nesting.h>
#include <linux/jiffies.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/rcupdate.h>

#include "iommu-fault.h"
#include "iommu-reset.h"

/**
 * iommu_enable_ats() - Enable ATS of a device, if it is not in a reset
 * @dev: the PCI device
 * @stu: page shift of the smallest translation unit
 *
 * In a reset it is enabled when that is over.
 *
 * Context: may sleep.
 * Return: as pci_enable_ats().
 */
int iommu_enable_ats(struct device *dev, int stu)
{
	int ret;

	guard(mutex)(&dev->iommu->ats_lock);

	ret = pci_enable_ats(to_pci_dev(dev), stu);
	if (ret)
		return ret;

	dev->iommu->ats_stu = stu;
	if (dev->iommu->resets)
		pci_disable_ats(to_pci_dev(dev));
	return 0;
}
EXPORT_SYMBOL_GPL(iommu_enable_ats);

/**
 * iommu_disable_ats() - Undo iommu_enable_ats()
 * @dev: the PCI device
 *
 * Context: may sleep.
 */
void iommu_disable_ats(struct device *dev)
{
	guard(mutex)(&dev->iommu->ats_lock);

	dev->iommu->ats_stu = 0;
	if (!dev->iommu->resets)
		pci_disable_ats(to_pci_dev(dev));
}
EXPORT_SYMBOL_GPL(iommu_disable_ats);

/*
 * Requests of a function, on or off.  The other bits of the register belong to
 * others, who may change them meanwhile.  Returns what it was.
 */
static bool reset_set_master(struct pci_dev *pdev, bool on)
{
	u16 cmd;

	pci_read_config_word(pdev, PCI_COMMAND, &cmd);
	if (!(cmd & PCI_COMMAND_MASTER) == on)
		pci_write_config_word(pdev, PCI_COMMAND,
				      cmd ^ PCI_COMMAND_MASTER);
	return cmd & PCI_COMMAND_MASTER;
}

/* Many times what a grace period takes where devices answer */
#define RESET_WAIT	(10 * HZ)

/* Wait for all who send invalidations now.  Returns whether they are done. */
static bool reset_wait_readers(void)
{
	unsigned long gp = start_poll_synchronize_rcu();
	unsigned long end = jiffies + RESET_WAIT;

	while (!poll_state_synchronize_rcu(gp)) {
		if (time_after(jiffies, end))
			return poll_state_synchronize_rcu(gp);
		fsleep(1000);
	}
	return true;
}

/**
 * iommu_nesting_reset_soon() - A function will be reset
 * @dev: the function
 *
 * Until iommu_nesting_reset_done() its IOMMU does not wait for it.  The pairs
 * may nest.  A function with ATS makes no request while that goes off.
 *
 * For who has to do more than iommu_nesting_reset_prepare() before that is
 * called, such as to interrupt other processors: one of them may wait for the
 * function, with interrupts off, because it does not answer.
 *
 * Context: may sleep.
 */
void iommu_nesting_reset_soon(struct device *dev)
{
	struct dev_iommu *param = dev->iommu;
	bool ats, master;

	if (!param)
		return;

	guard(mutex)(&param->ats_lock);

	ats = !param->resets && param->ats_stu;
	/* What its TLB holds is not used from here on. */
	master = ats && reset_set_master(to_pci_dev(dev), false);
	/* This one comes instead of the one that did not end. */
	if (param->reset_late)
		param->reset_late = false;
	else
		WRITE_ONCE(param->resets, param->resets + 1);
	if (ats) {
		/*
		 * Those on their way are answered while ATS is on.  One that is
		 * not times out, and then finds the reset.
		 */
		reset_wait_readers();
		pci_disable_ats(to_pci_dev(dev));
	}
	if (master)
		reset_set_master(to_pci_dev(dev), true);
}
EXPORT_SYMBOL_GPL(iommu_nesting_reset_soon);

/**
 * iommu_nesting_reset_prepare() - A function is about to be reset
 * @dev: the function, which sends no requests any more
 *
 * As iommu_nesting_reset_soon(); who consumes its faults is told as well.
 *
 * Context: may sleep.
 */
void iommu_nesting_reset_prepare(struct device *dev)
{
	if (!dev->iommu)
		return;

	iommu_nesting_reset_soon(dev);
	iommu_fault_reset(dev);
}
EXPORT_SYMBOL_GPL(iommu_nesting_reset_prepare);

/**
 * iommu_nesting_reset_done() - The reset of a function is over
 * @dev: the function, with its configuration restored
 *
 * Its TLB holds nothing stale when this returns, also if the reset failed.  A
 * function with ATS makes no request while that comes back.  It does not come
 * back before the next reset if the IOMMU waits, all the while, for another
 * function that does not answer.
 *
 * Context: may sleep.
 */
void iommu_nesting_reset_done(struct device *dev)
{
	struct dev_iommu *param = dev->iommu;
	bool ats, master;

	if (!param)
		return;

	guard(mutex)(&param->ats_lock);

	/* The IOMMU came after iommu_nesting_reset_prepare(). */
	if (!param->resets)
		return;

	param->reset_late = false;
	WRITE_ONCE(param->devtlb_silent, false);
	ats = param->resets == 1 && param->ats_stu;
	master = ats && reset_set_master(to_pci_dev(dev), false);
	if (ats)
		pci_enable_ats(to_pci_dev(dev), param->ats_stu);
	WRITE_ONCE(param->resets, param->resets - 1);
	/* Who did not send it an invalidation is done with those of the IOMMU. */
	if (ats && !reset_wait_readers()) {
		WRITE_ONCE(param->resets, 1);
		param->reset_late = true;
		pci_disable_ats(to_pci_dev(dev));
		dev_warn(dev, "ATS stays off until the next reset: invalidations do not end\n");
	}
	if (master)
		reset_set_master(to_pci_dev(dev), true);
}
EXPORT_SYMBOL_GPL(iommu_nesting_reset_done);
