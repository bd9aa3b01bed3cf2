// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include <sys/mman.h>

#include "libvfio.h"

int guest_init_at(struct guest *g, const struct vfio_container *c, void *va,
		  u64 gpa, u64 size)
{
	int ret;

	g->c = c;
	g->va = va;
	g->gpa = gpa;
	g->size = size;
	/* Address 0 means failure to guest_alloc(): never hand it out */
	g->used = gpa ? 0 : SZ_4K;
	ret = vfio_map(c, va, gpa, size,
		       VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
	if (ret)
		return vfio_fail(ret,
				 "VFIO_IOMMU_MAP_DMA of %llu bytes at 0x%llx",
				 size, gpa);
	return 0;
}

int guest_init(struct guest *g, const struct vfio_container *c, u64 gpa,
	       u64 size)
{
	void *va = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ret;

	if (va == MAP_FAILED)
		return vfio_fail(-errno, "mmap of %llu bytes", size);
	ret = guest_init_at(g, c, va, gpa, size);
	if (ret)
		munmap(va, size);
	return ret;
}

void guest_exit(struct guest *g)
{
	vfio_unmap(g->c, g->gpa, g->size, NULL);
	munmap(g->va, g->size);
}

u64 guest_alloc(struct guest *g, u64 size, u64 align)
{
	u64 gpa = (g->gpa + g->used + align - 1) & ~(align - 1);

	if (gpa - g->gpa + size > g->size)
		return 0;
	g->used = gpa - g->gpa + size;
	memset(guest_va(g, gpa), 0, size);
	return gpa;
}

void *guest_va(const struct guest *g, u64 gpa)
{
	return g->va + (gpa - g->gpa);
}
