/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Nested translation: what the IOMMU core offers to those who own a group
 *
 * See Documentation/driver-api/iommu-nesting.rst.
 */
#ifndef __LINUX_IOMMU_NESTING_H
#define __LINUX_IOMMU_NESTING_H

#include <linux/bits.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/iommu.h>
#include <linux/types.h>
#include <linux/uaccess.h>

/**
 * struct iommu_nesting_info - What nesting can do for one device
 * @format: of bind data, invalidation entries and hardware information; the
 *	    numbers are VFIO_NESTING_FORMAT_*, which are iommufd's
 * @invalidate_type: iommufd's type of the same format's invalidation entry
 * @invalidate_len: length of an invalidation entry of this format, in bytes
 * @data_len: length of the bind data of this format, in bytes
 * @features: IOMMU_NESTING_FEAT_*
 * @flags: IOMMU_NESTING_*
 * @max_pasids: PASIDs below this number can be bound; 0: none but NO_PASID
 * @max_requests: page requests the device may have outstanding; those beyond
 *		  65536, or 512 if this is less, are refused
 */
struct iommu_nesting_info {
	u32 format;
	u32 invalidate_type;
	u32 invalidate_len;
	u32 data_len;
	u32 features;
	u32 flags;
	u32 max_pasids;
	u32 max_requests;
};

#define IOMMU_NESTING_FEAT_BIND_PASID	BIT(0)	/* one table for one PASID */
#define IOMMU_NESTING_FEAT_INVALIDATE	BIT(1)
#define IOMMU_NESTING_FEAT_DMA_FAULT	BIT(2)	/* faults reach a consumer */
#define IOMMU_NESTING_FEAT_PAGE_REQUEST	BIT(3)	/* of this device, too */
#define IOMMU_NESTING_FEAT_BIND_TABLE	BIT(4)	/* all tables of a device */

#define IOMMU_NESTING_NO_RO_MAPS	BIT(0)	/* stage 2 has no read-only */
#define IOMMU_NESTING_ATS		BIT(1)	/* the device TLB is in use */
#define IOMMU_NESTING_PASID_EXEC	BIT(2)
#define IOMMU_NESTING_PASID_PRIV	BIT(3)

/**
 * iommu_nested_copy_entry() - Copy an entry of a user's invalidations
 * @entry: where to
 * @size: its size
 * @array: the user's
 * @index: which entry
 *
 * iommu_copy_struct_from_user_array() refuses entries that are longer than what
 * is known; with zeros behind it they mean the same.
 *
 * Context: may sleep; reads user memory.
 * Return: 0; -EINVAL if entries are too short; -E2BIG for more than is known;
 * -EFAULT.
 */
static inline int
iommu_nested_copy_entry(void *entry, size_t size,
			const struct iommu_user_data_array *array, u32 index)
{
	if (array->entry_len < size)
		return -EINVAL;

	return copy_struct_from_user(entry, size,
				     array->uptr + array->entry_len * index,
				     array->entry_len);
}

#if IS_ENABLED(CONFIG_IOMMU_NESTING)
struct device *iommu_nesting_group_dev(struct iommu_group *group);
int iommu_nesting_get_info(struct device *dev, struct iommu_nesting_info *info);
void *iommu_nesting_hw_info(struct device *dev, u32 *length, u32 *format);
struct iommu_domain *iommu_nest_parent_alloc(struct device *dev);
struct iommu_domain *iommu_nested_domain_alloc(struct device *dev,
					       struct iommu_domain *parent,
					       const struct iommu_user_data *data);
int iommu_nested_attach(struct iommu_domain *domain, struct device *dev,
			ioasid_t pasid, struct iommu_attach_handle *handle,
			struct iommu_domain *old);
void iommu_nested_detach(struct iommu_domain *domain, struct device *dev,
			 ioasid_t pasid);
int iommu_nested_block(struct device *dev);
int iommu_nested_unblock(struct device *dev, struct iommu_domain *parent);
void iommu_nesting_reset_soon(struct device *dev);
void iommu_nesting_reset_prepare(struct device *dev);
void iommu_nesting_reset_done(struct device *dev);

/**
 * iommu_nested_invalidate() - Do the invalidations of the owner of stage 1
 * @domain: a nested domain
 * @array: the user's entries; on return ->entry_num is how many were done
 *
 * Covers the device TLB, unless the format has entries for that.  However many
 * entries there are, the driver lets others run in between and ends when the
 * caller is killed.
 *
 * Inline: a guest does this more often than all else.
 *
 * Context: may sleep; reads user memory.  Detaching @domain meanwhile is
 * safe, freeing it is not.
 * Return: 0 or an error of the driver.
 */
static inline int
iommu_nested_invalidate(struct iommu_domain *domain,
			struct iommu_user_data_array *array)
{
	return domain->ops->cache_invalidate_user(domain, array);
}
#else
static inline struct device *iommu_nesting_group_dev(struct iommu_group *group)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline int iommu_nesting_get_info(struct device *dev,
					 struct iommu_nesting_info *info)
{
	return -EOPNOTSUPP;
}

static inline void *iommu_nesting_hw_info(struct device *dev, u32 *length,
					  u32 *format)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline struct iommu_domain *iommu_nest_parent_alloc(struct device *dev)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline void iommu_nesting_reset_soon(struct device *dev)
{
}

static inline void iommu_nesting_reset_prepare(struct device *dev)
{
}

static inline void iommu_nesting_reset_done(struct device *dev)
{
}
#endif

#endif /* __LINUX_IOMMU_NESTING_H */
