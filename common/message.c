#include "common/message.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

static const struct message_spec {
    const char *name;
    size_t size;
    unsigned senders;
} specs[MESSAGE_TYPE_COUNT] = {
#define ROW(type, payload, who)                                                                    \
    [MESSAGE_##type] = {                                                                           \
        .name = #type,                                                                             \
        .size = offsetof(struct message, u) + sizeof(((struct message *)0)->u.payload),            \
        .senders = (who),                                                                          \
    },
    MESSAGE_TABLE(ROW)
#undef ROW
};

_Static_assert(offsetof(struct message, u) == sizeof(struct message_header),
               "a hole after the header would be sent uninitialised");

/* Every text that a message carries: each must end within its field. */
static const struct message_text {
    enum message_type type;
    size_t offset;
    size_t size;
} texts[] = {
#define TEXT(type_, field)                                                                         \
    {                                                                                              \
        .type = MESSAGE_##type_, .offset = offsetof(struct message, u.field),                      \
        .size = sizeof(((struct message *)0)->u.field),                                            \
    }
    TEXT(LAST_WORDS, last_words.text),
    TEXT(SEAT_TAKEN, seat.address.host),
    TEXT(SEAT_TAKEN, seat.address.hostaddr),
    TEXT(SEAT_TAKEN, seat.address.port),
    TEXT(SEAT_LOST, seat_lost.text),
    TEXT(CAMPAIGN, campaign.address.host),
    TEXT(CAMPAIGN, campaign.address.hostaddr),
    TEXT(CAMPAIGN, campaign.address.port),
    TEXT(CAMPAIGN_FAILED, ended.text),
    TEXT(LOST, ended.text),
    TEXT(RELEASED, ended.text),
    TEXT(REPLY, reply.text),
    TEXT(QUERY, query.job),
    TEXT(QUERY, query.word),
    TEXT(QUERY_REPLY, query_reply.text),
    TEXT(JOB_COMMAND, job_command.job),
    TEXT(JOB_ANSWER, job_answer.run),
    TEXT(JOB_ANSWER, job_answer.text),
#undef TEXT
};

static const char *const end_reasons[END_REASON_COUNT] = {
    [END_NONE] = "none",
    [END_STOP] = "stop",
    [END_STEP_DOWN] = "step_down",
    [END_RELOAD] = "reload",
    [END_SESSION_ENDED] = "session_ended",
    [END_LEASE_EXPIRED] = "lease_expired",
    [END_WITNESS] = "witness",
    [END_CLOCK] = "clock",
    [END_SEAT_LOST] = "seat_lost",
    [END_CONNECT_FAILED] = "connect_failed",
    [END_REFUSED] = "refused",
    [END_NOT_GRANTED] = "not_granted",
    [END_TERM_FAILED] = "term_failed",
    [END_INTERNAL] = "internal",
    [END_WORKER_DIED] = "worker_died",
    [END_WORKER_HUNG] = "worker_hung",
    [END_SUPERVISOR_DIED] = "supervisor_died",
};

const char *end_reason_name(enum end_reason reason)
{
    /* The number may come out of a message: out of range is the sender's fault, not ours. */
    return (unsigned)reason < END_REASON_COUNT ? end_reasons[reason] : "unknown";
}

static const char *const job_orders[JOB_ORDER_COUNT] = {
    [JOB_TRIGGER] = "trigger",
    [JOB_CANCEL] = "cancel",
    [JOB_PAUSE] = "pause",
    [JOB_RESUME] = "resume",
};

const char *job_order_name(enum job_order order)
{
    return (unsigned)order < JOB_ORDER_COUNT ? job_orders[order] : "unknown";
}

const char *message_name(uint32_t type)
{
    return type < MESSAGE_TYPE_COUNT ? specs[type].name : "unknown";
}

size_t message_size(enum message_type type)
{
    assert((unsigned)type < MESSAGE_TYPE_COUNT);
    return specs[type].size;
}

static bool texts_end(const struct message *m)
{
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].type == m->header.type &&
            memchr((const char *)m + texts[i].offset, '\0', texts[i].size) == NULL) {
            return false;
        }
    }
    return true;
}

int message_check(const struct message *m, size_t length, enum message_sender sender)
{
    if (length < sizeof(m->header)) {
        return -EBADMSG;
    }
    if (m->header.version != MESSAGE_VERSION) {
        return -EPROTO;
    }
    if (m->header.type >= MESSAGE_TYPE_COUNT || length != specs[m->header.type].size) {
        return -EBADMSG;
    }
    if ((specs[m->header.type].senders & (unsigned)sender) == 0) {
        return -EPERM;
    }
    return texts_end(m) ? 0 : -EBADMSG;
}
