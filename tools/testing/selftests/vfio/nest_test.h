/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the nesting tests share on top of libvfio
 *
 * Each test of the harness is a process of its own: what it opens is closed
 * when it ends.  Helpers take _metadata, so that ASSERT_*() works in them.
 */
#ifndef SELFTESTS_VFIO_NEST_TEST_H
#define SELFTESTS_VFIO_NEST_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/libvfio.h"
#include "kselftest_harness.h"

/* Seconds for each test: what hangs is ended, what is slow has not failed */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	3600

/* Success; says which step failed if not */
#define test_ok(expr)							\
	do {								\
		int _ret = (expr);					\
									\
		ASSERT_EQ(0, _ret) {					\
			TH_LOG("%s; last failure in the library: %s",	\
			       #expr, vfio_why());			\
		}							\
	} while (0)

/* This errno */
#define test_err(err, expr)						\
	do {								\
		int _ret = (expr);					\
									\
		EXPECT_EQ(-(err), _ret) {				\
			TH_LOG("%s", #expr);				\
		}							\
	} while (0)

/* SKIP() behind an EXPECT_*(): what has failed stays so */
#define test_skip(statement, ...)					\
	do {								\
		if (!__test_passed(_metadata))				\
			statement;					\
		SKIP(statement, __VA_ARGS__);				\
	} while (0)

/* The devices to test with: arguments, $VFIO_BDF, or all vfio-pci has */
static char test_bdf[VFIO_MAX_DEVS][VFIO_BDF_LEN];
static int test_nr;

static inline int test_add_bdf(const char *arg)
{
	if (test_nr == VFIO_MAX_DEVS ||
	    vfio_parse_bdf(arg, test_bdf[test_nr])) {
		fprintf(stderr, "%s: not a PCI address, or too many\n", arg);
		return -1;
	}
	test_nr++;
	return 0;
}

/*
 * What is started ends with who started it: the harness puts tests in process
 * groups of their own, which Ctrl-C does not reach, and a test that is left
 * over keeps its device.
 */
static pid_t test_parent;

static inline void test_before_fork(void)
{
	test_parent = getpid();
}

static inline void test_in_child(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != test_parent)
		_exit(KSFT_FAIL);
}

static inline int test_main(int argc, char **argv)
{
	char *env = getenv("VFIO_BDF"), *list, *one, *save = NULL;
	int i;

	vfio_wait_ms = WAIT_MS;
	/* Options of the harness have an argument or end the run */
	for (i = 1; i < argc; i++) {
		if (argv[i][0] == '-')
			i++;
		else if (test_add_bdf(argv[i]))
			return KSFT_FAIL;
	}
	if (!test_nr && env) {
		list = strdup(env);
		for (one = strtok_r(list, ", ", &save); one;
		     one = strtok_r(NULL, ", ", &save))
			if (test_add_bdf(one))
				return KSFT_FAIL;
		free(list);
	}
	if (!test_nr)
		test_nr = vfio_find_bound(test_bdf, VFIO_MAX_DEVS);
	pthread_atfork(test_before_fork, NULL, test_in_child);
	return test_harness_run(argc, argv);
}

/* As TEST_HARNESS_MAIN, with the devices found first */
#define VFIO_TEST_MAIN							\
	int main(int argc, char **argv)					\
	{								\
		exit(test_main(argc, argv));				\
	}

/* One device in one container of type VFIO_TYPE1_NESTING_IOMMU */
struct nest {
	struct vfio_container c;
	struct vfio_device d;
	void *mem;		/* for the guest, if set before the set-up */
	struct guest g;
	struct ptd ptd;
	struct imon mon;
	bool have_mon;
	union nest_info info;
	struct vfio_device_feature_nesting feat;
	union nest_hw_info hw;
	const struct s1_ops *ops;
	unsigned int sid;
};

/* To pin a page takes a debug kernel a third of a millisecond */
#define TEST_MEM	(SZ_2M / 2)
#define TEST_LEN	(4 * SZ_4K)
/* Where the tables put source and destination; neither is in stage 2 */
#define TEST_SRC	0x7e0000000000ull
#define TEST_DST	0x7e0040000000ull

static inline void nest_read_info(struct __test_metadata *_metadata,
				  struct nest *n)
{
	test_ok(nest_info(&n->c, &n->info));
	ASSERT_NE(0, n->info.cap.nr_formats);
}

/*
 * Attach device @index.  A step that is missing skips the test: call it as
 * the last thing of FIXTURE_SETUP().
 */
static inline void nest_setup(struct __test_metadata *_metadata,
			      struct nest *n, int index)
{
	const char *bdf = test_bdf[index];
	int ret;

	if (index >= test_nr)
		SKIP(return, "needs %d device(s) bound to vfio-pci, have %d",
		     index + 1, test_nr);
	ret = vfio_container_open(&n->c);
	if (ret == -ENOENT || ret == -ENODEV)
		SKIP(return, "no VFIO in this kernel");
	test_ok(ret);
	if (vfio_check_extension(&n->c, VFIO_TYPE1_NESTING_API) != 1)
		SKIP(return, "no VFIO_TYPE1_NESTING_API in this kernel");
	test_ok(vfio_device_open(&n->d, &n->c, VFIO_TYPE1_NESTING_IOMMU, bdf));
	ret = nest_info(&n->c, &n->info);
	if (ret == -ENOENT)
		SKIP(return, "the IOMMU of %s cannot nest", bdf);
	test_ok(ret);
	n->ops = s1_ops_find(n->info.cap.formats[0].format);
	if (!n->ops)
		SKIP(return, "no tables for format %u here",
		     n->info.cap.formats[0].format);
	test_ok(nest_device_info(&n->d, &n->feat, &n->hw));
	if (n->mem)
		test_ok(guest_init_at(&n->g, &n->c, n->mem, GUEST_GPA,
				      TEST_MEM));
	else
		test_ok(guest_init(&n->g, &n->c, GUEST_GPA, TEST_MEM));
	n->g.pasid_bits = n->feat.pasid_bits;
	n->sid = vfio_sid(bdf);
	n->have_mon = !imon_open(&n->mon);
}

/* As above, and the device is one that does what we say */
static inline void nest_setup_ptd(struct __test_metadata *_metadata,
				  struct nest *n, int index)
{
	nest_setup(_metadata, n, index);
	if (_metadata->exit_code)
		return;
	if (vfio_sysfs_id(n->d.bdf, "vendor") != PTD_VENDOR_ID ||
	    vfio_sysfs_id(n->d.bdf, "device") != PTD_DEVICE_ID)
		SKIP(return, "%s is no pasid-testdev", n->d.bdf);
	test_ok(ptd_init(&n->ptd, &n->d));
	if (!n->feat.pasid_bits)
		SKIP(return, "%s has no PASID", n->d.bdf);
}

/* As above, or it is one that copies and fills, no more: n->ptd.is_dsa */
static inline void nest_setup_copy(struct __test_metadata *_metadata,
				   struct nest *n, int index)
{
	nest_setup(_metadata, n, index);
	if (_metadata->exit_code)
		return;
	if (!dsa_is(n->d.bdf) &&
	    (vfio_sysfs_id(n->d.bdf, "vendor") != PTD_VENDOR_ID ||
	     vfio_sysfs_id(n->d.bdf, "device") != PTD_DEVICE_ID))
		SKIP(return, "%s is neither pasid-testdev nor DSA", n->d.bdf);
	test_ok(ptd_init_any(&n->ptd, &n->d));
	if (!n->feat.pasid_bits)
		SKIP(return, "%s has no PASID", n->d.bdf);
}

/* As nest_setup_ptd(), with the monitor of the emulated IOMMU */
static inline void nest_setup_mon(struct __test_metadata *_metadata,
				  struct nest *n, int index)
{
	nest_setup_ptd(_metadata, n, index);
	if (!_metadata->exit_code && !n->have_mon)
		SKIP(return, "no iommu-monitor in this machine");
}

/* As above, with the first device that waits for pages if asked to */
static inline void nest_setup_demand(struct __test_metadata *_metadata,
				     struct nest *n)
{
	int i;

	for (i = 0; ; i++) {
		nest_setup_mon(_metadata, n, i);
		if (_metadata->exit_code || n->feat.max_requests)
			return;
		if (i + 1 >= test_nr)
			SKIP(return, "no device here waits for pages");
		vfio_device_close(&n->d);
		vfio_container_close(&n->c);
		imon_close(&n->mon);
	}
}

/* All of it, as its VMM would on its way out */
static inline void nest_close(struct nest *n)
{
	vfio_device_close(&n->d);
	vfio_container_close(&n->c);
	imon_close(&n->mon);
}

/* Another device in a container that is there */
static inline void nest_add_device(struct __test_metadata *_metadata,
				   struct nest *n, struct vfio_device *d,
				   struct ptd *ptd, int index)
{
	test_ok(vfio_device_open(d, &n->c, VFIO_TYPE1_NESTING_IOMMU,
				 test_bdf[index]));
	test_ok(ptd_init(ptd, d));
}

/* Why a PASID in use can be freed */
#define NOT_SEEN	"the kernel does not look into a table of PASIDs"
#define NOT_ONE_BY_ONE	"all PASIDs are bound as one table"

/*
 * @nr PASIDs are bound, in @groups groups: what the kernel counts are tables
 * where it binds those of all PASIDs together
 */
static inline void bindings_are(struct __test_metadata *_metadata,
				struct nest *n, u32 nr, u32 groups)
{
	nest_read_info(_metadata, n);
	EXPECT_EQ(n->ops->whole ? groups : nr, n->info.cap.nr_bindings);
}

static inline u32 nest_last_pasid(const struct nest *n)
{
	return (1u << n->feat.pasid_bits) - 1;
}

/* Lines of the kernel's log since the last call that have @text */
static inline int log_lines(int kmsg, const char *text)
{
	char line[1024];
	ssize_t len;
	int nr = 0;

	while ((len = read(kmsg, line, sizeof(line) - 1)) > 0 ||
	       errno == EPIPE) {
		line[len > 0 ? len : 0] = 0;
		if (strstr(line, text))
			nr++;
	}
	return nr;
}

static inline int log_open(struct __test_metadata *_metadata)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	ASSERT_LE(0, fd);
	lseek(fd, 0, SEEK_END);
	return fd;
}

/* What a guest's process sees: pages at TEST_SRC and TEST_DST */
struct space {
	struct s1_table t;
	u64 src;
	u64 dst;
	u8 fill;
};

static inline void space_init(struct __test_metadata *_metadata,
			      struct nest *n, struct space *s, u8 fill)
{
	s->fill = fill;
	s->src = guest_alloc(&n->g, TEST_LEN, SZ_4K);
	s->dst = guest_alloc(&n->g, TEST_LEN, SZ_4K);
	ASSERT_NE(0, s->src);
	ASSERT_NE(0, s->dst);
	memset(guest_va(&n->g, s->src), fill, TEST_LEN);
	test_ok(s1_init(&s->t, n->ops, &n->g));
	test_ok(s1_map(&s->t, TEST_SRC, s->src, TEST_LEN, SZ_4K,
		       S1_READ | S1_USER));
	test_ok(s1_map(&s->t, TEST_DST, s->dst, TEST_LEN, SZ_4K, S1_RW));
}

/*
 * A device, and a space that is bound to @pasid, or to the last one the device
 * has.  Returns which.
 */
static inline u32 nest_setup_bound(struct __test_metadata *_metadata,
				   struct nest *n, struct space *s, u32 pasid)
{
	nest_setup_copy(_metadata, n, 0);
	if (_metadata->exit_code)
		return pasid;
	if (pasid > nest_last_pasid(n))
		pasid = nest_last_pasid(n);
	space_init(_metadata, n, s, 0xa1);
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, pasid, &s->t));
	return pasid;
}

/*
 * Faults a second that a PASID may raise until it is muted.  That is done in
 * its entry: a table of PASIDs that is the guest's has none for the kernel.
 */
#define FAULT_LIMIT	"/sys/module/intel_iommu/parameters/fault_limit"
#define FAULT_NO_LIMIT	65536
#define NOT_MUTED	"nobody is muted here"

static inline bool set_limit(unsigned int limit)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", limit);
	return !vfio_write_file(FAULT_LIMIT, text);
}

/*
 * A device, a space that is bound to @pasid, and its faults; with page requests
 * the first device that can wait
 */
static inline void nest_setup_faults(struct __test_metadata *_metadata,
				     struct nest *n, struct space *s,
				     struct fault_ring *r, u32 pasid,
				     u32 kinds, u32 depth)
{
	const bool demand = kinds & VFIO_DMA_FAULT_PAGE_REQUEST;

	if (demand)
		nest_setup_demand(_metadata, n);
	else
		nest_setup_mon(_metadata, n, 0);
	if (_metadata->exit_code)
		return;
	if (!(n->info.cap.formats[0].features & VFIO_NESTING_FEATURE_DMA_FAULT))
		SKIP(return, "no DMA_FAULT here");
	space_init(_metadata, n, s, 0xa1);
	s->t.demand = demand;
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, pasid, &s->t));
	test_ok(fault_open(r, &n->d, kinds, depth));
}

static inline bool mem_is(const struct guest *g, u64 gpa, u8 fill, size_t len)
{
	const u8 *p = guest_va(g, gpa);
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i] != fill)
			return false;
	return true;
}

/* The PASID as the device sends it: 0 in the uAPI is none */
static inline u32 dma_pasid(u32 pasid)
{
	return pasid ? pasid : PTD_NO_PASID;
}

/* What dma_start() writes, in each byte */
#define DMA_FILL	0x42

/*
 * Start an access in queue @q: a write of DMA_FILL, or a read.  Returns the tag
 * of its completion.
 */
static inline u32 dma_start(struct ptd *ptd, unsigned int q, u32 pasid,
			    u64 addr, u32 len, bool write, u32 flags)
{
	struct ptd_desc d = {
		.op = write ? PTD_OP_FILL : PTD_OP_CRC32,
		.flags = flags,
		.pasid = ptd_pasid(dma_pasid(pasid)),
		.src = addr,
		.dst = addr,
		.imm = DMA_FILL * 0x0101010101010101ull,
		.len = len,
	};

	ptd_submit(ptd, q, &d);
	return d.tag;
}

/* A read that waits where there is no page, if the table says so: demand */
static inline void dma_demand(struct nest *n, struct ptd *ptd, unsigned int q,
			      u32 pasid, u64 addr)
{
	dma_start(ptd, q, pasid, addr, 64, false,
		  n->ops->stalls ? PTD_F_NO_ATS : 0);
}

/* The access in queue @q that was started first ends like this */
static inline void dma_ended(struct __test_metadata *_metadata,
			     struct ptd *ptd, unsigned int q, u32 status)
{
	struct ptd_record rec;

	test_ok(ptd_wait(ptd, q, &rec));
	EXPECT_EQ(status, rec.status);
}

/* The device copies, and the data comes from and goes to @s */
static inline void dma_copies(struct __test_metadata *_metadata,
			      struct nest *n, struct ptd *ptd, u32 pasid,
			      struct space *s)
{
	struct ptd_record r;

	memset(guest_va(&n->g, s->dst), 0, TEST_LEN);
	ASSERT_EQ(PTD_ST_OK, ptd_copy(ptd, dma_pasid(pasid), TEST_DST,
				      TEST_SRC, TEST_LEN, &r)) {
		TH_LOG("PASID %u refused at 0x%llx", pasid, (u64)r.fault_addr);
	}
	EXPECT_EQ(TEST_LEN, r.done);
	EXPECT_TRUE(mem_is(&n->g, s->dst, s->fill, TEST_LEN));
}

/* The device is refused at the first byte, and nothing is written */
static inline void dma_refused(struct __test_metadata *_metadata,
			       struct ptd *ptd, u32 pasid)
{
	struct ptd_record r;

	ASSERT_EQ(PTD_ST_READ_FAULT, ptd_copy(ptd, dma_pasid(pasid), TEST_DST,
					      TEST_SRC, TEST_LEN, &r));
	EXPECT_EQ(TEST_SRC, r.fault_addr);
	EXPECT_EQ(0, r.done);
}

/* Requests without PASID go through stage 2 alone, or not even there */
static inline void dma_stage2(struct __test_metadata *_metadata,
			      struct nest *n, struct ptd *ptd, struct space *s,
			      bool works)
{
	memset(guest_va(&n->g, s->dst), 0, TEST_LEN);
	EXPECT_EQ(works ? PTD_ST_OK : PTD_ST_READ_FAULT,
		  ptd_copy(ptd, PTD_NO_PASID, s->dst, s->src, TEST_LEN, NULL));
	EXPECT_TRUE(mem_is(&n->g, s->dst, works ? s->fill : 0, TEST_LEN));
}

/*
 * Lend @page to the device at @gpa, which is @va to it, and take it back: then
 * it must be refused.  Returns the status of the access before.
 */
static inline int lend_page(struct __test_metadata *_metadata, struct nest *n,
			    u32 pasid, void *page, u64 gpa, u64 va, u64 pattern)
{
	int status;

	test_ok(vfio_map(&n->c, page, gpa, SZ_4K, VFIO_DMA_MAP_FLAG_READ |
			 VFIO_DMA_MAP_FLAG_WRITE));
	status = ptd_fill(&n->ptd, pasid, va, SZ_4K, pattern, NULL);
	test_ok(vfio_unmap(&n->c, gpa, SZ_4K, NULL));
	ASSERT_EQ(PTD_ST_WRITE_FAULT,
		  ptd_fill(&n->ptd, pasid, va, SZ_4K, pattern, NULL)) {
		TH_LOG("the %lluth time", pattern);
	}
	return status;
}

#endif
