// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rules of the interface: what each structure accepts, and the errno for
 * what it does not
 */
#include <fcntl.h>

#include "nest_test.h"

#define PASID	0x42

/*
 * argsz, the same for all: a structure between a guard page and zeroes
 */

union api_arg {
	u32 argsz;
	/* struct vfio_device_feature and its data */
	struct {
		u32 argsz;
		u32 flags;
		union {
			struct vfio_device_feature_nesting nesting;
			struct vfio_device_feature_dma_fault fault;
		};
	} feature;
	struct vfio_iommu_type1_pasid_request pasid;
	struct vfio_iommu_type1_bind bind;
	struct vfio_iommu_type1_cache_invalidate inv;
	u8 raw[2 * SZ_4K];
};

FIXTURE(nesting_api)
{
	struct nest n;
	struct s1_table t;
	union s1_bind_data data;
	union s1_inv_entry entry;
	union api_arg *arg;
};

FIXTURE_SETUP(nesting_api)
{
	struct nest *n = &self->n;
	u8 *mem;

	nest_setup(_metadata, n, 0);
	if (_metadata->exit_code)
		return;
	test_ok(s1_init(&self->t, n->ops, &n->g));
	test_ok(n->ops->bind_data(&self->t, &self->data));
	n->ops->inv_entry(&self->t, &self->entry, TEST_SRC, 1);
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, NEST_RID, &self->t));

	/* Nothing is readable beyond the argument */
	mem = mmap(NULL, sizeof(*self->arg) + SZ_4K, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, mprotect(mem + sizeof(*self->arg), SZ_4K, PROT_NONE));
	self->arg = (void *)mem;
}

FIXTURE_TEARDOWN(nesting_api)
{
}

static u32 bind_target(const struct nest *n)
{
	return n->ops->whole ? VFIO_BIND_TARGET_PASID_TABLE :
			       VFIO_BIND_TARGET_GUEST_PASID;
}

/* Arguments that are right; @cmd is one of the three ioctls */
static size_t good_arg(FIXTURE_DATA(nesting_api) *self, unsigned long cmd,
		       union api_arg *arg)
{
	memset(arg, 0, sizeof(*arg));
	switch (cmd) {
	case VFIO_IOMMU_PASID_REQUEST:
		arg->pasid = (struct vfio_iommu_type1_pasid_request){
			.argsz = sizeof(arg->pasid),
			.flags = VFIO_PASID_REQUEST_FREE,
			.min = 1,
			.max = 1,
		};
		return sizeof(arg->pasid);
	case VFIO_IOMMU_BIND:
		arg->bind = (struct vfio_iommu_type1_bind){
			.argsz = sizeof(arg->bind),
			.target = bind_target(&self->n),
			.format = self->n.ops->format,
			.data_len = self->n.ops->data_len,
			.data_uptr = (uintptr_t)&self->data,
		};
		return sizeof(arg->bind);
	default:
		arg->inv = (struct vfio_iommu_type1_cache_invalidate){
			.argsz = sizeof(arg->inv),
			.format = self->n.ops->format,
			.entry_len = self->n.ops->inv_len,
			.entry_num = 1,
			.entry_uptr = (uintptr_t)&self->entry,
		};
		return sizeof(arg->inv);
	}
}

/* The same for the features of a device.  What is behind is left as it is. */
static size_t good_feature(union api_arg *arg, u32 feature)
{
	size_t len = offsetof(union api_arg, feature.nesting);

	arg->feature.flags = feature | VFIO_DEVICE_FEATURE_SET;
	switch (feature) {
	case VFIO_DEVICE_FEATURE_NESTING:
		arg->feature.flags = feature | VFIO_DEVICE_FEATURE_GET;
		arg->feature.nesting = (struct vfio_device_feature_nesting){};
		len += sizeof(arg->feature.nesting);
		break;
	case VFIO_DEVICE_FEATURE_DMA_FAULT:
		arg->feature.fault = (struct vfio_device_feature_dma_fault){
			.flags = VFIO_DMA_FAULT_UNRECOVERABLE,
			.depth = VFIO_DMA_FAULT_MIN_DEPTH,
			.eventfd = -1,
		};
		len += sizeof(arg->feature.fault);
		break;
	}
	arg->argsz = len;
	return len;
}

static bool has(FIXTURE_DATA(nesting_api) *self, u32 feature)
{
	return self->n.info.cap.formats[0].features & feature;
}

static bool has_pasid_alloc(FIXTURE_DATA(nesting_api) *self)
{
	return has(self, VFIO_NESTING_FEATURE_PASID_ALLOC);
}

FIXTURE(api_argsz)
{
	FIXTURE_DATA(nesting_api) api;
	int fd;
	unsigned long cmd;
	u32 feature;
};

FIXTURE_VARIANT(api_argsz)
{
	unsigned long cmd;
	u32 feature;
};

FIXTURE_VARIANT_ADD(api_argsz, pasid_request)
{
	.cmd = VFIO_IOMMU_PASID_REQUEST,
};

FIXTURE_VARIANT_ADD(api_argsz, bind)
{
	.cmd = VFIO_IOMMU_BIND,
};

FIXTURE_VARIANT_ADD(api_argsz, cache_invalidate)
{
	.cmd = VFIO_IOMMU_CACHE_INVALIDATE,
};

FIXTURE_VARIANT_ADD(api_argsz, nesting)
{
	.cmd = VFIO_DEVICE_FEATURE,
	.feature = VFIO_DEVICE_FEATURE_NESTING,
};

FIXTURE_VARIANT_ADD(api_argsz, dma_fault)
{
	.cmd = VFIO_DEVICE_FEATURE,
	.feature = VFIO_DEVICE_FEATURE_DMA_FAULT,
};

FIXTURE_VARIANT_ADD(api_argsz, dma_fault_drain)
{
	.cmd = VFIO_DEVICE_FEATURE,
	.feature = VFIO_DEVICE_FEATURE_DMA_FAULT_DRAIN,
};

FIXTURE_SETUP(api_argsz)
{
	nesting_api_setup(_metadata, &self->api, NULL);
	if (_metadata->exit_code)
		return;
	self->cmd = variant->cmd;
	self->feature = variant->feature;
	self->fd = variant->feature ? self->api.n.d.fd : self->api.n.c.fd;
	if (variant->cmd == VFIO_IOMMU_PASID_REQUEST &&
	    !has_pasid_alloc(&self->api))
		SKIP(return, "no PASID_ALLOC here");
	if (variant->feature != VFIO_DEVICE_FEATURE_DMA_FAULT &&
	    variant->feature != VFIO_DEVICE_FEATURE_DMA_FAULT_DRAIN)
		return;
	if (!has(&self->api, VFIO_NESTING_FEATURE_DMA_FAULT))
		SKIP(return, "no DMA_FAULT here");
	/* What there is to be drained */
	if (variant->feature == VFIO_DEVICE_FEATURE_DMA_FAULT_DRAIN)
		test_ok(fault_set(&self->api.n.d, VFIO_DMA_FAULT_UNRECOVERABLE,
				  VFIO_DMA_FAULT_MIN_DEPTH, -1));
}

FIXTURE_TEARDOWN(api_argsz)
{
}

/* Arguments that are right, and zeroes */
static size_t fresh(FIXTURE_DATA(api_argsz) *self)
{
	union api_arg *arg = self->api.arg;

	if (!self->feature)
		return good_arg(&self->api, self->cmd, arg);
	memset(arg, 0, sizeof(*arg));
	return good_feature(arg, self->feature);
}

/* Right but for argsz, and the byte @dirty if that is not 0 */
static int with_argsz(FIXTURE_DATA(api_argsz) *self, u32 argsz, size_t dirty)
{
	union api_arg *arg = self->api.arg;

	fresh(self);
	arg->argsz = argsz;
	if (dirty)
		arg->raw[dirty] = 1;
	return vfio_ioctl(self->fd, self->cmd, arg);
}

TEST_F(api_argsz, short_or_long)
{
	size_t len = fresh(self), i;
	union api_arg *arg = self->api.arg, *edge;

	test_ok(vfio_ioctl(self->fd, self->cmd, arg));
	for (i = 0; i < len; i++)
		test_err(EINVAL, with_argsz(self, i, 0));

	/* Longer with zeroes, up to a page */
	test_ok(with_argsz(self, len + 8, 0));
	test_ok(with_argsz(self, SZ_4K, 0));
	test_err(E2BIG, with_argsz(self, SZ_4K + 1, 0));
	test_err(E2BIG, with_argsz(self, ~0u, 0));

	/* Something behind what is known here */
	test_err(E2BIG, with_argsz(self, len + 1, len));
	test_err(E2BIG, with_argsz(self, SZ_4K, SZ_4K - 1));
	/* ... but not behind what the caller declares */
	test_ok(with_argsz(self, SZ_4K - 1, SZ_4K - 1));
	test_ok(with_argsz(self, len, len));

	/* No more is read than argsz says */
	fresh(self);
	edge = (void *)(arg->raw + sizeof(*arg) - len);
	memmove(edge, arg, len);
	test_ok(vfio_ioctl(self->fd, self->cmd, edge));
	memmove(edge, arg, len);
	edge->argsz = len + 1;
	test_err(EFAULT, vfio_ioctl(self->fd, self->cmd, edge));
}

TEST_F(api_argsz, pointer)
{
	u8 *end = self->api.arg->raw + sizeof(*self->api.arg);

	test_err(EFAULT, vfio_ioctl(self->fd, self->cmd, NULL));
	test_err(EFAULT, vfio_ioctl(self->fd, self->cmd, (void *)-4096l));
	test_err(EFAULT, vfio_ioctl(self->fd, self->cmd, end));
	/* argsz can be read, the rest cannot */
	*(u32 *)(end - 4) = 64;
	test_err(EFAULT, vfio_ioctl(self->fd, self->cmd, end - 4));
}

/* A probe is of the feature, not of data: there need not be any */
TEST_F(nesting_api, probe)
{
	static const u32 features[] = {
		VFIO_DEVICE_FEATURE_NESTING, VFIO_DEVICE_FEATURE_DMA_FAULT,
		VFIO_DEVICE_FEATURE_DMA_FAULT_DRAIN,
	};
	union api_arg *arg = self->arg, *edge;
	const u32 bare = sizeof(struct vfio_device_feature);
	const u32 sizes[] = { bare, bare + 1, SZ_4K, SZ_4K + 1, ~0u };
	unsigned int i, k;

	edge = (void *)(arg->raw + sizeof(*arg) - bare);
	for (i = 0; i < ARRAY_SIZE(features); i++) {
		if (features[i] != VFIO_DEVICE_FEATURE_NESTING &&
		    !has(self, VFIO_NESTING_FEATURE_DMA_FAULT))
			continue;
		good_feature(arg, features[i]);
		memmove(edge, arg, bare);
		edge->feature.flags |= VFIO_DEVICE_FEATURE_PROBE;
		for (k = 0; k < ARRAY_SIZE(sizes); k++) {
			edge->argsz = sizes[k];
			EXPECT_EQ(0, vfio_ioctl(self->n.d.fd,
						VFIO_DEVICE_FEATURE, edge)) {
				TH_LOG("feature %u, argsz %u", features[i],
				       sizes[k]);
			}
		}
	}
}

/*
 * Fields.  A list of single changes to a good structure; after each the RID's
 * binding is still there.
 */

#define FIELD(cmd_, member_, value_, err_) {				\
	.cmd = cmd_,							\
	.off = offsetof(union api_arg, member_),			\
	.len = sizeof(((union api_arg *)0)->member_),			\
	.value = value_,						\
	.err = err_,							\
	.what = #member_ " = " #value_,					\
}

#define BIND_FIELD(m, v, e) FIELD(VFIO_IOMMU_BIND, bind.m, v, e)
#define INV_FIELD(m, v, e) FIELD(VFIO_IOMMU_CACHE_INVALIDATE, inv.m, v, e)
#define PASID_FIELD(m, v, e) FIELD(VFIO_IOMMU_PASID_REQUEST, pasid.m, v, e)

static const struct api_field {
	unsigned long cmd;
	size_t off;
	size_t len;
	u64 value;
	int err;
	const char *what;
} fields[] = {
	BIND_FIELD(flags, 2, EINVAL),
	BIND_FIELD(flags, BIT(31), EINVAL),
	BIND_FIELD(flags, ~0u, EINVAL),
	BIND_FIELD(op, 3, EINVAL),
	BIND_FIELD(op, ~0u, EINVAL),
	BIND_FIELD(target, 2, EINVAL),
	BIND_FIELD(target, ~0u, EINVAL),
	/* These have to be 0 where they have no meaning */
	BIND_FIELD(group_fd, 1, EINVAL),
	BIND_FIELD(op, VFIO_BIND_OP_UNBIND, EINVAL),
	BIND_FIELD(op, VFIO_BIND_OP_BLOCK, EINVAL),
	BIND_FIELD(format, 0, EOPNOTSUPP),
	BIND_FIELD(format, 77, EOPNOTSUPP),
	BIND_FIELD(format, ~0u, EOPNOTSUPP),
	BIND_FIELD(data_len, 0, EINVAL),
	BIND_FIELD(data_len, 1, EINVAL),
	BIND_FIELD(data_len, 4096, EINVAL),
	BIND_FIELD(data_len, ~0u, EINVAL),
	BIND_FIELD(data_uptr, 0, EFAULT),
	BIND_FIELD(data_uptr, ~0ull, EFAULT),
	BIND_FIELD(data_uptr, 1ull << 63, EFAULT),
	BIND_FIELD(pasid, 1u << 20, ERANGE),
	BIND_FIELD(pasid, ~0u, ERANGE),
	INV_FIELD(flags, 2, EINVAL),
	INV_FIELD(flags, ~0u, EINVAL),
	INV_FIELD(target, 2, EINVAL),
	INV_FIELD(target, ~0u, EINVAL),
	INV_FIELD(pasid, PASID, ENOENT),
	INV_FIELD(pasid, ~0u, ENOENT),
	INV_FIELD(group_fd, 1, EINVAL),
	INV_FIELD(format, 0, EOPNOTSUPP),
	INV_FIELD(format, 77, EOPNOTSUPP),
	INV_FIELD(entry_len, 0, EINVAL),
	INV_FIELD(entry_len, 4, EINVAL),
	INV_FIELD(entry_num, 0, EINVAL),
	INV_FIELD(entry_num, 65537, EINVAL),
	INV_FIELD(entry_num, ~0u, EINVAL),
	INV_FIELD(entry_uptr, 0, EFAULT),
	INV_FIELD(entry_uptr, ~0ull, EINVAL),	/* wraps */
	INV_FIELD(entry_uptr, 1ull << 63, EFAULT),
	PASID_FIELD(flags, 0, EINVAL),
	PASID_FIELD(flags, 3, EINVAL),
	PASID_FIELD(flags, 4, EINVAL),
	PASID_FIELD(flags, BIT(31) | 2, EINVAL),
	PASID_FIELD(min, 0, EINVAL),
	PASID_FIELD(min, 2, EINVAL),
	PASID_FIELD(max, 0, EINVAL),
	PASID_FIELD(max, 1u << 20, EINVAL),
	PASID_FIELD(max, ~0u, EINVAL),
};

TEST_F(nesting_api, fields)
{
	const struct api_field *f;
	int ret, err, fd = self->n.c.fd;

	for (f = fields; f < fields + ARRAY_SIZE(fields); f++) {
		if (f->cmd == VFIO_IOMMU_PASID_REQUEST &&
		    !has_pasid_alloc(self))
			continue;
		good_arg(self, f->cmd, self->arg);
		memcpy(self->arg->raw + f->off, &f->value, f->len);
		ret = vfio_ioctl(fd, f->cmd, self->arg);
		/* A table of all PASIDs has none itself */
		err = f->err == ERANGE && self->n.ops->whole ? EINVAL : f->err;
		EXPECT_EQ(-err, ret) {
			TH_LOG("%s", f->what);
		}
	}
	/* None of it changed anything */
	good_arg(self, VFIO_IOMMU_CACHE_INVALIDATE, self->arg);
	test_ok(vfio_ioctl(fd, VFIO_IOMMU_CACHE_INVALIDATE, self->arg));
	nest_read_info(_metadata, &self->n);
	EXPECT_EQ(1, self->n.info.cap.nr_bindings);
}

/* UNBIND and BLOCK take no data */
TEST_F(nesting_api, unbind_has_no_data)
{
	struct vfio_iommu_type1_bind *bind = &self->arg->bind;
	int fd = self->n.c.fd;
	u32 op;

	for (op = VFIO_BIND_OP_UNBIND; op <= VFIO_BIND_OP_BLOCK; op++) {
		*bind = (struct vfio_iommu_type1_bind){
			.argsz = sizeof(*bind), .op = op,
		};
		bind->format = self->n.ops->format;
		test_err(EINVAL, vfio_ioctl(fd, VFIO_IOMMU_BIND, bind));
		bind->format = 0;
		bind->data_len = 1;
		test_err(EINVAL, vfio_ioctl(fd, VFIO_IOMMU_BIND, bind));
		bind->data_len = 0;
		bind->data_uptr = 1;
		test_err(EINVAL, vfio_ioctl(fd, VFIO_IOMMU_BIND, bind));
	}
	test_ok(nest_unbind(&self->n.c, NEST_ALL_GROUPS, NEST_RID));
}

TEST_F(nesting_api, pasid_beyond_device)
{
	struct nest *n = &self->n;

	if (n->ops->whole)
		SKIP(return, NOT_ONE_BY_ONE);
	test_err(ERANGE, nest_bind(&n->c, NEST_ALL_GROUPS,
				   1u << n->feat.pasid_bits, &self->t));
	test_err(ERANGE, nest_unbind(&n->c, NEST_ALL_GROUPS,
				     1u << n->feat.pasid_bits));
	test_err(ERANGE, nest_block(&n->c, NEST_ALL_GROUPS,
				    1u << n->feat.pasid_bits));
}

static int raw_bind(FIXTURE_DATA(nesting_api) *self)
{
	good_arg(self, VFIO_IOMMU_BIND, self->arg);
	return vfio_ioctl(self->n.c.fd, VFIO_IOMMU_BIND, self->arg);
}

TEST_F(nesting_api, vtd_data)
{
	struct iommu_hwpt_vtd_s1 *vtd = &self->data.vtd;
	const u32 widths[] = { 0, 39, 47, 49, 64, ~0u };
	unsigned int i;

	if (self->n.ops->format != VFIO_NESTING_FORMAT_VTD_S1)
		SKIP(return, "another format");
	for (i = 0; i < ARRAY_SIZE(widths); i++) {
		vtd->addr_width = widths[i];
		EXPECT_EQ(-EINVAL, raw_bind(self)) {
			TH_LOG("address width %u", widths[i]);
		}
	}
	vtd->addr_width = 57;
	if (!(self->n.hw.vtd.cap_reg & BIT_ULL(60)))
		EXPECT_EQ(-EINVAL, raw_bind(self));
	vtd->addr_width = 48;

	vtd->flags = 8;
	EXPECT_EQ(-EINVAL, raw_bind(self));
	vtd->flags = ~0ull;
	EXPECT_EQ(-EINVAL, raw_bind(self));
	vtd->flags = IOMMU_VTD_S1_SRE;
	if (!(self->n.hw.vtd.ecap_reg & BIT_ULL(31)))
		EXPECT_EQ(-EINVAL, raw_bind(self));
	vtd->flags = IOMMU_VTD_S1_EAFE;
	if (!(self->n.hw.vtd.ecap_reg & BIT_ULL(34)))
		EXPECT_EQ(-EINVAL, raw_bind(self));
	vtd->flags = 0;

	/* The table's address */
	vtd->pgtbl_addr++;
	EXPECT_EQ(-EINVAL, raw_bind(self));
	vtd->pgtbl_addr += 0x7ff;
	EXPECT_EQ(-EINVAL, raw_bind(self));
	vtd->pgtbl_addr = ~0xfffull;
	EXPECT_EQ(-EINVAL, raw_bind(self));
	vtd->pgtbl_addr = self->t.root;

	vtd->__reserved = 1;
	test_err(EINVAL, raw_bind(self));
	vtd->__reserved = 0;
	test_ok(raw_bind(self));
}

/*
 * Group fds
 */

static void group_fd_is(struct __test_metadata *_metadata,
			FIXTURE_DATA(nesting_api) *self, int group_fd, int err)
{
	struct nest *n = &self->n;

	test_err(err, nest_bind(&n->c, group_fd, NEST_RID, &self->t));
	test_err(err, nest_unbind(&n->c, group_fd, NEST_RID));
	test_err(err, nest_block(&n->c, group_fd, NEST_RID));
	test_err(err, nest_inval_range(&n->c, group_fd, NEST_RID, &self->t,
				       TEST_SRC, 1));
}

TEST_F(nesting_api, group_fd)
{
	struct vfio_container other;
	struct nest *n = &self->n;
	int fd;

	test_ok(nest_unbind(&n->c, n->d.group_fd, NEST_RID));
	test_ok(nest_bind(&n->c, n->d.group_fd, NEST_RID, &self->t));
	test_ok(nest_inval_range(&n->c, n->d.group_fd, NEST_RID, &self->t,
				 TEST_SRC, 1));

	/* -1 means "all" to the library only */
	group_fd_is(_metadata, self, -2, EBADF);
	group_fd_is(_metadata, self, 1000, EBADF);

	/* A file, but no group: a container, a device, a pipe, a directory */
	test_ok(vfio_container_open(&other));
	group_fd_is(_metadata, self, n->c.fd, EINVAL);
	group_fd_is(_metadata, self, other.fd, EINVAL);
	group_fd_is(_metadata, self, n->d.fd, EINVAL);
	fd = open("/", O_RDONLY);
	group_fd_is(_metadata, self, fd, EINVAL);
	close(fd);
	fd = open("/dev/null", O_RDWR);
	group_fd_is(_metadata, self, fd, EINVAL);
	close(fd);
}

TEST_F(nesting_api, group_fd_of_another)
{
	struct vfio_container other;
	int fd;

	if (test_nr < 2)
		SKIP(return, "needs two devices");
	/* In no container */
	fd = vfio_group_open(test_bdf[1], NULL);
	ASSERT_LE(0, fd);
	group_fd_is(_metadata, self, fd, ENOENT);
	/* In another one */
	test_ok(vfio_container_open(&other));
	test_ok(vfio_group_set_container(fd, &other));
	group_fd_is(_metadata, self, fd, ENOENT);
	test_ok(vfio_container_set_type(&other, VFIO_TYPE1_NESTING_IOMMU));
	group_fd_is(_metadata, self, fd, ENOENT);
	/* Gone again */
	test_ok(vfio_group_unset_container(fd));
	group_fd_is(_metadata, self, fd, ENOENT);
}

/*
 * The container
 */

TEST_F(nesting_api, info)
{
	const struct vfio_iommu_type1_info_cap_nesting *cap;
	const struct vfio_nesting_format *f;
	struct nest *n = &self->n;

	cap = &n->info.cap;
	EXPECT_EQ(1, cap->header.version);
	EXPECT_EQ(0, cap->flags & ~VFIO_NESTING_INFO_NO_RO_MAPS);
	EXPECT_LE(cap->pasid_charged, cap->pasid_quota);
	EXPECT_NE(0, cap->max_bindings);
	f = nest_format(&n->info, n->feat.format);
	ASSERT_NE(NULL, f);
	EXPECT_EQ(0, f->__reserved);
	EXPECT_EQ(f->features, f->features | f->required);
	EXPECT_EQ(n->ops->feature,
		  f->features & (VFIO_NESTING_FEATURE_BIND_GUEST_PASID |
				 VFIO_NESTING_FEATURE_BIND_PASID_TABLE));
	EXPECT_TRUE(f->features & VFIO_NESTING_FEATURE_CACHE_INVALIDATE);
	EXPECT_EQ(1, vfio_check_extension(&n->c, VFIO_TYPE1_NESTING_IOMMU));
	EXPECT_EQ(1, vfio_check_extension(&n->c, VFIO_TYPE1_NESTING_API));
	EXPECT_EQ(0, vfio_check_extension(&n->c, VFIO_TYPE1_NESTING_API + 1));
}

/* A buffer that is too short is told how long it should be */
TEST_F(nesting_api, info_short)
{
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };
	struct {
		struct vfio_iommu_type1_info info;
		u8 caps[64];
	} cut = { .info.argsz = sizeof(cut) };

	test_ok(vfio_ioctl(self->n.c.fd, VFIO_IOMMU_GET_INFO, &info));
	EXPECT_TRUE(info.flags & VFIO_IOMMU_INFO_CAPS);
	EXPECT_LT(sizeof(info), info.argsz);
	EXPECT_EQ(0, info.cap_offset);
	test_ok(vfio_ioctl(self->n.c.fd, VFIO_IOMMU_GET_INFO, &cut));
	EXPECT_EQ(info.argsz, cut.info.argsz);
	EXPECT_EQ(0, cut.info.cap_offset);
}

/* What is documented of maps that are read-only */
TEST_F(nesting_api, read_only_map)
{
	struct nest *n = &self->n;
	bool refused = n->info.cap.flags & VFIO_NESTING_INFO_NO_RO_MAPS;
	u64 gpa = GUEST_GPA + SZ_1G;
	void *mem;

	mem = mmap(NULL, SZ_4K, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	test_err(refused ? EINVAL : 0,
		 vfio_map(&n->c, mem, gpa, SZ_4K, VFIO_DMA_MAP_FLAG_READ));
	/* The refused one left nothing behind */
	test_err(refused ? 0 : EEXIST,
		 vfio_map(&n->c, mem, gpa, SZ_4K,
			  VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE));
}

/* All from here on, to the last address that there is */
TEST_F(nesting_api, unmap_to_the_end)
{
	struct nest *n = &self->n;
	u64 gpa = GUEST_GPA + SZ_1G, done = 0;
	void *mem;

	mem = mmap(NULL, SZ_4K, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	test_ok(vfio_map(&n->c, mem, gpa, SZ_4K, VFIO_DMA_MAP_FLAG_READ |
			 VFIO_DMA_MAP_FLAG_WRITE));
	/* A page less, from within a page, and from behind it */
	test_ok(vfio_unmap(&n->c, gpa + SZ_4K, -(gpa + SZ_4K), &done));
	EXPECT_EQ(0, done);
	test_ok(vfio_unmap(&n->c, gpa, -gpa, &done));
	EXPECT_EQ(SZ_4K, done);
	/* It is free again */
	test_ok(vfio_map(&n->c, mem, gpa, SZ_4K, VFIO_DMA_MAP_FLAG_READ |
			 VFIO_DMA_MAP_FLAG_WRITE));
	test_ok(vfio_unmap(&n->c, gpa, SZ_4K, &done));
	EXPECT_EQ(SZ_4K, done);
}

/* With an iommufd, the features and regions of faults are not there */
TEST(api_iommufd)
{
	const u32 features[] = {
		VFIO_DEVICE_FEATURE_DMA_FAULT,
		VFIO_DEVICE_FEATURE_DMA_FAULT_DRAIN,
	};
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	struct vfio_device_info info = { .argsz = sizeof(info) };
	struct vfio_device_feature probe = { .argsz = sizeof(probe) };
	struct vfio_device_feature_nesting feat;
	struct vfio_device d = {};
	union nest_hw_info hw;
	unsigned int i;
	char path[64];

	if (!test_nr)
		SKIP(return, "no device is bound to vfio-pci");
	bind.iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (bind.iommufd < 0)
		SKIP(return, "no iommufd in this kernel");
	for (i = 0, d.fd = -1; i < 64 && d.fd < 0; i++) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev/vfio%u",
			 test_bdf[0], i);
		if (access(path, F_OK))
			continue;
		snprintf(path, sizeof(path), "/dev/vfio/devices/vfio%u", i);
		d.fd = open(path, O_RDWR | O_CLOEXEC);
	}
	if (d.fd < 0)
		SKIP(return, "no character devices of VFIO here");
	test_ok(vfio_ioctl(d.fd, VFIO_DEVICE_BIND_IOMMUFD, &bind));

	test_ok(vfio_ioctl(d.fd, VFIO_DEVICE_GET_INFO, &info));
	EXPECT_EQ(VFIO_PCI_NUM_REGIONS, info.num_regions);
	for (i = 0; i < ARRAY_SIZE(features); i++) {
		probe.flags = VFIO_DEVICE_FEATURE_SET | features[i];
		test_err(ENOTTY, vfio_ioctl(d.fd, VFIO_DEVICE_FEATURE, &probe));
		probe.flags |= VFIO_DEVICE_FEATURE_PROBE;
		test_err(ENOTTY, vfio_ioctl(d.fd, VFIO_DEVICE_FEATURE, &probe));
	}
	test_err(ENOTTY, fault_set(&d, VFIO_DMA_FAULT_UNRECOVERABLE, 16, -1));
	/* What there is to know of the device is told */
	test_ok(nest_device_info(&d, &feat, &hw));
	close(d.fd);
	close(bind.iommufd);
}

TEST_F(nesting_api, device_feature)
{
	struct vfio_device_feature_nesting f;
	struct vfio_device_feature probe = {
		.argsz = sizeof(probe),
		.flags = VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET |
			 VFIO_DEVICE_FEATURE_NESTING,
	};
	struct vfio_device *d = &self->n.d;
	union nest_hw_info hw;

	test_ok(vfio_ioctl(d->fd, VFIO_DEVICE_FEATURE, &probe));
	probe.flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_NESTING;
	test_err(EINVAL, vfio_ioctl(d->fd, VFIO_DEVICE_FEATURE, &probe));

	/* Without room: the length is told */
	test_ok(nest_device_info(d, &f, NULL));
	EXPECT_EQ(self->n.feat.hw_info_len, f.hw_info_len);
	EXPECT_EQ(self->n.feat.pasid_bits, f.pasid_bits);
	EXPECT_EQ(self->n.feat.format, f.format);
	EXPECT_GE(20, f.pasid_bits);
	EXPECT_EQ(0, f.flags & ~7u);
	EXPECT_EQ(f.format == VFIO_NESTING_FORMAT_VTD_S1 ? sizeof(hw.vtd) :
							   sizeof(hw.smmu),
		  f.hw_info_len);

	/* With less room than it takes: cut */
	memset(&hw, 0x5a, sizeof(hw));
	f = (struct vfio_device_feature_nesting){
		.hw_info_len = 12,
		.hw_info_uptr = (uintptr_t)&hw,
	};
	test_ok(vfio_device_feature_get(d, VFIO_DEVICE_FEATURE_NESTING, &f,
					sizeof(f)));
	EXPECT_EQ(0, memcmp(&hw, &self->n.hw, 12));
	EXPECT_EQ(0x5a, ((u8 *)&hw)[12]);
	EXPECT_EQ(self->n.feat.hw_info_len, f.hw_info_len);
	f = (struct vfio_device_feature_nesting){
		.hw_info_len = sizeof(hw),
		.hw_info_uptr = 8,
	};
	test_err(EFAULT, vfio_device_feature_get(d, VFIO_DEVICE_FEATURE_NESTING,
						 &f, sizeof(f)));
	test_err(EINVAL, vfio_device_feature_get(d, VFIO_DEVICE_FEATURE_NESTING,
						 &f, sizeof(f) - 1));

	/* What is not an input has to be 0 */
	f = (struct vfio_device_feature_nesting){ .pasid_bits = 1 };
	test_err(EINVAL, vfio_device_feature_get(d, VFIO_DEVICE_FEATURE_NESTING,
						 &f, sizeof(f)));
}

/* A container with no device has no nesting, and no IOMMU to bind to */
TEST(api_empty_container)
{
	struct vfio_iommu_type1_pasid_request req = { .argsz = sizeof(req) };
	struct vfio_iommu_type1_bind bind = { .argsz = sizeof(bind) };
	struct vfio_iommu_type1_cache_invalidate inv = { .argsz = sizeof(inv) };
	struct vfio_container c;
	int fd;

	if (vfio_container_open(&c))
		SKIP(return, "%s", vfio_why());
	if (vfio_check_extension(&c, VFIO_TYPE1_NESTING_API) != 1)
		SKIP(return, "no VFIO_TYPE1_NESTING_API in this kernel");
	test_err(EINVAL, vfio_ioctl(c.fd, VFIO_IOMMU_PASID_REQUEST, &req));
	test_err(EINVAL, vfio_ioctl(c.fd, VFIO_IOMMU_BIND, &bind));
	test_err(EINVAL, vfio_ioctl(c.fd, VFIO_IOMMU_CACHE_INVALIDATE, &inv));
	if (!test_nr)
		test_skip(return, "no device for the rest");

	/* Nor after its last group has left */
	fd = vfio_container_attach(&c, VFIO_TYPE1_NESTING_IOMMU, test_bdf[0]);
	ASSERT_LE(0, fd);
	vfio_container_detach(&c, fd);
	test_err(EINVAL, vfio_ioctl(c.fd, VFIO_IOMMU_PASID_REQUEST, &req));
	test_err(EINVAL, vfio_ioctl(c.fd, VFIO_IOMMU_BIND, &bind));
	test_err(EINVAL, vfio_ioctl(c.fd, VFIO_IOMMU_CACHE_INVALIDATE, &inv));
}

/* Structures are the same for every caller */
TEST(api_layout)
{
	EXPECT_EQ(16, sizeof(struct vfio_iommu_type1_pasid_request));
	EXPECT_EQ(40, sizeof(struct vfio_iommu_type1_bind));
	EXPECT_EQ(40, sizeof(struct vfio_iommu_type1_cache_invalidate));
	EXPECT_EQ(16, sizeof(struct vfio_nesting_format));
	EXPECT_EQ(32, sizeof(struct vfio_device_feature_nesting));
	EXPECT_EQ(16, sizeof(struct vfio_device_feature_dma_fault));
	EXPECT_EQ(64, sizeof(struct vfio_dma_fault));
	EXPECT_EQ(72, sizeof(struct vfio_dma_fault_header));
	EXPECT_EQ(64, offsetof(struct vfio_dma_fault_header, producer));
	EXPECT_EQ(24, sizeof(struct vfio_dma_fault_response));
	EXPECT_EQ(56, sizeof(struct vfio_iommu_type1_info_cap_nesting));
	EXPECT_EQ(122, _IOC_NR(VFIO_IOMMU_PASID_REQUEST));
	EXPECT_EQ(123, _IOC_NR(VFIO_IOMMU_BIND));
	EXPECT_EQ(124, _IOC_NR(VFIO_IOMMU_CACHE_INVALIDATE));
}

VFIO_TEST_MAIN
