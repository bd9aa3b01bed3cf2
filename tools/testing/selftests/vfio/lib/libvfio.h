/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libvfio: the type1 container, nesting and the test devices, for tests and
 * tools
 *
 * Functions return 0 or a positive result, or -errno.  Those that take
 * several steps also leave a line in vfio_why() that names the one that
 * failed.
 */
#ifndef SELFTESTS_VFIO_LIBVFIO_H
#define SELFTESTS_VFIO_LIBVFIO_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <linux/vfio_nesting.h>

#include "iommu_monitor.h"
#include "pasid_testdev.h"

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;

#define VFIO_PRINTF(a, b) __attribute((format(printf, a, b)))
#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#endif

#ifndef BIT
#define BIT(n) (1u << (n))
#define BIT_ULL(n) (1ull << (n))
#endif

#define SZ_4K	0x1000ull
#define SZ_2M	0x200000ull
#define SZ_1G	0x40000000ull

#define VFIO_BDF_LEN	16
#define VFIO_MAX_DEVS	8

/* The step that failed last, for messages */
const char *vfio_why(void);
int vfio_fail(int err, const char *fmt, ...)
	VFIO_PRINTF(2, 3);
/* As ioctl(), but -errno */
int vfio_ioctl(int fd, unsigned long cmd, void *arg);

/*
 * What has to come is waited for, not counted on within some time: a machine
 * may be slow.  After WAIT_MS it is missing.  Who uses a tool should hear of a
 * device that is dead before that: vfio_wait_ms is what this library waits,
 * less at first, and tests set it to WAIT_MS.
 */
#define WAIT_MS		120000
extern unsigned int vfio_wait_ms;
u64 vfio_now_ms(void);

/* Does @cond come true in time?  It is looked at once at the least */
#define wait_until(cond) ({						\
	const u64 _end = vfio_now_ms() + vfio_wait_ms;			\
	bool _is;							\
									\
	while (!(_is = (cond)) && vfio_now_ms() < _end)			\
		usleep(1000);						\
	_is;								\
})

/* sysfs.c: what needs no container */
int vfio_parse_bdf(const char *arg, char *bdf);
/* An existing file, such as one of sysfs or of a cgroup */
int vfio_write_file(const char *path, const char *text);
int vfio_sysfs_read(const char *bdf, const char *file, char *buf, size_t len);
int vfio_sysfs_write(const char *bdf, const char *file, const char *text);
int vfio_sysfs_link(const char *bdf, const char *file, char *buf, size_t len);
int vfio_sysfs_id(const char *bdf, const char *file);
/* Functions bound to vfio-pci, sorted; returns how many */
int vfio_find_bound(char bdfs[][VFIO_BDF_LEN], int max);
int vfio_find_id(int vendor, int device, char *bdf);
unsigned int vfio_sid(const char *bdf);

/* container.c */
struct vfio_group {
	int fd;
	int id;
};

struct cd_groups;

struct vfio_container {
	int fd;
	int type;			/* 0 until a group is attached */
	struct cd_groups *cds;		/* s1_smmu.c's */
	int nr_groups;
	struct vfio_group groups[VFIO_MAX_DEVS];
};

int vfio_container_open(struct vfio_container *c);
void vfio_container_close(struct vfio_container *c);
int vfio_check_extension(const struct vfio_container *c, int ext);
/* Returns the fd of the device's group, which the caller closes */
int vfio_group_open(const char *bdf, int *id);
int vfio_group_set_container(int group_fd, const struct vfio_container *c);
int vfio_group_unset_container(int group_fd);
int vfio_container_set_type(struct vfio_container *c, int type);
/* Opens and attaches the group of @bdf; sets the type with the first one */
int vfio_container_attach(struct vfio_container *c, int type, const char *bdf);
void vfio_container_detach(struct vfio_container *c, int group_fd);
int vfio_map(const struct vfio_container *c, void *va, u64 iova,
	     u64 size, u32 flags);
int vfio_unmap(const struct vfio_container *c, u64 iova, u64 size,
	       u64 *unmapped);

/* device.c */
struct vfio_device {
	char bdf[VFIO_BDF_LEN];
	int group_fd;			/* owned by the container */
	int fd;
	u64 config_off;
	u64 config_size;
	void *bar[6];
	size_t bar_size[6];
};

int vfio_device_open(struct vfio_device *d, struct vfio_container *c, int type,
		     const char *bdf);
int vfio_device_get(struct vfio_device *d, int group_fd, const char *bdf);
void vfio_device_close(struct vfio_device *d);
int vfio_device_map_bar(struct vfio_device *d, int bar);
int vfio_device_config_read(const struct vfio_device *d, unsigned int off,
			    void *buf, size_t len);
int vfio_device_config_write(const struct vfio_device *d, unsigned int off,
			     const void *buf, size_t len);
int vfio_device_enable(const struct vfio_device *d);
int vfio_device_reset(const struct vfio_device *d);
/* Power state: 0 is D0, 3 is D3hot; -ENOENT if it has but one */
int vfio_device_power(const struct vfio_device *d, u16 state);
/* Into the state that the kernel chooses; @enter: the next ioctl wakes it up */
int vfio_device_low_power(const struct vfio_device *d, bool enter);
/* Does vfio-pci put to sleep what nobody has open? */
bool vfio_idle_d3(void);
/* Until the kernel has put it there; -ENOENT if that is no D3 */
int vfio_wait_asleep(const char *bdf);
/* Its bus, on which there is nothing else */
int vfio_device_hot_reset(const struct vfio_device *d);
/* Returns an eventfd that VFIO_PCI_*_IRQ_INDEX @index, @vector signals */
int vfio_device_irq_eventfd(const struct vfio_device *d, unsigned int index,
			    unsigned int vector);
int vfio_device_feature_get(const struct vfio_device *d, u32 feature,
			    void *data, size_t len);
int vfio_device_feature_set(const struct vfio_device *d, u32 feature,
			    const void *data, size_t len);
/* A device-specific region; -ENOENT if there is none */
int vfio_device_region(const struct vfio_device *d, u32 type, u32 subtype,
		       struct vfio_region_info *info);

/* guest.c: memory of a guest, mapped in a container */
struct guest {
	const struct vfio_container *c;
	u8 *va;
	u64 gpa;
	u64 size;
	u64 used;
	unsigned int pasid_bits;	/* what its IOMMU offers it */
	u16 asids;			/* s1_smmu.c: how many are taken */
};

/*
 * A multiple of 1 GiB, so that a stage-1 page of any size can point at the
 * memory; above 4 GiB, clear of the MSI window.
 */
#define GUEST_GPA	(4 * SZ_1G)

int guest_init(struct guest *g, const struct vfio_container *c, u64 gpa,
	       u64 size);
/* In memory of the caller's */
int guest_init_at(struct guest *g, const struct vfio_container *c, void *va,
		  u64 gpa, u64 size);
void guest_exit(struct guest *g);
/* Zeroed; the address in the guest, or 0 if there is no room */
u64 guest_alloc(struct guest *g, u64 size, u64 align);
void *guest_va(const struct guest *g, u64 gpa);

/* s1_table.c: a stage-1 table in the memory of a guest */
#define S1_READ		BIT(0)	/* as permissions ... */
#define S1_WRITE	BIT(1)
#define S1_USER		BIT(2)
#define S1_ACCESSED	BIT(3)	/* ... and what hardware sets */
#define S1_DIRTY	BIT(4)
#define S1_RW		(S1_READ | S1_WRITE | S1_USER)

union s1_bind_data {
	struct iommu_hwpt_vtd_s1 vtd;
	struct vfio_nesting_smmuv3_ste smmu;
};

union s1_inv_entry {
	struct iommu_hwpt_vtd_s1_invalidate vtd;
	struct vfio_nesting_smmuv3_cmd smmu;
};

/* Entries that a range may take */
#define S1_MAX_INV	2

struct s1_table;

struct s1_ops {
	const char *name;
	u32 format;		/* VFIO_NESTING_FORMAT_* */
	u32 feature;		/* VFIO_NESTING_FEATURE_BIND_* of it */
	u32 data_len;
	u32 inv_len;
	/*
	 * What is bound is a table of all PASIDs, which the kernel does not
	 * look into.  nest_bind() and the like change it as a guest would.
	 */
	bool whole;
	bool marks;		/* hardware sets S1_ACCESSED and S1_DIRTY */
	/*
	 * What waits for a page is an access that is not translated yet, not
	 * a device that asks by ATS and PRI.
	 */
	bool stalls;
	int (*init)(struct s1_table *t);
	/* One leaf; @page is its size */
	int (*map)(struct s1_table *t, u64 va, u64 gpa,
		   u64 page, unsigned int prot);
	int (*unmap)(struct s1_table *t, u64 va);
	/* S1_* of the leaf, or -ENOENT */
	int (*flags)(struct s1_table *t, u64 va);
	/* Bind data for requests without PASID */
	int (*bind_data)(const struct s1_table *t, union s1_bind_data *data);
	void (*inv_entry)(const struct s1_table *t, union s1_inv_entry *e,
			  u64 va, u64 npages);
	/* @whole: as nest_bind() and s1_inv_range() */
	int (*bind)(const struct vfio_container *c, int group_fd, u32 pasid,
		    const struct s1_table *t);
	u32 (*inv_range)(const struct s1_table *t, union s1_inv_entry *e,
			 u32 pasid, u64 va, u64 npages);
};

struct s1_table {
	const struct s1_ops *ops;
	struct guest *g;
	u64 root;			/* in the guest */
	u64 bind_flags;
	/*
	 * An access that faults may wait for its page.  Where that is said of
	 * a table, it must be true of the device.
	 */
	bool demand;
	u16 asid;
};

extern const struct s1_ops s1_vtd_ops;
extern const struct s1_ops s1_smmu_ops;

/* NULL where no builder of this library knows the format */
const struct s1_ops *s1_ops_find(u32 format);
int s1_init(struct s1_table *t, const struct s1_ops *ops, struct guest *g);
/* A range of leaves of @page bytes */
int s1_map(struct s1_table *t, u64 va, u64 gpa, u64 size,
	   u64 page, unsigned int prot);
int s1_unmap(struct s1_table *t, u64 va);
/*
 * What invalidates a range, with the device's TLB; returns how many entries,
 * each of which has to be over before the next
 */
u32 s1_inv_range(const struct s1_table *t, union s1_inv_entry *e, u32 pasid,
		 u64 va, u64 npages);
int s1_flags(struct s1_table *t, u64 va);

/* s1_smmu.c: a table of context descriptors in the memory of a guest */
struct cd_table {
	struct guest *g;
	u64 base;			/* in the guest */
	unsigned int fmt;		/* CD_* */
	unsigned int split;
	unsigned int cdmax;		/* log2 of the descriptors */
	unsigned int s1dss;		/* CD_DSS_* */
};

#define CD_LINEAR	0
#define CD_4K		1
#define CD_64K		2
/* Requests without PASID: end, go through stage 2 alone, use the first one */
#define CD_DSS_END	0
#define CD_DSS_STAGE2	1
#define CD_DSS_SSID0	2

int cd_table_init(struct cd_table *ct, struct guest *g, unsigned int fmt,
		  unsigned int cdmax);
/* The descriptor; NULL if there is no room for a leaf */
u64 *cd_at(struct cd_table *ct, u32 ssid);
int cd_set(struct cd_table *ct, u32 ssid, const struct s1_table *t, u16 asid);
void cd_ste(const struct cd_table *ct, struct vfio_nesting_smmuv3_ste *ste);
/* One such table for each group of a container */
struct cd_groups *cd_groups_alloc(void);
void cd_groups_free(struct cd_groups *cds);
/* While the list of the container's groups changes */
void cd_groups_lock(const struct vfio_container *c);
void cd_groups_unlock(const struct vfio_container *c);
/* Nothing is bound there any more; locked */
void cd_group_forget(const struct vfio_container *c, int group_fd);
/* Whether nest_unbind() is for one of these tables */
bool cd_groups_used(const struct vfio_container *c);
int cd_unbind(const struct vfio_container *c, int group_fd, u32 pasid,
	      bool block);

/* nesting.c */
#define NEST_ALL_GROUPS	(-1)
#define NEST_RID	0u

union nest_info {
	struct vfio_iommu_type1_info_cap_nesting cap;
	u8 raw[1024];
};

union nest_hw_info {
	struct iommu_hw_info_vtd vtd;
	struct vfio_nesting_smmuv3_hw_info smmu;
};

/* -ENOENT: no such capability */
int nest_info(const struct vfio_container *c, union nest_info *info);
const struct vfio_nesting_format *nest_format(const union nest_info *info,
					      u32 format);
int nest_device_info(const struct vfio_device *d,
		     struct vfio_device_feature_nesting *info,
		     union nest_hw_info *hw);
int nest_pasid_alloc(const struct vfio_container *c, u32 min,
		     u32 max);
int nest_pasid_free(const struct vfio_container *c, u32 min,
		    u32 max);
int nest_bind(const struct vfio_container *c, int group_fd, u32 pasid,
	      const struct s1_table *t);
int nest_bind_table(const struct vfio_container *c, int group_fd,
		    const struct vfio_nesting_smmuv3_ste *ste);
/* UNBIND or BLOCK of it */
int nest_table_op(const struct vfio_container *c, int group_fd, u32 op);
int nest_commands(const struct vfio_container *c,
		  const struct vfio_nesting_smmuv3_cmd *cmds, u32 n, u32 *done);
int nest_unbind(const struct vfio_container *c, int group_fd, u32 pasid);
int nest_block(const struct vfio_container *c, int group_fd, u32 pasid);
/* @done may be NULL */
int nest_inval(const struct vfio_container *c, int group_fd, u32 target,
	       u32 pasid, const struct s1_ops *ops,
	       const union s1_inv_entry *entries, u32 n, u32 *done);
/* Of a PASID, each over before the next begins */
int nest_inval_in_order(const struct vfio_container *c, int group_fd,
			u32 pasid, const struct s1_ops *ops,
			const union s1_inv_entry *entries, u32 n);
int nest_inval_range(const struct vfio_container *c, int group_fd,
		     u32 pasid, const struct s1_table *t, u64 va,
		     u64 npages);

/* fault.c: the faults of a device, as their consumer sees them */
struct fault_ring {
	const struct vfio_device *dev;
	const struct vfio_dma_fault_header *header;
	const struct vfio_dma_fault *entries;
	struct vfio_dma_fault_user *user;
	size_t map_len[3];
	u64 offset;			/* of the region */
	u64 response;			/* of the other one */
	u32 depth;
	u32 index;			/* of the next entry to read */
	int eventfd;
};

/* -ENOTTY: this device has no faults to offer */
int fault_open(struct fault_ring *r, const struct vfio_device *d, u32 kinds,
	       u32 depth);
void fault_close(struct fault_ring *r);
int fault_set(const struct vfio_device *d, u32 kinds, u32 depth, int eventfd);
/* How many entries there are to read now */
u32 fault_pending(const struct fault_ring *r);
/* Entry @i of those, until fault_consume() */
const struct vfio_dma_fault *fault_peek(const struct fault_ring *r, u32 i);
void fault_consume(struct fault_ring *r, u32 n);
/* 1: @f is the next one, consumed; 0: none within @timeout_ms, -1: no limit */
int fault_next(struct fault_ring *r, struct vfio_dma_fault *f, int timeout_ms);
/* Waits until there is something; returns fault_pending() or -errno */
int fault_wait(struct fault_ring *r, int timeout_ms);
/* How many were taken, or -errno */
int fault_respond(const struct fault_ring *r,
		  const struct vfio_dma_fault_response *responses, u32 n);
int fault_answer(const struct fault_ring *r, const struct vfio_dma_fault *f,
		 u32 code);
int fault_drain(const struct vfio_device *d);
const char *fault_reason_name(u32 reason);

/* dsa.c: copies by Intel's Data Streaming Accelerator */
#define DSA_VENDOR_ID	0x8086
#define DSA_DEVICE_ID	0x0b25

struct dsa_desc {
	u32	pasid;		/* 0: that of the queue */
	u32	flags;		/* bits 31:24: operation */
	u64	completion;
	u64	src;		/* or a pattern */
	u64	dst;
	u32	len;
	u32	zero[7];
} __attribute__((aligned(64)));

/* How to reach one */
struct dsa_io {
	u32 (*read)(void *priv, unsigned int reg);
	void (*write)(void *priv, unsigned int reg, u32 val);
	int (*submit)(void *priv, const struct dsa_desc *desc);
};

struct dsa {
	const struct dsa_io *io;
	void *priv;
	u32 wq;			/* where the queue is configured */
	u32 wq_words;
	u32 entries;
	bool enabled;
	u32 pasid;		/* of the queue, if it is enabled */
};

bool dsa_is(const char *bdf);
int dsa_init(struct dsa *d, struct vfio_device *dev);
int dsa_start(struct dsa *d, const struct dsa_io *io, void *priv);
/* MEMMOVE and FILL without flags; returns PTD_ST_* or -errno */
int dsa_run(struct dsa *d, const struct ptd_desc *op, struct ptd_record *r);

/* ptd.c: driver of pasid-testdev */
#define PTD_NO_PASID	0xffffffffu

struct ptd {
	struct vfio_device *dev;
	u8 *bar;
	unsigned int nr_queues;
	u32 max_len;
	u32 tag;
	bool is_dsa;		/* a DSA instead: ptd_run() of what it can */
	struct dsa dsa;
};

int ptd_init(struct ptd *p, struct vfio_device *dev);
int ptd_init_any(struct ptd *p, struct vfio_device *dev);
u32 ptd_read32(const struct ptd *p, unsigned int reg);
void ptd_write32(const struct ptd *p, unsigned int reg, u32 val);
u64 ptd_read64(const struct ptd *p, unsigned int reg);
/* Fills the tag in; does not wait */
void ptd_submit(struct ptd *p, unsigned int q, struct ptd_desc *d);
/* -ETIMEDOUT after vfio_wait_ms */
int ptd_wait(struct ptd *p, unsigned int q, struct ptd_record *r);
/* Both; returns PTD_ST_* or -errno */
int ptd_run(struct ptd *p, unsigned int q, struct ptd_desc *d,
	    struct ptd_record *r);
/* On queue 0; @r may be NULL */
int ptd_copy(struct ptd *p, u32 pasid, u64 dst, u64 src,
	     u32 len, struct ptd_record *r);
int ptd_fill(struct ptd *p, u32 pasid, u64 dst, u32 len,
	     u64 pattern, struct ptd_record *r);
int ptd_compare(struct ptd *p, u32 pasid, u64 a, u64 b,
		u32 len, struct ptd_record *r);
int ptd_crc(struct ptd *p, u32 pasid, u64 src, u32 len,
	    u32 seed, struct ptd_record *r);
/* Stops queue @q until ptd_release(); returns once it is held */
int ptd_hold(struct ptd *p, unsigned int q);
int ptd_release(struct ptd *p, unsigned int q, struct ptd_record *r);
const char *ptd_status_name(int status);
u32 ptd_pasid(u32 pasid);

/* imon.c: driver of iommu-monitor */
struct imon {
	char bdf[VFIO_BDF_LEN];
	u8 *bar;
};

/* -ENODEV: this machine has none */
int imon_open(struct imon *m);
void imon_close(struct imon *m);
u32 imon_read32(const struct imon *m, unsigned int reg);
void imon_write32(const struct imon *m, unsigned int reg, u32 val);
u64 imon_read64(const struct imon *m, unsigned int reg);
void imon_write64(const struct imon *m, unsigned int reg, u64 val);
u64 imon_count(const struct imon *m, u32 event, u32 sid, u32 pasid);
u64 imon_total(const struct imon *m, u32 event);
/* Answers to devices that waited for pages, whoever gave them */
u64 imon_answers(const struct imon *m);
void imon_clear(const struct imon *m);

#endif
