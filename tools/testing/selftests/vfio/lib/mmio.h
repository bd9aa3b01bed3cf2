/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SELFTESTS_VFIO_MMIO_H
#define SELFTESTS_VFIO_MMIO_H

#include <endian.h>

#include "libvfio.h"

static inline u32 mmio_read32(const void *p)
{
	return le32toh(__atomic_load_n((const u32 *)p, __ATOMIC_ACQUIRE));
}

static inline u64 mmio_read64(const void *p)
{
	return le64toh(__atomic_load_n((const u64 *)p, __ATOMIC_ACQUIRE));
}

/* What was stored to memory before is visible to what the write starts */
static inline void mmio_write32(void *p, u32 v)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n((u32 *)p, htole32(v), __ATOMIC_RELEASE);
}

#endif
