// SPDX-License-Identifier: GPL-2.0-only
#include "libvfio.h"

static const struct s1_ops *const all_ops[] = {
	&s1_vtd_ops,
	&s1_smmu_ops,
};

const struct s1_ops *s1_ops_find(u32 format)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(all_ops); i++)
		if (all_ops[i]->format == format)
			return all_ops[i];
	return NULL;
}

int s1_init(struct s1_table *t, const struct s1_ops *ops, struct guest *g)
{
	*t = (struct s1_table){ .ops = ops, .g = g };
	return ops->init(t);
}

int s1_map(struct s1_table *t, u64 va, u64 gpa, u64 size,
	   u64 page, unsigned int prot)
{
	u64 off;
	int ret;

	for (off = 0; off < size; off += page) {
		ret = t->ops->map(t, va + off, gpa + off, page, prot);
		if (ret)
			return vfio_fail(ret, "stage-1 map of 0x%llx",
					 (unsigned long long)(va + off));
	}
	return 0;
}

int s1_unmap(struct s1_table *t, u64 va)
{
	return t->ops->unmap(t, va);
}

u32 s1_inv_range(const struct s1_table *t, union s1_inv_entry *e, u32 pasid,
		 u64 va, u64 npages)
{
	if (t->ops->inv_range)
		return t->ops->inv_range(t, e, pasid, va, npages);
	t->ops->inv_entry(t, e, va, npages);
	return 1;
}

int s1_flags(struct s1_table *t, u64 va)
{
	return t->ops->flags(t, va);
}
