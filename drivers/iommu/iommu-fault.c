// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults of a device's DMA on their way to whoever owns the device
 *
 * A device has at most one consumer, from iommu_fault_consumer_add() to
 * iommu_fault_consumer_del().  Unrecoverable faults come by
 * iommu_report_dma_fault(), page requests by io-pgfault.c and the attach
 * handle of the nested domain, for a PASID, for none, and on IOMMUs where the
 * user owns the table of PASIDs, by that of requests without PASID for all.
 *
 * A group of page requests has a slot here, which its cookie names, until it
 * is answered: by the consumer, or INVALID when its domain is detached, the
 * device is reset or the consumer goes.  The slot has what the answer takes;
 * of what was asked for the consumer keeps what it needs.  Page requests are
 * on in the device while there are a consumer that takes them and an attach
 * handle; only fault_switch() changes that.
 *
 * Locking
 * -------
 * dev_iommu.fault_lock		switching; attach and detach, consumers, resets
 *   consumer->respond_lock	whoever took groups from their slots answers
 *				them
 *   what the driver reports under
 *     consumer->lock		slots, and all calls of the consumer
 *
 * A handler takes consumer->lock and nothing else, never sleeps on what a
 * detach or a response holds, and copies nothing from or to user space.  A
 * detach waits for the handlers, so it must not hold consumer->lock or
 * respond_lock then.
 *
 * Order of a detach: the hardware stops, the attach handle is erased, the
 * driver is drained, what is held is answered, then the domain may be freed.
 */

#include <linux/iommu.h>
#include <linux/iommu-fault.h>
#include <linux/iommu-nesting.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/nospec.h>
#include <linux/overflow.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "iommu-fault.h"
#include "iommu-priv.h"

#define CREATE_TRACE_POINTS
#include <trace/events/iommu_fault.h>

/*
 * How many groups a device may have outstanding: as iommu_nesting_info says,
 * at least what nine bits tell apart (PCIe 6.0, 10.4.1), at most what 16 bits
 * do (SMMUv3, CMD_RESUME.STAG).  With more, it does not keep the rules, and is
 * refused.
 */
#define FAULT_MIN_SLOTS		BIT(9)
#define FAULT_SLOT_BITS		16
#define FAULT_MAX_SLOTS		BIT(FAULT_SLOT_BITS)

/**
 * struct fault_slot - A group of page requests that waits for its answer
 * @cookie: its name, never used again; 0: the slot is free
 * @answer: what it will be, but for the code
 * @free: an entry of the stack of slots that are free, for no slot of its own
 */
struct fault_slot {
	u64				cookie;
	struct iommu_page_answer	answer;
	u32				free;
};

/**
 * struct fault_slots - All groups of a device
 * @nr: slots
 * @nr_free: slots that are free; the first so many fault_slot.free name them
 * @answers: @nr, on their way to the device, of who holds respond_lock
 * @slot: all of them
 */
struct fault_slots {
	unsigned int			nr;
	unsigned int			nr_free;
	struct iommu_page_answer	*answers;
	struct fault_slot		slot[] __counted_by(nr);
};

/**
 * struct iommu_fault_consumer - Who takes the faults of a device
 * @dev: the device
 * @ops: what to call
 * @priv: for @ops
 * @page_requests: @ops->page_request is wanted; changes under fault_lock and
 *		   @lock
 * @respond_lock: held from taking groups out of their slots until they are
 *		  answered
 * @lock: the members below, and serialises the calls of @ops
 * @closed: no calls any more
 * @serial: the upper bits of the next cookie
 * @slots: NULL until page requests are wanted
 * @counts: all but @waiting, which @slots tells
 */
struct iommu_fault_consumer {
	struct device				*dev;
	const struct iommu_fault_consumer_ops	*ops;
	void					*priv;
	bool					page_requests;
	struct mutex				respond_lock;	/* answers */
	spinlock_t				lock;		/* all below */
	bool					closed;
	u64					serial;
	struct fault_slots			*slots;
	struct iommu_fault_counts		counts;
};

/*
 * Slots
 */
static struct fault_slots *fault_slots_alloc(unsigned int nr)
{
	struct fault_slots *slots;
	unsigned int i;

	nr = clamp(nr, FAULT_MIN_SLOTS, FAULT_MAX_SLOTS);
	slots = kvzalloc(struct_size(slots, slot, nr), GFP_KERNEL_ACCOUNT);
	if (!slots)
		return NULL;

	slots->nr = nr;
	slots->answers = kvcalloc(nr, sizeof(*slots->answers),
				  GFP_KERNEL_ACCOUNT);
	if (!slots->answers) {
		kvfree(slots);
		return NULL;
	}

	for (i = 0; i < nr; i++)
		slots->slot[i].free = i;
	slots->nr_free = nr;
	return slots;
}

static void fault_slots_free(struct fault_slots *slots)
{
	if (slots)
		kvfree(slots->answers);
	kvfree(slots);
}

/* Where @cookie, which may be anybody's invention, would be; or NULL */
static struct fault_slot *fault_slot(struct fault_slots *slots, u64 cookie)
{
	unsigned int i = cookie & (FAULT_MAX_SLOTS - 1);

	if (i >= slots->nr)
		return NULL;
	return &slots->slot[array_index_nospec(i, slots->nr)];
}

static u64 fault_hold(struct iommu_fault_consumer *consumer,
		      const struct iommu_page_answer *answer)
{
	struct fault_slots *slots = consumer->slots;
	struct fault_slot *slot;
	unsigned int i;

	lockdep_assert_held(&consumer->lock);

	if (!slots || !slots->nr_free)
		return 0;

	i = slots->slot[--slots->nr_free].free;
	slot = &slots->slot[i];
	slot->answer = *answer;
	slot->cookie = ++consumer->serial << FAULT_SLOT_BITS | i;
	return slot->cookie;
}

static void fault_release(struct iommu_fault_consumer *consumer,
			  struct fault_slot *slot)
{
	struct fault_slots *slots = consumer->slots;

	lockdep_assert_held(&consumer->lock);

	slot->cookie = 0;
	slots->slot[slots->nr_free++].free = slot - slots->slot;
}

/* Send @nr answers.  Nobody else knows of these groups any more. */
static void fault_send(struct device *dev,
		       const struct iommu_page_answer *answers,
		       unsigned int nr)
{
	const struct iommu_ops *ops = dev_iommu_ops(dev);
	unsigned int i;

	if (!nr)
		return;

	if (trace_iommu_page_response_enabled()) {
		for (i = 0; i < nr; i++)
			trace_iommu_page_response(dev, &answers[i]);
	}

	if (ops->page_responses) {
		ops->page_responses(dev, answers, nr);
		return;
	}

	for (i = 0; i < nr; i++) {
		struct iommu_page_response resp = answers[i].resp;
		struct iopf_fault evt = {
			.fault.type = IOMMU_FAULT_PAGE_REQ,
			.fault.prm = {
				.flags = answers[i].flags,
				.pasid = resp.pasid,
				.grpid = resp.grpid,
			},
		};

		ops->page_response(dev, &evt, &resp);
	}
}

/* Answer what is held of @pasid, or of all with IOMMU_PASID_INVALID. */
static void fault_answer_held(struct iommu_fault_consumer *consumer,
			      ioasid_t pasid)
{
	struct fault_slots *slots = consumer->slots;
	unsigned int i, nr = 0;

	if (!slots)
		return;

	guard(mutex)(&consumer->respond_lock);

	spin_lock(&consumer->lock);
	for (i = 0; i < slots->nr; i++) {
		struct fault_slot *slot = &slots->slot[i];

		if (slot->cookie && (pasid == IOMMU_PASID_INVALID ||
				     pasid == slot->answer.resp.pasid)) {
			slots->answers[nr++] = slot->answer;
			fault_release(consumer, slot);
		}
	}
	spin_unlock(&consumer->lock);

	/* The code of a slot is INVALID. */
	fault_send(consumer->dev, slots->answers, nr);
}

/*
 * What drivers report
 */

/**
 * iommu_report_dma_fault() - A device made an access that was refused for good
 * @dev: the device
 * @fault: what is known of it
 *
 * Context: may sleep on PREEMPT_RT; not in hard interrupts.  The caller keeps
 * @dev from being released.
 * Return: 0 if a consumer was told, also if it had no room; -ENODEV if there
 * is none.
 */
int iommu_report_dma_fault(struct device *dev,
			   const struct iommu_dma_fault *fault)
{
	struct iommu_fault_consumer *consumer;
	int ret = -ENODEV;

	guard(rcu)();

	consumer = rcu_dereference(dev->iommu->fault_consumer);
	if (!consumer)
		return ret;

	spin_lock(&consumer->lock);
	if (!consumer->closed) {
		if (consumer->ops->dma_fault(consumer->priv, fault)) {
			consumer->counts.faults++;
			trace_iommu_fault(dev, fault);
		} else {
			consumer->counts.dropped++;
			trace_iommu_fault_drop(dev, fault);
		}
		if (fault->flags & IOMMU_DMA_FAULT_F_MUTED)
			consumer->counts.muted++;
		ret = 0;
	}
	spin_unlock(&consumer->lock);
	return ret;
}
EXPORT_SYMBOL_GPL(iommu_report_dma_fault);

/**
 * iommu_report_fault_loss() - The IOMMU lost faults
 * @dev: a device that may be concerned
 *
 * Context: as iommu_report_dma_fault().
 */
void iommu_report_fault_loss(struct device *dev)
{
	struct iommu_fault_consumer *consumer;

	guard(rcu)();

	consumer = rcu_dereference(dev->iommu->fault_consumer);
	if (!consumer)
		return;

	spin_lock(&consumer->lock);
	if (!consumer->closed) {
		consumer->counts.lost++;
		consumer->ops->lost(consumer->priv);
	}
	spin_unlock(&consumer->lock);
}
EXPORT_SYMBOL_GPL(iommu_report_fault_loss);

/* Give a group to the consumer.  False: the caller answers. */
static bool fault_give(struct iommu_fault_consumer *consumer,
		       const struct iommu_page_answer *answer,
		       const struct list_head *faults, unsigned int nr)
{
	u64 cookie = 0;

	spin_lock(&consumer->lock);
	/* While they are being switched off, nobody would look for this one. */
	if (consumer->page_requests) {
		cookie = fault_hold(consumer, answer);
		if (!cookie) {
			consumer->ops->dropped(consumer->priv, nr);
		} else if (!consumer->ops->page_request(consumer->priv, cookie,
							faults, nr)) {
			fault_release(consumer,
				      fault_slot(consumer->slots, cookie));
			cookie = 0;
		}
		if (cookie)
			consumer->counts.requests += nr;
		else
			consumer->counts.dropped += nr;
		trace_iommu_page_request(consumer->dev, cookie, answer, faults,
					 nr);
	}
	spin_unlock(&consumer->lock);
	return cookie;
}

/* The group of @nr requests in @faults, the last of which is @prm */
static void fault_page_request(struct device *dev,
			       const struct iommu_fault_page_request *prm,
			       const struct list_head *faults, unsigned int nr)
{
	struct iommu_page_answer answer = {
		.flags = prm->flags,
		.resp = {
			.pasid = prm->flags &
				 IOMMU_FAULT_PAGE_REQUEST_PASID_VALID ?
				 prm->pasid : IOMMU_NO_PASID,
			.grpid = prm->grpid,
			.code = IOMMU_PAGE_RESP_INVALID,
		},
	};
	struct iommu_fault_consumer *consumer;
	bool taken = false;

	rcu_read_lock();
	consumer = rcu_dereference(dev->iommu->fault_consumer);
	if (consumer)
		taken = fault_give(consumer, &answer, faults, nr);
	rcu_read_unlock();

	if (!taken)
		fault_send(dev, &answer, 1);
}

/* iommu_domain.iopf_single of every nested domain */
static void fault_iopf_single(struct device *dev, struct iopf_fault *evt)
{
	LIST_HEAD(faults);

	list_add(&evt->list, &faults);
	fault_page_request(dev, &evt->fault.prm, &faults, 1);
}

/*
 * iommu_domain.iopf_handler of every nested domain, for groups of several
 * requests.  Never an error: that would be answered FAILURE, which disables
 * page requests of the function.
 */
static int fault_iopf_handler(struct iopf_group *group)
{
	/* From here on nobody else answers it; the handle may go before it. */
	iopf_group_dequeue(group);
	fault_page_request(group->fault_param->dev,
			   &group->last_fault.fault.prm, &group->faults,
			   group->fault_count);
	iopf_free_group(group);
	return 0;
}

/*
 * Switching
 */
static struct iommu_fault_consumer *fault_consumer(struct device *dev)
{
	return rcu_dereference_protected(dev->iommu->fault_consumer,
					 lockdep_is_held(&dev->iommu->fault_lock));
}

/*
 * When this returns, all faults and page requests that @dev had caused were
 * reported, and no handler runs that found an attach handle which is gone now.
 */
static void fault_drain(struct device *dev)
{
	const struct iommu_ops *ops = dev_iommu_ops(dev);

	if (ops->drain_faults)
		ops->drain_faults(dev);
}

static int fault_switch(struct device *dev, bool handles)
{
	struct iommu_fault_consumer *consumer = fault_consumer(dev);
	bool on = consumer && consumer->page_requests && handles;
	int ret;

	if (on == dev->iommu->iopf_on)
		return 0;

	if (on) {
		ret = iommu_dev_enable_feature(dev, IOMMU_DEV_FEAT_IOPF);
		if (!ret)
			dev->iommu->iopf_on = true;
		return ret;
	}

	fault_drain(dev);
	if (consumer)
		fault_answer_held(consumer, IOMMU_PASID_INVALID);
	WARN_ON(iommu_dev_disable_feature(dev, IOMMU_DEV_FEAT_IOPF));
	dev->iommu->iopf_on = false;
	return 0;
}

static int fault_switch_now(struct device *dev)
{
	return fault_switch(dev, iommu_group_has_handles(dev->iommu_group));
}

/**
 * iommu_fault_attach_begin() - A domain is about to be attached
 * @dev: the device
 * @domain: a nested domain
 *
 * Context: may sleep; returns with dev_iommu.fault_lock held if it succeeds.
 * Return: 0, or why page requests cannot be switched on.
 */
int iommu_fault_attach_begin(struct device *dev, struct iommu_domain *domain)
{
	int ret;

	domain->iopf_handler = fault_iopf_handler;
	domain->iopf_single = fault_iopf_single;
	mutex_lock(&dev->iommu->fault_lock);
	ret = fault_switch(dev, true);
	if (ret)
		mutex_unlock(&dev->iommu->fault_lock);
	return ret;
}

/**
 * iommu_fault_attach_end() - A domain is attached, or it failed
 * @dev: the device
 * @replaced: another attach handle was there, which may go now
 *
 * What is held of the PASID stays: the owner of both domains answers it.
 *
 * Context: after iommu_fault_attach_begin(); may sleep.
 */
void iommu_fault_attach_end(struct device *dev, bool replaced)
{
	if (replaced && dev->iommu->iopf_on)
		fault_drain(dev);
	fault_switch_now(dev);
	mutex_unlock(&dev->iommu->fault_lock);
}

/**
 * iommu_fault_detached() - The attach handle of a PASID is gone
 * @dev: the device
 * @pasid: which
 *
 * What was held of it is answered when this returns, and nothing refers to
 * the handle or to its domain any more.
 *
 * Context: may sleep; dev_iommu.fault_lock is held.
 */
void iommu_fault_detached(struct device *dev, ioasid_t pasid)
{
	struct iommu_fault_consumer *consumer = fault_consumer(dev);

	lockdep_assert_held(&dev->iommu->fault_lock);

	if (!dev->iommu->iopf_on)
		return;

	/* The domain of requests without PASID may stand for all PASIDs. */
	if (pasid == IOMMU_NO_PASID && dev_iommu_ops(dev)->user_pasid_table)
		pasid = IOMMU_PASID_INVALID;

	fault_drain(dev);
	if (consumer)
		fault_answer_held(consumer, pasid);
	fault_switch_now(dev);
}

/**
 * iommu_fault_reset() - A device is being reset
 * @dev: the device, which sends no requests any more
 *
 * Context: may sleep.
 */
void iommu_fault_reset(struct device *dev)
{
	struct iommu_fault_consumer *consumer;

	guard(mutex)(&dev->iommu->fault_lock);

	consumer = fault_consumer(dev);
	if (!consumer)
		return;

	fault_drain(dev);
	if (dev->iommu->iopf_on)
		iopf_discard_partial(dev);
	fault_answer_held(consumer, IOMMU_PASID_INVALID);

	spin_lock(&consumer->lock);
	consumer->counts.resets++;
	consumer->ops->reset(consumer->priv);
	spin_unlock(&consumer->lock);
}

/*
 * Consumers
 */

/**
 * iommu_fault_consumer_add() - Take the faults of a device from now on
 * @dev: a device whose DMA the caller owns, or is about to
 * @ops: what to call
 * @priv: for @ops
 *
 * Context: may sleep.
 * Return: the consumer, to be given to iommu_fault_consumer_del() while @dev
 * is still bound to its driver; -EOPNOTSUPP if no faults are reported for
 * this device; -EBUSY if it has a consumer; -ENOMEM.
 */
struct iommu_fault_consumer *
iommu_fault_consumer_add(struct device *dev,
			 const struct iommu_fault_consumer_ops *ops, void *priv)
{
	struct iommu_fault_consumer *consumer;
	struct iommu_nesting_info info;
	int ret;

	ret = iommu_nesting_get_info(dev, &info);
	if (ret || !(info.features & IOMMU_NESTING_FEAT_DMA_FAULT))
		return ERR_PTR(-EOPNOTSUPP);

	consumer = kzalloc(sizeof(*consumer), GFP_KERNEL_ACCOUNT);
	if (!consumer)
		return ERR_PTR(-ENOMEM);

	consumer->dev = dev;
	consumer->ops = ops;
	consumer->priv = priv;
	mutex_init(&consumer->respond_lock);
	spin_lock_init(&consumer->lock);

	/* No guard(): what it would protect is freed on error. */
	mutex_lock(&dev->iommu->fault_lock);
	ret = fault_consumer(dev) ? -EBUSY : 0;
	if (!ret) {
		consumer->serial = dev->iommu->fault_serial;
		/* What came before is not for the new consumer. */
		fault_drain(dev);
		if (dev_iommu_ops(dev)->faults_wanted)
			dev_iommu_ops(dev)->faults_wanted(dev);
		rcu_assign_pointer(dev->iommu->fault_consumer, consumer);
	}
	mutex_unlock(&dev->iommu->fault_lock);

	if (ret) {
		kfree(consumer);
		return ERR_PTR(ret);
	}
	return consumer;
}
EXPORT_SYMBOL_GPL(iommu_fault_consumer_add);

static void fault_want_requests(struct iommu_fault_consumer *consumer, bool on)
{
	spin_lock(&consumer->lock);
	consumer->page_requests = on;
	spin_unlock(&consumer->lock);
}

/**
 * iommu_fault_consumer_page_requests() - Take page requests, or no longer
 * @consumer: the consumer
 * @on: whether to
 *
 * When they are switched off, all that is outstanding is answered INVALID.
 *
 * Context: may sleep.
 * Return: 0; -EOPNOTSUPP if the device, or the IOMMU for it, has none;
 * -ENOMEM, or another error of the driver.
 */
int iommu_fault_consumer_page_requests(struct iommu_fault_consumer *consumer,
				       bool on)
{
	struct device *dev = consumer->dev;
	struct iommu_nesting_info info;
	struct fault_slots *slots;
	int ret;

	guard(mutex)(&dev->iommu->fault_lock);

	if (on && !consumer->slots) {
		ret = iommu_nesting_get_info(dev, &info);
		if (ret || !(info.features & IOMMU_NESTING_FEAT_PAGE_REQUEST))
			return -EOPNOTSUPP;

		slots = fault_slots_alloc(info.max_requests);
		if (!slots)
			return -ENOMEM;

		spin_lock(&consumer->lock);
		consumer->slots = slots;
		spin_unlock(&consumer->lock);
	}

	fault_want_requests(consumer, on);
	ret = fault_switch_now(dev);
	if (ret)
		fault_want_requests(consumer, false);
	return ret;
}
EXPORT_SYMBOL_GPL(iommu_fault_consumer_page_requests);

/**
 * iommu_fault_consumer_del() - Take no more faults of a device
 * @consumer: from iommu_fault_consumer_add(); freed
 *
 * What is outstanding is answered INVALID.
 *
 * Context: may sleep.
 */
void iommu_fault_consumer_del(struct iommu_fault_consumer *consumer)
{
	struct device *dev = consumer->dev;

	mutex_lock(&dev->iommu->fault_lock);
	spin_lock(&consumer->lock);
	consumer->closed = true;
	consumer->page_requests = false;
	spin_unlock(&consumer->lock);

	/* As long as it is there, drained requests are answered by it. */
	fault_switch_now(dev);
	fault_answer_held(consumer, IOMMU_PASID_INVALID);
	/* Nobody's cookie is that of another one. */
	dev->iommu->fault_serial = consumer->serial;
	rcu_assign_pointer(dev->iommu->fault_consumer, NULL);
	mutex_unlock(&dev->iommu->fault_lock);

	synchronize_rcu();
	fault_slots_free(consumer->slots);
	mutex_destroy(&consumer->respond_lock);
	kfree(consumer);
}
EXPORT_SYMBOL_GPL(iommu_fault_consumer_del);

/* The slot that @response names, or why there is none */
static struct fault_slot *
fault_find(struct iommu_fault_consumer *consumer,
	   const struct iommu_fault_response *response)
{
	struct fault_slot *slot;

	if (response->reserved)
		return ERR_PTR(-EINVAL);
	if (response->code == IOMMU_PAGE_RESP_FAILURE)
		return ERR_PTR(-EOPNOTSUPP);
	if (response->code != IOMMU_PAGE_RESP_SUCCESS &&
	    response->code != IOMMU_PAGE_RESP_INVALID)
		return ERR_PTR(-EINVAL);
	if (!response->cookie || !consumer->slots)
		return ERR_PTR(-ENOENT);

	slot = fault_slot(consumer->slots, response->cookie);
	if (!slot || slot->cookie != response->cookie ||
	    slot->answer.resp.pasid != response->pasid ||
	    slot->answer.resp.grpid != response->grpid)
		return ERR_PTR(-ENOENT);
	return slot;
}

/**
 * iommu_fault_respond() - Answer groups of page requests
 * @consumer: that was given them
 * @responses: the answers
 * @nr: how many
 * @err: why not all were taken, else 0: -EINVAL for an unknown code;
 *	 -EOPNOTSUPP for FAILURE, which would disable page requests of the
 *	 whole function; -ENOENT if no such group is outstanding: it was
 *	 answered, its domain is detached, the device was reset
 *
 * Those before one that is refused are taken, those behind it are not.  They
 * go to the hardware together.
 *
 * Context: may sleep.
 * Return: how many were taken.
 */
unsigned int iommu_fault_respond(struct iommu_fault_consumer *consumer,
				 const struct iommu_fault_response *responses,
				 unsigned int nr, int *err)
{
	struct iommu_page_answer *answer;
	struct fault_slot *slot;
	unsigned int i;

	*err = 0;
	guard(mutex)(&consumer->respond_lock);

	/* As long as this is held, each one that is taken empties a slot. */
	spin_lock(&consumer->lock);
	for (i = 0; i < nr; i++) {
		slot = fault_find(consumer, &responses[i]);
		if (IS_ERR(slot)) {
			*err = PTR_ERR(slot);
			break;
		}
		answer = &consumer->slots->answers[i];
		*answer = slot->answer;
		answer->resp.code = responses[i].code;
		fault_release(consumer, slot);
	}
	spin_unlock(&consumer->lock);

	if (i)
		fault_send(consumer->dev, consumer->slots->answers, i);
	return i;
}
EXPORT_SYMBOL_GPL(iommu_fault_respond);

/**
 * iommu_fault_drain() - Wait for what the device has asked for
 * @consumer: of the device
 *
 * Every fault and page request that the device had caused when this was called
 * has been given to @consumer, or dropped, when it returns.
 *
 * Context: may sleep.
 */
void iommu_fault_drain(struct iommu_fault_consumer *consumer)
{
	guard(mutex)(&consumer->dev->iommu->fault_lock);

	fault_drain(consumer->dev);
}
EXPORT_SYMBOL_GPL(iommu_fault_drain);

/**
 * iommu_fault_get_counts() - What became of the faults of a device
 * @dev: a device whose DMA somebody owns
 * @counts: filled in if it has a consumer
 *
 * Context: may sleep on PREEMPT_RT; not in hard interrupts.
 * Return: whether it has one.
 */
bool iommu_fault_get_counts(struct device *dev,
			    struct iommu_fault_counts *counts)
{
	struct iommu_fault_consumer *consumer;

	guard(rcu)();

	consumer = rcu_dereference(dev->iommu->fault_consumer);
	if (!consumer)
		return false;

	spin_lock(&consumer->lock);
	*counts = consumer->counts;
	if (consumer->slots)
		counts->waiting = consumer->slots->nr -
				  consumer->slots->nr_free;
	spin_unlock(&consumer->lock);
	return true;
}
EXPORT_SYMBOL_GPL(iommu_fault_get_counts);
