// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "libvfio.h"

int nest_info(const struct vfio_container *c, union nest_info *info)
{
	union {
		struct vfio_iommu_type1_info info;
		u8 raw[4096];
	} buf = { .info.argsz = sizeof(buf) };
	const struct vfio_info_cap_header *cap;
	u32 off, end;
	int ret;

	ret = vfio_ioctl(c->fd, VFIO_IOMMU_GET_INFO, &buf);
	if (ret)
		return vfio_fail(ret, "VFIO_IOMMU_GET_INFO");
	end = buf.info.argsz < sizeof(buf) ? buf.info.argsz : sizeof(buf);
	off = buf.info.flags & VFIO_IOMMU_INFO_CAPS ? buf.info.cap_offset : 0;
	for (; off && off + sizeof(*cap) <= end; off = cap->next) {
		cap = (const void *)(buf.raw + off);
		if (cap->id != VFIO_IOMMU_TYPE1_INFO_CAP_NESTING)
			continue;
		/* To the end of the buffer: the formats are bounded there */
		memset(info, 0, sizeof(*info));
		memcpy(info, cap, end - off < sizeof(*info) ? end - off :
							      sizeof(*info));
		if (offsetof(struct vfio_iommu_type1_info_cap_nesting,
			     formats[info->cap.nr_formats]) > end - off)
			return vfio_fail(-EPROTO,
					 "nesting capability is cut off");
		return 0;
	}
	return vfio_fail(-ENOENT, "no nesting capability");
}

const struct vfio_nesting_format *nest_format(const union nest_info *info,
					      u32 format)
{
	u32 i;

	for (i = 0; i < info->cap.nr_formats; i++)
		if (info->cap.formats[i].format == format)
			return &info->cap.formats[i];
	return NULL;
}

int nest_device_info(const struct vfio_device *d,
		     struct vfio_device_feature_nesting *info,
		     union nest_hw_info *hw)
{
	memset(info, 0, sizeof(*info));
	if (hw) {
		memset(hw, 0, sizeof(*hw));
		info->hw_info_len = sizeof(*hw);
		info->hw_info_uptr = (uintptr_t)hw;
	}
	return vfio_device_feature_get(d, VFIO_DEVICE_FEATURE_NESTING, info,
				       sizeof(*info));
}

static int pasid_request(const struct vfio_container *c, u32 flags,
			 u32 min, u32 max)
{
	struct vfio_iommu_type1_pasid_request req = {
		.argsz = sizeof(req),
		.flags = flags,
		.min = min,
		.max = max,
	};

	return vfio_ioctl(c->fd, VFIO_IOMMU_PASID_REQUEST, &req);
}

int nest_pasid_alloc(const struct vfio_container *c, u32 min,
		     u32 max)
{
	return pasid_request(c, VFIO_PASID_REQUEST_ALLOC, min, max);
}

int nest_pasid_free(const struct vfio_container *c, u32 min, u32 max)
{
	return pasid_request(c, VFIO_PASID_REQUEST_FREE, min, max);
}

static int bind_op(const struct vfio_container *c, u32 op, int group_fd,
		   u32 pasid, const struct s1_table *t)
{
	union s1_bind_data data;
	int ret;
	struct vfio_iommu_type1_bind bind = {
		.argsz = sizeof(bind),
		.op = op,
		.target = VFIO_BIND_TARGET_GUEST_PASID,
		.pasid = pasid,
	};

	if (group_fd != NEST_ALL_GROUPS) {
		bind.flags |= VFIO_BIND_FLAG_GROUP;
		bind.group_fd = group_fd;
	}
	if (t) {
		ret = t->ops->bind_data(t, &data);
		if (ret)
			return ret;
		bind.format = t->ops->format;
		bind.data_len = t->ops->data_len;
		bind.data_uptr = (uintptr_t)&data;
	}
	return vfio_ioctl(c->fd, VFIO_IOMMU_BIND, &bind);
}

int nest_bind(const struct vfio_container *c, int group_fd, u32 pasid,
	      const struct s1_table *t)
{
	if (t->ops->whole)
		return t->ops->bind(c, group_fd, pasid, t);
	return bind_op(c, VFIO_BIND_OP_BIND, group_fd, pasid, t);
}

int nest_unbind(const struct vfio_container *c, int group_fd, u32 pasid)
{
	if (cd_groups_used(c))
		return cd_unbind(c, group_fd, pasid, false);
	return bind_op(c, VFIO_BIND_OP_UNBIND, group_fd, pasid, NULL);
}

int nest_block(const struct vfio_container *c, int group_fd, u32 pasid)
{
	if (cd_groups_used(c))
		return cd_unbind(c, group_fd, pasid, true);
	return bind_op(c, VFIO_BIND_OP_BLOCK, group_fd, pasid, NULL);
}

static int table_op(const struct vfio_container *c, u32 op, int group_fd,
		    const struct vfio_nesting_smmuv3_ste *ste)
{
	struct vfio_iommu_type1_bind bind = {
		.argsz = sizeof(bind),
		.op = op,
		.target = VFIO_BIND_TARGET_PASID_TABLE,
	};

	if (group_fd != NEST_ALL_GROUPS) {
		bind.flags |= VFIO_BIND_FLAG_GROUP;
		bind.group_fd = group_fd;
	}
	if (ste) {
		bind.format = VFIO_NESTING_FORMAT_SMMUV3;
		bind.data_len = sizeof(*ste);
		bind.data_uptr = (uintptr_t)ste;
	}
	return vfio_ioctl(c->fd, VFIO_IOMMU_BIND, &bind);
}

int nest_bind_table(const struct vfio_container *c, int group_fd,
		    const struct vfio_nesting_smmuv3_ste *ste)
{
	return table_op(c, VFIO_BIND_OP_BIND, group_fd, ste);
}

int nest_table_op(const struct vfio_container *c, int group_fd, u32 op)
{
	return table_op(c, op, group_fd, NULL);
}

int nest_commands(const struct vfio_container *c,
		  const struct vfio_nesting_smmuv3_cmd *cmds, u32 n, u32 *done)
{
	struct vfio_iommu_type1_cache_invalidate inv = {
		.argsz = sizeof(inv),
		.target = VFIO_INVALIDATE_TARGET_ALL,
		.format = VFIO_NESTING_FORMAT_SMMUV3,
		.entry_len = sizeof(*cmds),
		.entry_num = n,
		.entry_uptr = (uintptr_t)cmds,
	};
	int ret = vfio_ioctl(c->fd, VFIO_IOMMU_CACHE_INVALIDATE, &inv);

	if (done)
		*done = inv.entry_num;
	return ret;
}

int nest_inval(const struct vfio_container *c, int group_fd, u32 target,
	       u32 pasid, const struct s1_ops *ops,
	       const union s1_inv_entry *entries, u32 n, u32 *done)
{
	struct vfio_iommu_type1_cache_invalidate inv = {
		.argsz = sizeof(inv),
		.target = target,
		.pasid = ops->whole ? 0 : pasid,
		.format = ops->format,
		.entry_len = sizeof(*entries),
		.entry_num = n,
		.entry_uptr = (uintptr_t)entries,
	};
	int ret;

	if (group_fd != NEST_ALL_GROUPS) {
		inv.flags |= VFIO_INVALIDATE_FLAG_GROUP;
		inv.group_fd = group_fd;
	}
	ret = vfio_ioctl(c->fd, VFIO_IOMMU_CACHE_INVALIDATE, &inv);
	if (done)
		*done = inv.entry_num;
	return ret;
}

int nest_inval_in_order(const struct vfio_container *c, int group_fd,
			u32 pasid, const struct s1_ops *ops,
			const union s1_inv_entry *entries, u32 n)
{
	int ret = 0;
	u32 i;

	for (i = 0; i < n && !ret; i++)
		ret = nest_inval(c, group_fd, VFIO_INVALIDATE_TARGET_PASID,
				 pasid, ops, &entries[i], 1, NULL);
	return ret;
}

int nest_inval_range(const struct vfio_container *c, int group_fd,
		     u32 pasid, const struct s1_table *t, u64 va,
		     u64 npages)
{
	union s1_inv_entry e[S1_MAX_INV];
	u32 n = s1_inv_range(t, e, pasid, va, npages);

	return nest_inval_in_order(c, group_fd, pasid, t->ops, e, n);
}
