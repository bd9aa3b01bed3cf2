// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver of pasid-testdev that attaches IOMMU domains to PASIDs
 *
 * It shows, on a kernel without this series, what the emulated hardware does
 * with requests that carry a PASID.  It calls only what that kernel exports.
 *
 * On VT-d with both stages, Linux 6.12 gives a domain for a driver
 * (iommu_paging_domain_alloc) second-stage tables, and the default domain of
 * the DMA API first-stage ones; either may be attached to a PASID.
 *
 * Reading /sys/kernel/debug/iommu_client/<address>/ktap runs the tests.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cleanup.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/iommu.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include "client_pci.h"
#include "iommu_monitor.h"
#include "pasid_testdev.h"

static bool vcmd;
module_param(vcmd, bool, 0444);
MODULE_PARM_DESC(vcmd, "The IOMMU offers virtual commands, and the kernel uses them.");

static char *only;
module_param(only, charp, 0444);
MODULE_PARM_DESC(only, "Run the test of this name and no other.");

#define CLIENT_QUEUES		8
#define CLIENT_BINDS		16
#define CLIENT_DOMAINS		16
#define CLIENT_PAGES		64
/* However slow the host is */
#define CLIENT_PATIENCE		(120 * HZ)

/* Not what the DMA API hands out: it starts below 4 GiB */
#define IOVA			0x4000000000ull
#define IOVA_N(n)		(IOVA + (n) * PAGE_SIZE)

struct client_map {
	struct iommu_domain *domain;
	unsigned long iova;
};

struct client_bind {
	struct iommu_attach_handle handle;
	struct client *client;
	struct iommu_domain *domain;
	u32 pasid;
};

struct client {
	struct pci_dev *pdev;
	void __iomem *regs;
	struct pci_dev *mon_pdev;
	void __iomem *mon;
	u32 sid;
	struct dentry *debugfs;
	/* one run of the tests at a time */
	struct mutex lock;
	struct seq_file *m;
	atomic_t irqs[CLIENT_QUEUES];

	/* What the test that runs has made; undone after it */
	struct client_bind binds[CLIENT_BINDS];
	struct iommu_domain *domains[CLIENT_DOMAINS];
	struct client_map maps[CLIENT_PAGES];
	unsigned long pages[CLIENT_PAGES];
	u32 tag;

	/* Page request groups, oldest first, that await an answer */
	bool iopf;
	/* the list; the IOMMU's thread adds to it */
	spinlock_t groups_lock;
	struct list_head groups;
	wait_queue_head_t groups_wait;
};

static bool client_true(struct client *c, bool ok, int line, const char *what)
{
	if (!ok)
		seq_printf(c->m, "# line %d: not true: %s\n", line, what);
	return ok;
}

static bool client_equal(struct client *c, u64 a, u64 b, int line,
			 const char *what)
{
	if (a != b)
		seq_printf(c->m, "# line %d: %s is %#llx, not %#llx\n", line,
			   what, a, b);
	return a == b;
}

#define is_true(c, cond)	client_true(c, cond, __LINE__, #cond)
#define is_equal(c, a, b)	client_equal(c, a, b, __LINE__, #a)

/* The device */

static u32 client_r32(struct client *c, unsigned int reg)
{
	return readl(c->regs + reg);
}

static u64 client_r64(struct client *c, unsigned int reg)
{
	return readq(c->regs + reg);
}

static void client_reset(struct client *c)
{
	int q;

	writel(PTD_CTRL_RESET, c->regs + PTD_CTRL);
	for (q = 0; q < CLIENT_QUEUES; q++)
		writel(PTD_Q_CTRL_ENABLE,
		       c->regs + PTD_QUEUE(q) + PTD_Q_CTRL);
}

static void client_submit(struct client *c, int q, struct ptd_desc *d)
{
	void __iomem *page = c->regs + PTD_QUEUE(q);
	u64 *w = (u64 *)d;
	int i;

	d->tag = ++c->tag;
	for (i = 0; i < sizeof(*d) / 8; i++)
		writeq(w[i], page + PTD_Q_DESC + 8 * i);
	writel(1, page + PTD_Q_DOORBELL);
}

static int client_wait(struct client *c, int q, u32 tag, struct ptd_record *r)
{
	void __iomem *page = c->regs + PTD_QUEUE(q);
	unsigned long end = jiffies + CLIENT_PATIENCE;
	u64 *w = (u64 *)r;
	int i;

	while (!readl(page + PTD_Q_CPL_COUNT)) {
		if (time_after(jiffies, end)) {
			seq_printf(c->m, "# queue %d: no completion\n", q);
			return -ETIMEDOUT;
		}
		usleep_range(100, 200);
	}
	for (i = 0; i < sizeof(*r) / 8; i++)
		w[i] = readq(page + PTD_Q_CPL + 8 * i);
	writel(1, page + PTD_Q_CPL_POP);
	if (!is_equal(c, r->tag, tag))
		return -EIO;
	return 0;
}

static int client_do(struct client *c, struct ptd_desc *d,
		     struct ptd_record *r)
{
	client_submit(c, 0, d);
	return client_wait(c, 0, d->tag, r);
}

static int client_copy(struct client *c, u32 pasid, u32 flags, u64 src,
		       u64 dst, struct ptd_record *r)
{
	struct ptd_desc d = {
		.op = PTD_OP_MEMMOVE,
		.flags = flags,
		.pasid = PTD_PASID_VALID | pasid,
		.src = src,
		.dst = dst,
		.len = PAGE_SIZE,
	};

	return client_do(c, &d, r);
}

/* The monitor */

static u64 client_count(struct client *c, u32 event, u32 sid, u32 pasid)
{
	writel(event, c->mon + IMON_SEL_EVENT);
	writel(sid, c->mon + IMON_SEL_SID);
	writel(pasid, c->mon + IMON_SEL_PASID);
	return readq(c->mon + IMON_COUNT);
}

/* Descriptors of this type that the IOMMUs executed */
static u64 client_inv(struct client *c, u32 type)
{
	return client_count(c, IOMMU_MON_EV_VTD(type), IMON_SEL_ANY,
			    IMON_SEL_ANY);
}

/* Those for one PASID: the host's own domains use PASID 0 at any time */
static u64 client_piotlb(struct client *c, u32 pasid)
{
	return client_count(c, IOMMU_MON_EV_VTD(IOMMU_MON_VTD_PIOTLB),
			    IMON_SEL_ANY, pasid);
}

static u64 client_faults(struct client *c, u32 pasid)
{
	return client_count(c, IOMMU_MON_EV_F_RAISED, c->sid, pasid);
}

/* Page requests of this function in the monitor's books */
static u64 client_requests(struct client *c, u32 event)
{
	return client_count(c, event, c->sid, IMON_SEL_ANY);
}

static bool client_balanced(struct client *c)
{
	return is_equal(c, client_requests(c, IOMMU_MON_EV_PR_RECEIVED),
			client_requests(c, IOMMU_MON_EV_PR_QUEUED) +
			client_requests(c, IOMMU_MON_EV_PR_DROPPED) +
			client_requests(c, IOMMU_MON_EV_PR_REFUSED));
}

/* Page requests made by hand, for @n pages */
static void client_send(struct client *c, u32 pasid, u64 iova, u32 flags,
			u32 prgi, u32 n)
{
	writeq(iova, c->regs + PTD_PR_ADDR);
	writel(pasid, c->regs + PTD_PR_PASID);
	writel(flags | prgi << PTD_PR_PRGI_SHIFT, c->regs + PTD_PR_FLAGS);
	writel(n, c->regs + PTD_PR_SEND);
}

/* The oldest answer the device was given, or 0 */
static u64 client_response(struct client *c)
{
	unsigned long end = jiffies + CLIENT_PATIENCE;
	u64 r;

	while (!client_r32(c, PTD_RESP_COUNT)) {
		if (time_after(jiffies, end)) {
			seq_puts(c->m, "# no response\n");
			return 0;
		}
		usleep_range(100, 200);
	}
	r = client_r64(c, PTD_RESP);
	writel(1, c->regs + PTD_RESP_POP);
	return r;
}

static bool client_told(struct client *c, u32 pasid, u32 prgi, u32 code)
{
	u64 r = client_response(c);

	return is_true(c, r) && is_equal(c, PTD_RESP_PRGI(r), prgi) &&
	       is_equal(c, r & PTD_RESP_PASID_VALID ?
			   PTD_PASID_VALID | PTD_RESP_PASID(r) : 0, pasid) &&
	       is_equal(c, PTD_RESP_CODE(r), code) &&
	       is_true(c, !(r & PTD_RESP_STRAY));
}

static void client_ignore(struct client *c, u32 type)
{
	writeq(type ? BIT_ULL(type) : 0, c->mon + IMON_IGNORE_VTD);
}

/* Memory, domains and PASIDs of a test */

static u8 *client_page(struct client *c, u8 seed)
{
	int i, j;

	for (i = 0; i < CLIENT_PAGES; i++) {
		u8 *p;

		if (c->pages[i])
			continue;
		c->pages[i] = __get_free_page(GFP_KERNEL);
		if (!c->pages[i])
			return NULL;
		p = (u8 *)c->pages[i];
		for (j = 0; j < PAGE_SIZE; j++)
			p[j] = seed ^ j ^ j >> 8;
		return p;
	}
	return NULL;
}

/* Does the page hold what client_page() put into one with this seed? */
static bool client_holds(const u8 *page, u8 seed)
{
	int j;

	for (j = 0; j < PAGE_SIZE; j++)
		if (READ_ONCE(page[j]) != (u8)(seed ^ j ^ j >> 8))
			return false;
	return true;
}

static int client_map(struct client *c, struct iommu_domain *domain,
		      unsigned long iova, u8 *page)
{
	int i, ret;

	for (i = 0; i < CLIENT_PAGES; i++) {
		if (c->maps[i].domain)
			continue;
		ret = iommu_map(domain, iova, virt_to_phys(page), PAGE_SIZE,
				IOMMU_READ | IOMMU_WRITE, GFP_KERNEL);
		if (!is_equal(c, -ret, 0))
			return -EIO;
		c->maps[i].domain = domain;
		c->maps[i].iova = iova;
		return 0;
	}
	return -ENOSPC;
}

static int client_unmap(struct client *c, struct iommu_domain *domain,
			unsigned long iova)
{
	int i;

	for (i = 0; i < CLIENT_PAGES; i++) {
		if (c->maps[i].domain != domain || c->maps[i].iova != iova)
			continue;
		if (!is_equal(c, iommu_unmap(domain, iova, PAGE_SIZE),
			      PAGE_SIZE))
			return -EIO;
		c->maps[i].domain = NULL;
		return 0;
	}
	return -ENOENT;
}

/* A domain with second-stage tables */
static struct iommu_domain *client_domain(struct client *c)
{
	int i;

	for (i = 0; i < CLIENT_DOMAINS; i++) {
		struct iommu_domain *domain;

		if (c->domains[i])
			continue;
#ifdef HAVE_ALLOC_FLAGS
		/* first stage by default; a parent is second stage */
		domain = iommu_paging_domain_alloc_flags(&c->pdev->dev,
							 IOMMU_HWPT_ALLOC_NEST_PARENT);
#else
		domain = iommu_paging_domain_alloc(&c->pdev->dev);
#endif
		if (IS_ERR(domain))
			return NULL;
		c->domains[i] = domain;
		return domain;
	}
	return NULL;
}

/* The one with first-stage tables */
static struct iommu_domain *client_first_stage(struct client *c)
{
	return iommu_get_domain_for_dev(&c->pdev->dev);
}

static int client_attach(struct client *c, struct iommu_domain *domain,
			 u32 pasid)
{
	int i, ret;

	for (i = 0; i < CLIENT_BINDS; i++) {
		struct client_bind *b = &c->binds[i];

		if (b->domain)
			continue;
		b->client = c;
		ret = iommu_attach_device_pasid(domain, &c->pdev->dev, pasid,
						&b->handle);
		if (!is_equal(c, -ret, 0))
			return -EIO;
		b->domain = domain;
		b->pasid = pasid;
		return 0;
	}
	return -ENOSPC;
}

/* Page requests */

/* Runs in the thread of the IOMMU's interrupt: the test answers later */
static int client_handler(struct iopf_group *group)
{
	struct client_bind *b = container_of(group->attach_handle,
					     struct client_bind, handle);
	struct client *c = b->client;

	iopf_group_dequeue(group);
	spin_lock(&c->groups_lock);
	list_add_tail(&group->node, &c->groups);
	spin_unlock(&c->groups_lock);
	wake_up(&c->groups_wait);
	return 0;
}

static struct iopf_group *client_first_group(struct client *c)
{
	struct iopf_group *group;

	spin_lock(&c->groups_lock);
	group = list_first_entry_or_null(&c->groups, struct iopf_group, node);
	if (group)
		list_del_init(&group->node);
	spin_unlock(&c->groups_lock);
	return group;
}

static struct iopf_group *client_wait_group(struct client *c)
{
	if (!wait_event_timeout(c->groups_wait, !list_empty(&c->groups),
				CLIENT_PATIENCE))
		seq_puts(c->m, "# no page request\n");
	return client_first_group(c);
}

static void client_answer(struct iopf_group *group,
			  enum iommu_page_response_code code)
{
	iopf_group_response(group, code);
	iopf_free_group(group);
}

/* A domain whose page requests come to client_handler() */
static struct iommu_domain *client_fault_domain(struct client *c)
{
	struct iommu_domain *domain = client_domain(c);

	if (!domain)
		return NULL;
#ifdef HAVE_FEAT_IOPF
	if (!c->iopf) {
		if (!is_equal(c, -iommu_dev_enable_feature(&c->pdev->dev,
							   IOMMU_DEV_FEAT_IOPF),
			      0))
			return NULL;
		c->iopf = true;
	}
#endif
	domain->iopf_handler = client_handler;
	return domain;
}

/* Nothing may be left unanswered when this is called */
static void client_iopf_off(struct client *c)
{
#ifdef HAVE_FEAT_IOPF
	if (c->iopf)
		iommu_dev_disable_feature(&c->pdev->dev, IOMMU_DEV_FEAT_IOPF);
#endif
	c->iopf = false;
}

static int client_detach(struct client *c, u32 pasid)
{
	int i;

	for (i = 0; i < CLIENT_BINDS; i++) {
		struct client_bind *b = &c->binds[i];

		if (!b->domain || b->pasid != pasid)
			continue;
		iommu_detach_device_pasid(b->domain, &c->pdev->dev, pasid);
		b->domain = NULL;
		return 0;
	}
	return -ENOENT;
}

static void client_undo(struct client *c)
{
	struct iopf_group *group;
	int i;

	client_ignore(c, 0);
	writel(0, c->mon + IMON_PRQ_DEPTH);
	writel(0, c->mon + IMON_PRQ_HOLD);
	client_reset(c);
	for (i = 0; i < CLIENT_BINDS; i++)
		if (c->binds[i].domain)
			client_detach(c, c->binds[i].pasid);
	while ((group = client_first_group(c)))
		client_answer(group, IOMMU_PAGE_RESP_INVALID);
	client_iopf_off(c);
	for (i = 0; i < CLIENT_PAGES; i++) {
		if (c->maps[i].domain)
			iommu_unmap(c->maps[i].domain, c->maps[i].iova,
				    PAGE_SIZE);
		c->maps[i].domain = NULL;
	}
	for (i = 0; i < CLIENT_DOMAINS; i++) {
		if (c->domains[i])
			iommu_domain_free(c->domains[i]);
		c->domains[i] = NULL;
	}
	for (i = 0; i < CLIENT_PAGES; i++) {
		free_page(c->pages[i]);
		c->pages[i] = 0;
	}
}

/* A domain on a PASID with two pages at the IOVAs all tests use */
struct client_space {
	struct iommu_domain *domain;
	u32 pasid;
	u8 *src;
	u8 *dst;
};

static int client_space(struct client *c, struct client_space *s,
			struct iommu_domain *domain, u32 pasid, u8 seed)
{
	if (!is_true(c, domain))
		return -EIO;
	s->domain = domain;
	s->pasid = pasid;
	s->src = client_page(c, seed);
	s->dst = client_page(c, 0);
	if (!is_true(c, s->src && s->dst))
		return -EIO;
	if (client_map(c, domain, IOVA_N(0), s->src))
		return -EIO;
	if (client_map(c, domain, IOVA_N(1), s->dst))
		return -EIO;
	return client_attach(c, domain, pasid);
}

/* The device copies page to page within @s */
static int client_runs(struct client *c, struct client_space *s, u8 seed)
{
	struct ptd_record r;

	memset(s->dst, 0xff, PAGE_SIZE);
	if (client_copy(c, s->pasid, 0, IOVA_N(0), IOVA_N(1), &r))
		return -EIO;
	if (!is_equal(c, r.status, PTD_ST_OK))
		return -EIO;
	if (!is_equal(c, r.done, PAGE_SIZE))
		return -EIO;
	if (!is_true(c, client_holds(s->dst, seed)))
		return -EIO;
	return 0;
}

/* Make a space, and see that it works */
static int client_runs_in(struct client *c, struct client_space *s,
			  struct iommu_domain *domain, u32 pasid, u8 seed)
{
	return client_space(c, s, domain, pasid, seed) ?:
	       client_runs(c, s, seed);
}

/* A space of each stage: PASID and seed 1, and 2 */
static int client_both_stages(struct client *c, struct client_space *s)
{
	return client_space(c, &s[0], client_domain(c), 1, 1) ?:
	       client_space(c, &s[1], client_first_stage(c), 2, 2);
}

/* The device does not get at @iova */
static int client_refused(struct client *c, u32 pasid, u64 iova)
{
	u64 before = client_faults(c, pasid);
	struct ptd_desc d = {
		.op = PTD_OP_FILL,
		.flags = PTD_F_NO_ATS,
		.pasid = PTD_PASID_VALID | pasid,
		.dst = iova,
		.len = 64,
		.imm = 0xdeaddeaddeaddeadull,
	};
	struct ptd_record r;

	if (client_do(c, &d, &r))
		return -EIO;
	if (!is_equal(c, r.status, PTD_ST_WRITE_FAULT))
		return -EIO;
	if (!is_equal(c, r.fault_addr, iova))
		return -EIO;
	/* one access, one fault, and of the right PASID */
	if (!is_equal(c, client_faults(c, pasid), before + 1))
		return -EIO;
	return 0;
}

/* The tests */

static int test_enables(struct client *c)
{
	u32 status = client_r32(c, PTD_STATUS);

	if (!is_equal(c, pci_max_pasids(c->pdev), 1 << 20))
		return -EIO;
	if (!is_equal(c, c->pdev->dev.iommu->max_pasids, 1 << 20))
		return -EIO;
	if (!is_true(c, pci_pasid_status(c->pdev) >= 0))
		return -EIO;
	if (!is_true(c, status & PTD_STATUS_PASID))
		return -EIO;
	if (!is_true(c, status & PTD_STATUS_ATS))
		return -EIO;
	if (!is_true(c, readq(c->mon + IMON_MODES) & IOMMU_MON_MODE_STRICT))
		return -EIO;
	return 0;
}

/* Requests without PASID, by the DMA API, while PASIDs are in use */
static int test_no_pasid(struct client *c)
{
	struct client_space s;
	struct ptd_desc d = { .op = PTD_OP_MEMMOVE, .len = 64 };
	struct ptd_record r;
	dma_addr_t dma;
	bool ok;
	u8 *va;
	int ret;

	if (client_space(c, &s, client_domain(c), 1, 5))
		return -EIO;
	va = dma_alloc_coherent(&c->pdev->dev, PAGE_SIZE, &dma, GFP_KERNEL);
	if (!is_true(c, va))
		return -EIO;
	memset(va, 0x3c, 64);
	d.src = dma;
	d.dst = dma + 64;
	ret = client_do(c, &d, &r);
	ok = !ret && r.status == PTD_ST_OK && va[127] == 0x3c;
	dma_free_coherent(&c->pdev->dev, PAGE_SIZE, va, dma);
	if (!is_true(c, ok))
		return -EIO;
	return client_runs(c, &s, 5);
}

/* Which stage a domain's tables are shows in what an unmap sends */
static int client_stage(struct client *c, struct iommu_domain *domain,
			u32 pasid, bool second)
{
	struct client_space s;
	u64 iotlb, piotlb;

	if (client_runs_in(c, &s, domain, pasid, 1))
		return -EIO;
	iotlb = client_inv(c, IOMMU_MON_VTD_IOTLB);
	piotlb = client_piotlb(c, pasid);
	if (client_unmap(c, s.domain, IOVA_N(1)))
		return -EIO;
	iotlb = client_inv(c, IOMMU_MON_VTD_IOTLB) - iotlb;
	piotlb = client_piotlb(c, pasid) - piotlb;
	if (!is_true(c, second ? iotlb && !piotlb : piotlb && !iotlb))
		return -EIO;
	return client_refused(c, pasid, IOVA_N(1));
}

static int test_second_stage(struct client *c)
{
	return client_stage(c, client_domain(c), 1, true);
}

static int test_first_stage(struct client *c)
{
	return client_stage(c, client_first_stage(c), 2, false);
}

/* One IOVA, three PASIDs, three memories; one goes, the others stay */
static int test_isolation(struct client *c)
{
	struct client_space s[3];
	int i, j;

	if (client_space(c, &s[0], client_domain(c), 1, 11))
		return -EIO;
	if (client_space(c, &s[1], client_domain(c), 2, 22))
		return -EIO;
	if (client_space(c, &s[2], client_first_stage(c), 3, 33))
		return -EIO;
	for (i = 0; i < 3; i++) {
		for (j = 0; j < 3; j++)
			memset(s[j].dst, 0, PAGE_SIZE);
		if (client_runs(c, &s[i], 11 * (i + 1)))
			return -EIO;
		for (j = 0; j < 3; j++)
			if (!is_true(c, j == i || !s[j].dst[1]))
				return -EIO;
	}
	if (client_detach(c, 2))
		return -EIO;
	if (client_refused(c, 2, IOVA_N(1)))
		return -EIO;
	if (client_runs(c, &s[0], 11))
		return -EIO;
	return client_runs(c, &s[2], 33);
}

static int test_unmap(struct client *c)
{
	struct client_space s[2];
	int i;

	if (client_both_stages(c, s))
		return -EIO;
	for (i = 0; i < 2; i++) {
		struct ptd_record r;

		if (client_runs(c, &s[i], i + 1))
			return -EIO;
		if (client_unmap(c, s[i].domain, IOVA_N(1)))
			return -EIO;
		memset(s[i].dst, 0x77, PAGE_SIZE);
		/* by ATS, and without */
		if (client_copy(c, s[i].pasid, 0, IOVA_N(0), IOVA_N(1), &r))
			return -EIO;
		if (!is_equal(c, r.status, PTD_ST_WRITE_FAULT))
			return -EIO;
		if (!is_equal(c, r.fault_addr, IOVA_N(1)))
			return -EIO;
		if (client_refused(c, s[i].pasid, IOVA_N(1)))
			return -EIO;
		if (!is_true(c, s[i].dst[0] == 0x77 && !memcmp(s[i].dst,
							       s[i].dst + 1,
							       PAGE_SIZE - 1)))
			return -EIO;
		/* and back */
		if (client_map(c, s[i].domain, IOVA_N(1), s[i].dst))
			return -EIO;
		if (client_runs(c, &s[i], i + 1))
			return -EIO;
	}
	return 0;
}

static int test_detach(struct client *c)
{
	struct client_space s[2];
	struct ptd_record r;
	int i;

	if (client_both_stages(c, s))
		return -EIO;
	for (i = 0; i < 2; i++) {
		if (client_runs(c, &s[i], i + 1))
			return -EIO;
		memset(s[i].dst, 0x77, PAGE_SIZE);
		if (client_detach(c, s[i].pasid))
			return -EIO;
		if (client_copy(c, s[i].pasid, 0, IOVA_N(0), IOVA_N(1), &r))
			return -EIO;
		if (!is_equal(c, r.status, PTD_ST_READ_FAULT))
			return -EIO;
		if (client_refused(c, s[i].pasid, IOVA_N(1)))
			return -EIO;
		if (!is_true(c, s[i].dst[0] == 0x77))
			return -EIO;
	}
	return 0;
}

/* A PASID gets another domain: nothing of the old one is left */
static int test_reuse(struct client *c)
{
	struct client_space a, b;

	if (client_runs_in(c, &a, client_domain(c), 9, 1))
		return -EIO;
	if (client_detach(c, 9))
		return -EIO;
	if (client_space(c, &b, client_domain(c), 9, 2))
		return -EIO;
	memset(a.dst, 0, PAGE_SIZE);
	if (client_runs(c, &b, 2))
		return -EIO;
	if (!is_true(c, !a.dst[1]))
		return -EIO;
	if (client_detach(c, 9))
		return -EIO;
	return client_runs_in(c, &b, client_first_stage(c), 9, 3);
}

static int test_pasid_range(struct client *c)
{
	static const u32 pasids[] = { 1, 63, 64, 0xffff, 0x10000, 0xfffff };
	struct iommu_attach_handle handle;
	struct client_space s[ARRAY_SIZE(pasids)];
	struct iommu_domain *domain;
	int i;

	for (i = 0; i < ARRAY_SIZE(pasids); i++)
		if (client_space(c, &s[i], client_domain(c), pasids[i], 40 + i))
			return -EIO;
	for (i = 0; i < ARRAY_SIZE(pasids); i++)
		if (client_runs(c, &s[i], 40 + i))
			return -EIO;
	/* no bit of the PASID is lost on the way to the fault record */
	if (client_refused(c, 0x8fffe, IOVA))
		return -EIO;
	domain = client_domain(c);
	if (!is_true(c, domain))
		return -EIO;
	if (!is_equal(c, -iommu_attach_device_pasid(domain, &c->pdev->dev,
						    1 << 20, &handle), EINVAL))
		return -EIO;
	return 0;
}

/* Eight queues at once, each in a space of its own, records and interrupts */
static int test_queues(struct client *c)
{
	struct client_space s[CLIENT_QUEUES];
	struct ptd_desc d[CLIENT_QUEUES];
	struct ptd_record *rec, r;
	int q;

	for (q = 0; q < CLIENT_QUEUES; q++) {
		u8 *page = client_page(c, 0);

		if (!is_true(c, page))
			return -EIO;
		/* there is only one domain of first-stage kind */
		if (client_space(c, &s[q], q ? client_domain(c) :
				 client_first_stage(c), 100 + q, 60 + q))
			return -EIO;
		if (client_map(c, s[q].domain, IOVA_N(2), page))
			return -EIO;
		memset(page, 0, PAGE_SIZE);
		atomic_set(&c->irqs[q], 0);
		d[q] = (struct ptd_desc) {
			.op = PTD_OP_MEMMOVE,
			.flags = PTD_F_RECORD | PTD_F_IRQ,
			.pasid = PTD_PASID_VALID | (100 + q),
			.src = IOVA_N(0),
			.dst = IOVA_N(1),
			.len = PAGE_SIZE,
			.record = IOVA_N(2) + 64,
		};
	}
	writel(PTD_CTRL_HOLD, c->regs + PTD_CTRL);
	for (q = 0; q < CLIENT_QUEUES; q++)
		client_submit(c, q, &d[q]);
	writel(0, c->regs + PTD_CTRL);
	for (q = 0; q < CLIENT_QUEUES; q++) {
		unsigned long end = jiffies + CLIENT_PATIENCE;

		while (!atomic_read(&c->irqs[q]) && time_before(jiffies, end))
			usleep_range(100, 200);
		if (!is_equal(c, atomic_read(&c->irqs[q]), 1))
			return -EIO;
		rec = phys_to_virt(iommu_iova_to_phys(s[q].domain,
						      IOVA_N(2))) + 64;
		if (!is_equal(c, rec->status, PTD_ST_OK))
			return -EIO;
		if (!is_equal(c, rec->tag, d[q].tag))
			return -EIO;
		if (!is_true(c, client_holds(s[q].dst, 60 + q)))
			return -EIO;
		if (client_wait(c, q, d[q].tag, &r))
			return -EIO;
	}
	return 0;
}

/* The device TLB is asked for, used, and emptied with the PASID's own type */
static int test_ats(struct client *c)
{
	struct client_space s;
	u64 n;

	if (client_runs_in(c, &s, client_domain(c), 1, 7))
		return -EIO;
	if (!is_equal(c, client_r64(c, PTD_CNT_ATS_REQ), 2))
		return -EIO;
	if (!is_equal(c, client_r64(c, PTD_CNT_ATS_HIT), 0))
		return -EIO;
	if (client_runs(c, &s, 7))
		return -EIO;
	if (!is_equal(c, client_r64(c, PTD_CNT_ATS_REQ), 2))
		return -EIO;
	if (!is_equal(c, client_r64(c, PTD_CNT_ATS_HIT), 2))
		return -EIO;
	n = client_inv(c, IOMMU_MON_VTD_PDTLB);
	if (client_unmap(c, s.domain, IOVA_N(0)))
		return -EIO;
	if (!is_true(c, client_inv(c, IOMMU_MON_VTD_PDTLB) > n))
		return -EIO;
	if (!is_true(c, client_r64(c, PTD_CNT_ATS_INV) > 0))
		return -EIO;
	/* what was not unmapped is still in it */
	if (client_map(c, s.domain, IOVA_N(0), s.src))
		return -EIO;
	if (client_runs(c, &s, 7))
		return -EIO;
	if (!is_equal(c, client_r64(c, PTD_CNT_ATS_REQ), 3))
		return -EIO;
	return 0;
}

static int client_unmap_dst(struct client *c, struct client_space *s)
{
	return client_unmap(c, s->domain, IOVA_N(1));
}

static int client_detach_space(struct client *c, struct client_space *s)
{
	return client_detach(c, s->pasid);
}

/*
 * Negative control: after @undo the device is refused with @status, but not
 * if invalidations of @type are ignored.  @s is where they were.
 */
static int client_control(struct client *c, struct client_space *s, u32 type,
			  int (*undo)(struct client *c, struct client_space *s),
			  u32 flags, u32 status)
{
	struct ptd_record r;
	int i;

	for (i = 0; i < 2; i++) {
		if (client_runs_in(c, s, client_domain(c), 1 + i, 8))
			return -EIO;
		memset(s->dst, 0, PAGE_SIZE);
		client_ignore(c, i ? type : 0);
		if (undo(c, s))
			return -EIO;
		client_ignore(c, 0);
		if (client_copy(c, s->pasid, flags, IOVA_N(0), IOVA_N(1), &r))
			return -EIO;
		if (!is_equal(c, r.status, i ? PTD_ST_OK : status))
			return -EIO;
		if (!is_equal(c, client_holds(s->dst, 8), i))
			return -EIO;
	}
	return 0;
}

/* The device still writes to what was unmapped */
static int test_ignore_pdtlb(struct client *c)
{
	struct client_space s;

	return client_control(c, &s, IOMMU_MON_VTD_PDTLB, client_unmap_dst, 0,
			      PTD_ST_WRITE_FAULT);
}

/* A detached PASID is still there; attached once more, the detach is seen */
static int test_ignore_pasid_cache(struct client *c)
{
	struct client_space s;

	if (client_control(c, &s, IOMMU_MON_VTD_PC, client_detach_space,
			   PTD_F_NO_ATS, PTD_ST_READ_FAULT))
		return -EIO;
	if (client_attach(c, s.domain, s.pasid))
		return -EIO;
	if (client_detach(c, s.pasid))
		return -EIO;
	return client_refused(c, s.pasid, IOVA_N(1));
}

/* The kernel never sets ERE: nobody may execute through the IOMMU */
static int test_exec(struct client *c)
{
	struct client_space s;
	struct ptd_record r;

	if (!is_true(c, client_r32(c, PTD_STATUS) & PTD_STATUS_EXEC))
		return -EIO;
	if (client_space(c, &s, client_first_stage(c), 1, 4))
		return -EIO;
	if (client_copy(c, 1, PTD_F_EXEC | PTD_F_NO_ATS, IOVA_N(0), IOVA_N(1),
			&r))
		return -EIO;
	if (!is_equal(c, r.status, PTD_ST_READ_FAULT))
		return -EIO;
	return client_runs(c, &s, 4);
}

/* After an FLR the kernel restores the capabilities, and PASIDs work again */
static int test_flr(struct client *c)
{
	struct client_space s;
	struct ptd_desc hold = { .op = PTD_OP_HOLD };

	if (client_runs_in(c, &s, client_domain(c), 1, 6))
		return -EIO;
	client_submit(c, 1, &hold);
	if (!is_equal(c, -pci_reset_function(c->pdev), 0))
		return -EIO;
	if (!is_equal(c, client_r32(c, PTD_QUEUE(1) + PTD_Q_PENDING), 0))
		return -EIO;
	if (!is_equal(c, client_r64(c, PTD_CNT_DESC), 0))
		return -EIO;
	if (!is_true(c, client_r32(c, PTD_STATUS) & PTD_STATUS_PASID))
		return -EIO;
	client_reset(c);
	return client_runs(c, &s, 6);
}

/*
 * The next group, which asks for @pages pages, the last of them this one;
 * NULL if it does not
 */
static struct iopf_group *client_asked(struct client *c, u32 pasid, u64 iova,
				       u32 perm, int pages)
{
	struct iopf_group *group = client_wait_group(c);
	struct iommu_fault_page_request *prm;

	if (!is_true(c, group))
		return NULL;
	prm = &group->last_fault.fault.prm;
	if (is_equal(c, prm->pasid, pasid) && is_equal(c, prm->addr, iova) &&
	    is_equal(c, prm->perm, perm) &&
	    is_equal(c, list_count_nodes(&group->faults), pages))
		return group;
	client_answer(group, IOMMU_PAGE_RESP_INVALID);
	return NULL;
}

/* Reads what no space has at first */
#define DESC_READ_ABSENT {			\
	.op = PTD_OP_CRC32,			\
	.pasid = PTD_PASID_VALID | 1,		\
	.src = IOVA_N(7),			\
	.len = 64,				\
}

/* A space on PASID 1 whose page requests come here */
static int client_fault_space(struct client *c, struct client_space *s)
{
	return client_space(c, s, client_fault_domain(c), 1, 3);
}

/* The device waits in such a space: the group that it sent, or NULL */
static struct iopf_group *client_read_absent(struct client *c,
					     struct client_space *s,
					     struct ptd_desc *d)
{
	if (client_fault_space(c, s))
		return NULL;
	client_submit(c, 0, d);
	return client_asked(c, 1, IOVA_N(7), IOMMU_FAULT_PERM_READ, 1);
}

/* A descriptor ends, with this status */
static int client_ends(struct client *c, struct ptd_desc *d, u32 status,
		       struct ptd_record *r)
{
	if (client_wait(c, 0, d->tag, r))
		return -EIO;
	return is_equal(c, r->status, status) ? 0 : -EIO;
}

/* A destination that is mapped when the device asks for it, and not before */
static int test_demand_fault(struct client *c)
{
	struct ptd_desc d = {
		.op = PTD_OP_MEMMOVE,
		.pasid = PTD_PASID_VALID | 1,
		.src = IOVA_N(0),
		.dst = IOVA_N(1),
		.len = PAGE_SIZE,
	};
	struct iopf_group *group;
	struct client_space s;
	struct ptd_record r;
	u64 faults;

	if (client_fault_space(c, &s))
		return -EIO;
	if (!is_true(c, client_r32(c, PTD_STATUS) & PTD_STATUS_PRI))
		return -EIO;
	if (client_unmap(c, s.domain, IOVA_N(1)))
		return -EIO;
	faults = client_faults(c, IMON_SEL_ANY);
	client_submit(c, 0, &d);
	group = client_asked(c, 1, IOVA_N(1), IOMMU_FAULT_PERM_WRITE, 1);
	if (!group)
		return -EIO;
	/* the device waits */
	if (!is_equal(c, client_r32(c, PTD_QUEUE(0) + PTD_Q_PENDING), 1))
		return -EIO;
	if (client_map(c, s.domain, IOVA_N(1), s.dst))
		return -EIO;
	client_answer(group, IOMMU_PAGE_RESP_SUCCESS);
	if (client_ends(c, &d, PTD_ST_OK, &r))
		return -EIO;
	if (!is_true(c, client_holds(s.dst, 3)))
		return -EIO;
	if (!is_equal(c, client_r64(c, PTD_CNT_PR), 1))
		return -EIO;
	if (!is_equal(c, client_r64(c, PTD_CNT_RESP_OK), 1))
		return -EIO;
	/* and none of it is a fault */
	return is_equal(c, client_faults(c, IMON_SEL_ANY), faults) ? 0 : -EIO;
}

/* What is answered with "invalid" ends the access, and is no fault either */
static int test_demand_refused(struct client *c)
{
	struct ptd_desc d = DESC_READ_ABSENT;
	struct iopf_group *group;
	struct client_space s;
	struct ptd_record r;
	u64 faults;

	faults = client_faults(c, IMON_SEL_ANY);
	group = client_read_absent(c, &s, &d);
	if (!group)
		return -EIO;
	client_answer(group, IOMMU_PAGE_RESP_INVALID);
	if (client_ends(c, &d, PTD_ST_READ_FAULT, &r))
		return -EIO;
	if (!is_equal(c, r.fault_addr, IOVA_N(7)))
		return -EIO;
	if (!is_equal(c, client_r64(c, PTD_CNT_RESP_INVALID), 1))
		return -EIO;
	if (!is_equal(c, client_faults(c, IMON_SEL_ANY), faults))
		return -EIO;
	return client_runs(c, &s, 3);
}

/* A group for each queue, answered the other way round */
static int test_demand_groups(struct client *c)
{
	struct iopf_group *groups[CLIENT_QUEUES] = { };
	struct client_space s;
	int i, q, ret = -EIO;
	u32 tags[CLIENT_QUEUES];
	struct ptd_record r;

	if (client_fault_space(c, &s))
		return -EIO;
	for (q = 0; q < CLIENT_QUEUES; q++) {
		struct ptd_desc d = {
			.op = PTD_OP_FILL,
			.pasid = PTD_PASID_VALID | 1,
			.dst = IOVA_N(8 + q),
			.imm = 0x0101010101010101ull * q,
			.len = 64,
		};

		client_submit(c, q, &d);
		tags[q] = d.tag;
	}
	for (i = 0; i < CLIENT_QUEUES; i++) {
		groups[i] = client_wait_group(c);
		if (!is_true(c, groups[i]))
			goto out;
	}
	for (i = CLIENT_QUEUES - 1; i >= 0; i--) {
		u64 iova = groups[i]->last_fault.fault.prm.addr;
		u8 *page = client_page(c, 0);

		if (!is_true(c, page) || client_map(c, s.domain, iova, page))
			goto out;
		client_answer(groups[i], IOMMU_PAGE_RESP_SUCCESS);
		groups[i] = NULL;
		q = (iova - IOVA_N(8)) / PAGE_SIZE;
		if (!is_true(c, q >= 0 && q < CLIENT_QUEUES) ||
		    client_wait(c, q, tags[q], &r) ||
		    !is_equal(c, r.status, PTD_ST_OK) ||
		    !is_equal(c, READ_ONCE(page[63]), q))
			goto out;
	}
	ret = 0;
out:
	for (i = 0; i < CLIENT_QUEUES; i++)
		if (groups[i])
			client_answer(groups[i], IOMMU_PAGE_RESP_INVALID);
	return ret;
}

/* Four pages in one group, answered once */
static int test_demand_pages(struct client *c)
{
	struct ptd_desc d = {
		.op = PTD_OP_FILL,
		.flags = PTD_F_GROUP,
		.pasid = PTD_PASID_VALID | 1,
		.dst = IOVA_N(8) + 16,
		.imm = 0x5a5a5a5a5a5a5a5aull,
		.len = 3 * PAGE_SIZE,
	};
	struct iopf_group *group;
	struct client_space s;
	struct ptd_record r;
	u8 *pages[4];
	int i;

	if (client_fault_space(c, &s))
		return -EIO;
	client_submit(c, 0, &d);
	group = client_asked(c, 1, IOVA_N(11), IOMMU_FAULT_PERM_WRITE, 4);
	if (!group)
		return -EIO;
	for (i = 0; i < 4; i++) {
		pages[i] = client_page(c, 0);
		if (!is_true(c, pages[i]) ||
		    client_map(c, s.domain, IOVA_N(8 + i), pages[i]))
			return -EIO;
	}
	client_answer(group, IOMMU_PAGE_RESP_SUCCESS);
	if (client_ends(c, &d, PTD_ST_OK, &r))
		return -EIO;
	for (i = 0; i < 4; i++)
		if (!is_equal(c, READ_ONCE(pages[i][i < 3 ? 16 : 15]), 0x5a))
			return -EIO;
	return is_equal(c, client_r64(c, PTD_CNT_PR_GROUP), 1) ? 0 : -EIO;
}

/* The kernel keeps the first requests of a group until the last one comes */
static int test_partial_group(struct client *c)
{
	u32 pasid = PTD_PASID_VALID | 1;
	struct iopf_group *group;
	struct client_space s;

	if (client_fault_space(c, &s))
		return -EIO;
	client_send(c, pasid, IOVA_N(8), PTD_PR_READ, 9, 3);
	/* one of another group overtakes */
	client_send(c, pasid, IOVA_N(20), PTD_PR_READ | PTD_PR_LAST, 10, 1);
	group = client_asked(c, 1, IOVA_N(20), IOMMU_FAULT_PERM_READ, 1);
	if (!group)
		return -EIO;
	client_answer(group, IOMMU_PAGE_RESP_SUCCESS);
	if (!client_told(c, pasid, 10, IOMMU_PAGE_RESP_SUCCESS))
		return -EIO;
	client_send(c, pasid, IOVA_N(11), PTD_PR_WRITE | PTD_PR_LAST, 9, 1);
	group = client_asked(c, 1, IOVA_N(11), IOMMU_FAULT_PERM_WRITE, 4);
	if (!group)
		return -EIO;
	client_answer(group, IOMMU_PAGE_RESP_INVALID);
	if (!client_told(c, pasid, 9, IOMMU_PAGE_RESP_INVALID))
		return -EIO;
	/* a group that never ends is dropped with the fault parameter */
	client_send(c, pasid, IOVA_N(8), PTD_PR_READ, 11, 100);
	return 0;
}

/* Two groups of one index, the second sent before the first is answered */
static int test_reused_index(struct client *c)
{
	u32 pasid = PTD_PASID_VALID | 1;
	struct iopf_group *group[2];
	struct client_space s;
	int i;

	if (client_fault_space(c, &s))
		return -EIO;
	for (i = 0; i < 2; i++)
		client_send(c, pasid, IOVA_N(8 + i), PTD_PR_READ | PTD_PR_LAST,
			    7, 1);
	for (i = 0; i < 2; i++) {
		group[i] = client_asked(c, 1, IOVA_N(8 + i),
					IOMMU_FAULT_PERM_READ, 1);
		if (!group[i])
			return -EIO;
	}
	for (i = 1; i >= 0; i--) {
		client_answer(group[i], i ? IOMMU_PAGE_RESP_INVALID :
					    IOMMU_PAGE_RESP_SUCCESS);
		if (!client_told(c, pasid, 7, i ? IOMMU_PAGE_RESP_INVALID :
					       IOMMU_PAGE_RESP_SUCCESS))
			return -EIO;
	}
	return 0;
}

/* Nobody listens: the kernel answers by itself */
static int test_nobody(struct client *c)
{
	struct client_space s;

	if (client_fault_space(c, &s))
		return -EIO;
	/* a PASID that is not attached, and the largest */
	client_send(c, PTD_PASID_VALID | 77, IOVA, PTD_PR_READ | PTD_PR_LAST,
		    1, 1);
	if (!client_told(c, PTD_PASID_VALID | 77, 1, IOMMU_PAGE_RESP_INVALID))
		return -EIO;
	client_send(c, PTD_PASID_VALID | 0xfffff, IOVA,
		    PTD_PR_WRITE | PTD_PR_LAST, 2, 1);
	if (!client_told(c, PTD_PASID_VALID | 0xfffff, 2,
			 IOMMU_PAGE_RESP_INVALID))
		return -EIO;
	/* without PASID */
	client_send(c, 0, IOVA, PTD_PR_READ | PTD_PR_LAST, 3, 1);
	if (!client_told(c, 0, 3, IOMMU_PAGE_RESP_INVALID))
		return -EIO;
	/* a stop marker has no answer, and ends nothing */
	client_send(c, PTD_PASID_VALID | 1, 0, PTD_PR_LAST, 4, 1);
	client_send(c, PTD_PASID_VALID | 78, IOVA, PTD_PR_READ | PTD_PR_LAST,
		    5, 1);
	if (!client_told(c, PTD_PASID_VALID | 78, 5, IOMMU_PAGE_RESP_INVALID))
		return -EIO;
	if (!is_equal(c, client_r32(c, PTD_RESP_COUNT), 0))
		return -EIO;
	return client_balanced(c) ? 0 : -EIO;
}

/* What the unmodified kernel gets wrong; told, and not held against it */
static int test_known_defects(struct client *c)
{
	struct iopf_group *group;
	struct client_space s[2];
	int i, early = 0;

	for (i = 0; i < 2; i++)
		if (client_space(c, &s[i], client_fault_domain(c), 1 + i, 3))
			return -EIO;

	/* nobody listens to 77: only the last of its group has an answer */
	client_send(c, PTD_PASID_VALID | 77, IOVA, PTD_PR_READ, 6, 3);
	client_send(c, PTD_PASID_VALID | 77, IOVA_N(3),
		    PTD_PR_READ | PTD_PR_LAST, 6, 1);
	client_send(c, PTD_PASID_VALID | 78, IOVA, PTD_PR_READ | PTD_PR_LAST,
		    7, 1);
	for (;;) {
		u64 r = client_response(c);

		if (!is_true(c, r))
			return -EIO;
		if (PTD_RESP_PRGI(r) == 7)
			break;
		early++;
	}
	if (early != 1)
		seq_printf(c->m, "# defect: %d answers to one group\n", early);

	/* the first pages of a group, and the end of another PASID's */
	client_send(c, PTD_PASID_VALID | 1, IOVA_N(8), PTD_PR_READ, 9, 2);
	client_send(c, PTD_PASID_VALID | 2, IOVA_N(20),
		    PTD_PR_READ | PTD_PR_LAST, 9, 1);
	group = client_wait_group(c);
	if (!is_true(c, group))
		return -EIO;
	i = list_count_nodes(&group->faults);
	if (i != 1)
		seq_printf(c->m, "# defect: %d pages of another PASID joined\n",
			   i - 1);
	client_answer(group, IOMMU_PAGE_RESP_INVALID);
	return client_told(c, PTD_PASID_VALID | 2, 9,
			   IOMMU_PAGE_RESP_INVALID) ? 0 : -EIO;
}

/*
 * A full queue: hardware answers what it drops, the kernel clears the
 * condition, and requests are taken again.
 */
static int test_overflow(struct client *c)
{
	u32 pasid = PTD_PASID_VALID | 77;
	struct client_space s;
	unsigned long end;
	int i, ok = 0;
	u64 dropped;

	if (client_fault_space(c, &s))
		return -EIO;
	dropped = client_requests(c, IOMMU_MON_EV_PR_DROPPED);
	writel(4, c->mon + IMON_PRQ_DEPTH);
	client_send(c, pasid, IOVA, PTD_PR_READ | PTD_PR_LAST | PTD_PR_EACH,
		    100, 16);
	for (i = 0; i < 16; i++) {
		u64 r = client_response(c);

		if (!is_true(c, r))
			return -EIO;
		ok += PTD_RESP_CODE(r) == IOMMU_PAGE_RESP_SUCCESS;
	}
	if (!is_equal(c, client_requests(c, IOMMU_MON_EV_PR_DROPPED),
		      dropped + 12) || !is_equal(c, ok, 12))
		return -EIO;
	/* "success" lets the device try again: until somebody reads it */
	end = jiffies + CLIENT_PATIENCE;
	for (;;) {
		u64 r;

		client_send(c, pasid, IOVA, PTD_PR_READ | PTD_PR_LAST, 1, 1);
		r = client_response(c);
		if (!is_true(c, r))
			return -EIO;
		if (PTD_RESP_CODE(r) == IOMMU_PAGE_RESP_INVALID)
			break;
		if (!is_true(c, time_before(jiffies, end)))
			return -EIO;
		msleep(20);
	}
	return client_balanced(c) ? 0 : -EIO;
}

/* Detached while one group waits here and another is on its way */
static int test_detach_in_flight(struct client *c)
{
	struct ptd_desc d = DESC_READ_ABSENT;
	struct iopf_group *group;
	struct client_space s;
	struct ptd_record r;
	u64 received;

	group = client_read_absent(c, &s, &d);
	if (!group)
		return -EIO;
	received = client_requests(c, IOMMU_MON_EV_PR_RECEIVED);
	writel(1, c->mon + IMON_PRQ_HOLD);
	client_send(c, d.pasid, IOVA_N(9), PTD_PR_READ | PTD_PR_LAST, 300, 1);
	if (!is_equal(c, client_requests(c, IOMMU_MON_EV_PR_RECEIVED),
		      received))
		return -EIO;
	if (client_detach(c, 1))
		return -EIO;
	/* the detach has drained it, and whoever answered, it is answered */
	if (!is_equal(c, client_requests(c, IOMMU_MON_EV_PR_RECEIVED),
		      received + 1))
		return -EIO;
	client_answer(group, IOMMU_PAGE_RESP_INVALID);
	while ((group = client_first_group(c)))
		client_answer(group, IOMMU_PAGE_RESP_INVALID);
	if (!is_true(c, client_response(c)) || !is_true(c, client_response(c)))
		return -EIO;
	return client_ends(c, &d, PTD_ST_READ_FAULT, &r);
}

/* An FLR in mid-request */
static int test_demand_flr(struct client *c)
{
	struct ptd_desc d = DESC_READ_ABSENT;
	struct iopf_group *group;
	struct client_space s;
	struct ptd_record rec;
	u64 r;

	group = client_read_absent(c, &s, &d);
	if (!group)
		return -EIO;
	if (!is_equal(c, -pci_reset_function(c->pdev), 0))
		return -EIO;
	client_reset(c);
	/* the device has forgotten what it asked for */
	client_answer(group, IOMMU_PAGE_RESP_SUCCESS);
	r = client_response(c);
	if (!is_true(c, r & PTD_RESP_STRAY))
		return -EIO;
	if (!is_true(c, client_r32(c, PTD_STATUS) & PTD_STATUS_PRI))
		return -EIO;
	/* and can ask again */
	client_submit(c, 0, &d);
	group = client_asked(c, 1, IOVA_N(7), IOMMU_FAULT_PERM_READ, 1);
	if (!group)
		return -EIO;
	client_answer(group, IOMMU_PAGE_RESP_INVALID);
	if (client_ends(c, &d, PTD_ST_READ_FAULT, &rec))
		return -EIO;
	return client_runs(c, &s, 3);
}

/*
 * A PASID that is unique on the host, and who gave it: an IOMMU that offers
 * virtual commands has to be asked
 */
static int test_global_pasid(struct client *c)
{
	u32 pasid = iommu_alloc_global_pasid(&c->pdev->dev);
	unsigned long end = jiffies + CLIENT_PATIENCE;
	struct client_space s;
	u64 allocs, frees;
	int ret;

	if (!is_true(c, pasid != IOMMU_PASID_INVALID))
		return -EIO;
	allocs = client_count(c, IOMMU_MON_EV_VCMD_ALLOC, IMON_SEL_ANY, pasid);
	frees = client_count(c, IOMMU_MON_EV_VCMD_FREE, IMON_SEL_ANY, pasid);
	ret = client_space(c, &s, client_domain(c), pasid, 0x5c);
	if (!ret)
		ret = client_runs(c, &s, 0x5c);
	if (!is_equal(c, allocs - frees, vcmd))
		ret = -EIO;
	if (!ret)
		ret = client_detach(c, pasid);
	else
		client_undo(c);
	iommu_free_global_pasid(pasid);
	/* Whoever frees does not sleep: the command may come a little later. */
	while (vcmd && time_before(jiffies, end) &&
	       client_count(c, IOMMU_MON_EV_VCMD_FREE, IMON_SEL_ANY,
			    pasid) == frees)
		usleep_range(100, 200);
	if (!is_equal(c, client_count(c, IOMMU_MON_EV_VCMD_FREE, IMON_SEL_ANY,
				      pasid), frees + vcmd))
		ret = -EIO;
	return ret;
}

/* The answer that takes the interface away from the whole function */
static int test_demand_failure(struct client *c)
{
	struct ptd_desc d = DESC_READ_ABSENT;
	struct iopf_group *group;
	struct client_space s;
	struct ptd_record r;

	group = client_read_absent(c, &s, &d);
	if (!group)
		return -EIO;
	client_answer(group, IOMMU_PAGE_RESP_FAILURE);
	if (client_ends(c, &d, PTD_ST_READ_FAULT, &r))
		return -EIO;
	if (!is_true(c, !(client_r32(c, PTD_STATUS) & PTD_STATUS_PRI)))
		return -EIO;
	/* a miss is the end of it now, nobody is asked */
	if (client_do(c, &d, &r))
		return -EIO;
	if (!is_equal(c, r.status, PTD_ST_READ_FAULT))
		return -EIO;
	return is_equal(c, client_r64(c, PTD_CNT_PR), 1) ? 0 : -EIO;
}

static const struct {
	const char *name;
	int (*fn)(struct client *c);
} tests[] = {
	{ "enables", test_enables },
	{ "no_pasid", test_no_pasid },
	{ "second_stage", test_second_stage },
	{ "first_stage", test_first_stage },
	{ "isolation", test_isolation },
	{ "unmap", test_unmap },
	{ "detach", test_detach },
	{ "reuse", test_reuse },
	{ "pasid_range", test_pasid_range },
	{ "queues", test_queues },
	{ "ats", test_ats },
	{ "ignore_pdtlb", test_ignore_pdtlb },
	{ "ignore_pasid_cache", test_ignore_pasid_cache },
	{ "exec", test_exec },
	{ "flr", test_flr },
	{ "demand_fault", test_demand_fault },
	{ "demand_refused", test_demand_refused },
	{ "demand_groups", test_demand_groups },
	{ "demand_pages", test_demand_pages },
	{ "partial_group", test_partial_group },
	{ "reused_index", test_reused_index },
	{ "nobody", test_nobody },
	{ "known_defects", test_known_defects },
	{ "overflow", test_overflow },
	{ "detach_in_flight", test_detach_in_flight },
	{ "demand_flr", test_demand_flr },
	{ "demand_failure", test_demand_failure },
	{ "global_pasid", test_global_pasid },
};

static int client_show(struct seq_file *m, void *unused)
{
	struct client *c = m->private;
	int i, ret, nr = 0;

	guard(mutex)(&c->lock);
	c->m = m;
	seq_printf(m, "KTAP version 1\n1..%zu\n",
		   only ? 1 : ARRAY_SIZE(tests));
	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		if (only && strcmp(only, tests[i].name))
			continue;
		client_reset(c);
		ret = tests[i].fn(c);
		client_undo(c);
		if (ret)
			seq_printf(m, "# error %d\n", ret);
		seq_printf(m, "%sok %d %s\n", ret ? "not " : "", ++nr,
			   tests[i].name);
	}
	return 0;
}

static int client_open(struct inode *inode, struct file *file)
{
	/* An overflow of the buffer would run the tests again */
	return single_open_size(file, client_show, inode->i_private,
				16 * PAGE_SIZE);
}

static const struct file_operations client_fops = {
	.owner = THIS_MODULE,
	.open = client_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = single_release,
};

/* The driver */

static struct dentry *client_root;

static irqreturn_t client_irq(int irq, void *data)
{
	atomic_inc((atomic_t *)data);
	return IRQ_HANDLED;
}

static int client_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct client *c;
	int q, ret;

	c = devm_kzalloc(&pdev->dev, sizeof(*c), GFP_KERNEL);
	if (!c)
		return -ENOMEM;
	c->pdev = pdev;
	c->sid = pci_dev_id(pdev);
	mutex_init(&c->lock);
	spin_lock_init(&c->groups_lock);
	INIT_LIST_HEAD(&c->groups);
	init_waitqueue_head(&c->groups_wait);
	ret = client_pci_enable(pdev);
	if (ret)
		return ret;
	c->regs = pcim_iomap(pdev, 0, 0);
	if (!c->regs || client_r32(c, PTD_ID) != PTD_ID_VALUE)
		return -ENODEV;
	ret = pci_alloc_irq_vectors(pdev, CLIENT_QUEUES, CLIENT_QUEUES,
				    PCI_IRQ_MSIX);
	if (ret < 0)
		return ret;
	for (q = 0; q < CLIENT_QUEUES; q++) {
		ret = devm_request_irq(&pdev->dev, pci_irq_vector(pdev, q),
				       client_irq, 0, KBUILD_MODNAME,
				       &c->irqs[q]);
		if (ret)
			return ret;
	}

	c->mon_pdev = pci_get_device(IMON_VENDOR_ID, IMON_DEVICE_ID, NULL);
	if (!c->mon_pdev)
		return -ENODEV;
	ret = pci_enable_device(c->mon_pdev);
	if (ret)
		goto put;
	c->mon = pci_iomap(c->mon_pdev, 0, 0);
	if (!c->mon) {
		ret = -ENODEV;
		goto disable;
	}
	pci_set_drvdata(pdev, c);
	c->debugfs = debugfs_create_dir(pci_name(pdev), client_root);
	debugfs_create_file("ktap", 0400, c->debugfs, c, &client_fops);
	return 0;

disable:
	pci_disable_device(c->mon_pdev);
put:
	pci_dev_put(c->mon_pdev);
	return ret;
}

static void client_remove(struct pci_dev *pdev)
{
	struct client *c = pci_get_drvdata(pdev);

	debugfs_remove_recursive(c->debugfs);
	client_reset(c);
	pci_iounmap(c->mon_pdev, c->mon);
	pci_disable_device(c->mon_pdev);
	pci_dev_put(c->mon_pdev);
}

static struct pci_driver client_driver = {
	.name = KBUILD_MODNAME,
	.id_table = client_pci_ids,
	.probe = client_probe,
	.remove = client_remove,
};

static int __init client_init(void)
{
	int ret;

	client_root = debugfs_create_dir(KBUILD_MODNAME, NULL);
	ret = pci_register_driver(&client_driver);
	if (ret)
		debugfs_remove_recursive(client_root);
	return ret;
}
module_init(client_init);

static void __exit client_exit(void)
{
	pci_unregister_driver(&client_driver);
	debugfs_remove_recursive(client_root);
}
module_exit(client_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("IOMMU domains on PASIDs of the test device");
