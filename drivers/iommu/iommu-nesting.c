// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nested translation: wrappers of iommu_ops for those who own a group's DMA
 *
 * The callers are modules that claimed the DMA of a group
 * (iommu_group_claim_dma_owner()) and attached a nest parent to it.  Here the
 * core checks that domain and device belong to one driver; what a domain
 * holds is the driver's business.
 *
 * None of these functions keeps a reference.  The caller frees a nested
 * domain after it was detached everywhere and before its parent.
 */

#include <linux/iommu.h>
#include <linux/iommu-nesting.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <uapi/linux/iommufd.h>

#include "iommu-fault.h"
#include "iommu-priv.h"

MODULE_IMPORT_NS(IOMMUFD_INTERNAL);

/* NULL where a device has a group, perhaps, but no IOMMU: noiommu, mdev */
static const struct iommu_ops *nesting_ops(struct device *dev)
{
	if (!dev->iommu_group || !dev->iommu || !dev->iommu->iommu_dev)
		return NULL;
	return dev_iommu_ops(dev);
}

struct group_only_dev {
	struct device	*dev;
	int		nr;
};

static int group_only_dev(struct device *dev, void *data)
{
	struct group_only_dev *only = data;

	only->nr++;
	if (only->nr == 1)
		only->dev = get_device(dev);
	return 0;
}

/**
 * iommu_nesting_group_dev() - The device of a group that can be nested
 * @group: the group
 *
 * Requests with PASID are only told apart by their requester where nothing
 * can redirect them (PCIe 6.0, 6.12.1.1: ACS), and such a device has a group
 * of its own.
 *
 * Context: may sleep; takes group->mutex.
 * Return: the device with a reference that the caller puts; -ENODEV if the
 * group is empty, -EOPNOTSUPP if it has several devices.
 */
struct device *iommu_nesting_group_dev(struct iommu_group *group)
{
	struct group_only_dev only = {};

	iommu_group_for_each_dev(group, &only, group_only_dev);
	if (!only.nr)
		return ERR_PTR(-ENODEV);
	if (only.nr > 1) {
		put_device(only.dev);
		return ERR_PTR(-EOPNOTSUPP);
	}
	return only.dev;
}
EXPORT_SYMBOL_GPL(iommu_nesting_group_dev);

/**
 * iommu_nesting_get_info() - What nesting can do for a device
 * @dev: the device
 * @info: filled in on success
 *
 * Context: may sleep.  The caller keeps @dev bound to its driver.
 * Return: 0; -ENODEV without an IOMMU; -EOPNOTSUPP if it cannot nest.
 */
int iommu_nesting_get_info(struct device *dev, struct iommu_nesting_info *info)
{
	const struct iommu_ops *ops = nesting_ops(dev);

	if (!ops)
		return -ENODEV;
	if (!ops->nesting_info || !ops->domain_alloc_user)
		return -EOPNOTSUPP;

	memset(info, 0, sizeof(*info));
	return ops->nesting_info(dev, info);
}
EXPORT_SYMBOL_GPL(iommu_nesting_get_info);

/**
 * iommu_nesting_hw_info() - The hardware registers a guest's driver looks at
 * @dev: the device
 * @length: length of what is returned, in bytes
 * @format: its format; the numbers are those of enum iommu_hw_info_type
 *
 * Context: may sleep.
 * Return: memory that the caller kfree()s; -ENODEV; -EOPNOTSUPP; -ENOMEM.
 */
void *iommu_nesting_hw_info(struct device *dev, u32 *length, u32 *format)
{
	const struct iommu_ops *ops = nesting_ops(dev);

	if (!ops)
		return ERR_PTR(-ENODEV);
	if (!ops->hw_info)
		return ERR_PTR(-EOPNOTSUPP);

	return ops->hw_info(dev, length, format);
}
EXPORT_SYMBOL_GPL(iommu_nesting_hw_info);

static struct iommu_domain *nesting_alloc(struct device *dev, u32 flags,
					  struct iommu_domain *parent,
					  const struct iommu_user_data *data)
{
	const struct iommu_ops *ops = dev_iommu_ops(dev);
	struct iommu_domain *domain;

	domain = ops->domain_alloc_user(dev, flags, parent, data);
	if (IS_ERR(domain))
		return domain;

	/* The op leaves this to its caller. */
	domain->owner = ops;
	return domain;
}

/**
 * iommu_nest_parent_alloc() - A stage-2 domain that others can be nested on
 * @dev: a device it will be attached to
 *
 * Context: may sleep.
 * Return: the domain, freed with iommu_domain_free() after all nested on it;
 * -ENODEV without an IOMMU; -EOPNOTSUPP if it cannot nest; -ENOMEM.
 */
struct iommu_domain *iommu_nest_parent_alloc(struct device *dev)
{
	struct iommu_nesting_info info;
	struct iommu_domain *domain;
	int ret;

	ret = iommu_nesting_get_info(dev, &info);
	if (ret)
		return ERR_PTR(ret);

	domain = nesting_alloc(dev, IOMMU_HWPT_ALLOC_NEST_PARENT, NULL, NULL);
	if (IS_ERR(domain))
		return domain;

	if (WARN_ON(!(domain->type & __IOMMU_DOMAIN_PAGING))) {
		iommu_domain_free(domain);
		return ERR_PTR(-EINVAL);
	}
	return domain;
}
EXPORT_SYMBOL_GPL(iommu_nest_parent_alloc);

/**
 * iommu_nested_domain_alloc() - A stage-1 domain of user space on a parent
 * @dev: the device it will be attached to
 * @parent: from iommu_nest_parent_alloc()
 * @data: the user's description, in the format of iommu_nesting_info
 *
 * Context: may sleep; reads user memory.
 * Return: the domain, freed with iommu_domain_free(); -EOPNOTSUPP for a type
 * of @data that is not the device's; -EINVAL if the driver refuses @data or
 * @parent; -EFAULT; -E2BIG; -ENOMEM.
 */
struct iommu_domain *iommu_nested_domain_alloc(struct device *dev,
					       struct iommu_domain *parent,
					       const struct iommu_user_data *data)
{
	struct iommu_nesting_info info;
	struct iommu_domain *domain;
	int ret;

	ret = iommu_nesting_get_info(dev, &info);
	if (ret)
		return ERR_PTR(ret);

	if (data->type != info.format)
		return ERR_PTR(-EOPNOTSUPP);

	if (dev_iommu_ops(dev) != parent->owner)
		return ERR_PTR(-EINVAL);

	domain = nesting_alloc(dev, 0, parent, data);
	if (IS_ERR(domain))
		return domain;

	if (WARN_ON(domain->type != IOMMU_DOMAIN_NESTED ||
		    !domain->ops->cache_invalidate_user)) {
		iommu_domain_free(domain);
		return ERR_PTR(-EINVAL);
	}
	return domain;
}
EXPORT_SYMBOL_GPL(iommu_nested_domain_alloc);

/**
 * iommu_nested_attach() - Let a nested domain translate
 * @domain: from iommu_nested_domain_alloc()
 * @dev: the only device of its group, whose DMA the caller owns
 * @pasid: which requests; IOMMU_NO_PASID for those without PASID
 * @handle: finds the owner of a fault; the caller keeps it until detach
 * @old: the nested domain that is there now, which @domain replaces, or NULL
 *
 * For IOMMU_NO_PASID @domain replaces whatever the group has.
 *
 * Context: may sleep; takes group->mutex.
 * Return: 0, or an error of the driver, and then nothing changed.
 */
int iommu_nested_attach(struct iommu_domain *domain, struct device *dev,
			ioasid_t pasid, struct iommu_attach_handle *handle,
			struct iommu_domain *old)
{
	int ret;

	if (nesting_ops(dev) != domain->owner)
		return -EINVAL;

	ret = iommu_fault_attach_begin(dev, domain);
	if (ret)
		return ret;

	if (pasid == IOMMU_NO_PASID)
		ret = iommu_replace_group_handle(dev->iommu_group, domain,
						 handle);
	else if (old)
		ret = iommu_replace_device_pasid(domain, dev, pasid, handle);
	else
		ret = iommu_attach_device_pasid(domain, dev, pasid, handle);

	iommu_fault_attach_end(dev, !ret && old);
	return ret;
}
EXPORT_SYMBOL_GPL(iommu_nested_attach);

/**
 * iommu_nested_detach() - Take a nested domain away
 * @domain: the domain
 * @dev: where it is attached
 * @pasid: of which requests
 *
 * The requests are blocked after it.  This does not fail.
 *
 * Context: may sleep; takes group->mutex.
 */
void iommu_nested_detach(struct iommu_domain *domain, struct device *dev,
			 ioasid_t pasid)
{
	guard(mutex)(&dev->iommu->fault_lock);

	/* The blocking domain exists since the DMA is owned. */
	if (pasid == IOMMU_NO_PASID)
		WARN_ON(iommu_block_group(dev->iommu_group));
	else
		iommu_detach_device_pasid(domain, dev, pasid);
	iommu_fault_detached(dev, pasid);
}
EXPORT_SYMBOL_GPL(iommu_nested_detach);

/**
 * iommu_nested_block() - Block the requests without PASID of a device
 * @dev: the only device of its group, whose DMA the caller owns
 *
 * A nested domain that was there is detached by it.
 *
 * Context: may sleep; takes group->mutex.
 * Return: 0, or a negative errno, and then nothing changed.
 */
int iommu_nested_block(struct device *dev)
{
	int ret;

	guard(mutex)(&dev->iommu->fault_lock);

	ret = iommu_block_group(dev->iommu_group);
	if (!ret)
		iommu_fault_detached(dev, IOMMU_NO_PASID);
	return ret;
}
EXPORT_SYMBOL_GPL(iommu_nested_block);

/**
 * iommu_nested_unblock() - Requests without PASID go through stage 2 alone
 * @dev: the device
 * @parent: the domain to attach
 *
 * A nested domain that was there is detached by it.
 *
 * Context: may sleep; takes group->mutex.
 * Return: 0, or a negative errno, and then nothing changed.
 */
int iommu_nested_unblock(struct device *dev, struct iommu_domain *parent)
{
	int ret;

	guard(mutex)(&dev->iommu->fault_lock);

	ret = iommu_replace_group_handle(dev->iommu_group, parent, NULL);
	if (!ret)
		iommu_fault_detached(dev, IOMMU_NO_PASID);
	return ret;
}
EXPORT_SYMBOL_GPL(iommu_nested_unblock);
