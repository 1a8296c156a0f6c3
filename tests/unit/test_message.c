#include "common/message.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/array.h"

static struct message made(enum message_type type)
{
    struct message m;

    memset(&m, 0, sizeof(m));
    m.header.version = MESSAGE_VERSION;
    m.header.type = type;
    return m;
}

static const enum message_sender senders[] = {FROM_SUPERVISOR, FROM_PROBE, FROM_WORKER,
                                              FROM_MONITOR, FROM_KEEPER};

/* clang-format off */
static const struct {
    enum message_type type;
    unsigned senders;
} rows[] = {
#define ROW(type, payload, who) {MESSAGE_##type, (who)},
    MESSAGE_TABLE(ROW)
#undef ROW
};
/* clang-format on */

Test(message, only_the_senders_of_its_row_may_send_it)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct message m = made(rows[i].type);

        for (size_t s = 0; s < ARRAY_LEN(senders); s++) {
            int expected = rows[i].senders & senders[s] ? 0 : -EPERM;

            cr_expect_eq(message_check(&m, message_size(rows[i].type), senders[s]), expected,
                         "%s from %d", message_name(rows[i].type), (int)senders[s]);
        }
    }
}

Test(message, nothing_but_the_exact_size_is_believed)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct message m = made(rows[i].type);
        enum message_sender sender = rows[i].senders & FROM_SUPERVISOR ? FROM_SUPERVISOR
                                     : rows[i].senders & FROM_PROBE    ? FROM_PROBE
                                     : rows[i].senders & FROM_WORKER   ? FROM_WORKER
                                     : rows[i].senders & FROM_MONITOR  ? FROM_MONITOR
                                                                       : FROM_KEEPER;
        size_t size = message_size(rows[i].type);

        cr_expect_eq(message_check(&m, size - 1, sender), -EBADMSG);
        cr_expect_eq(message_check(&m, size + 1, sender), -EBADMSG);
        cr_expect_eq(message_check(&m, 1, sender), -EBADMSG);
        cr_expect_eq(message_check(&m, 0, sender), -EBADMSG);
        cr_expect_eq(message_check(&m, sizeof(m.header), sender), -EBADMSG);
    }
}

Test(message, another_version_is_another_build)
{
    struct message m = made(MESSAGE_HELLO);

    m.header.version = MESSAGE_VERSION + 1;
    cr_expect_eq(message_check(&m, message_size(MESSAGE_HELLO), FROM_WORKER), -EPROTO);
}

Test(message, an_unknown_type_is_refused)
{
    struct message m = made(MESSAGE_HELLO);
    static const uint32_t wrong[] = {MESSAGE_TYPE_COUNT, MESSAGE_TYPE_COUNT + 1, UINT32_MAX};

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        m.header.type = wrong[i];
        cr_expect_eq(message_check(&m, sizeof(m), FROM_SUPERVISOR), -EBADMSG);
        cr_expect_str_eq(message_name(wrong[i]), "unknown");
    }
}

/* clang-format off */
static const struct {
    enum message_type type;
    enum message_sender sender;
    size_t offset;
    size_t size;
} texts[] = {
#define TEXT(type, sender, field)                                                                  \
    {MESSAGE_##type, sender, offsetof(struct message, u.field),                                    \
     sizeof(((struct message *)0)->u.field)}
    TEXT(LAST_WORDS,      FROM_WORKER,     last_words.text),
    TEXT(SEAT_TAKEN,      FROM_PROBE,      seat.address.host),
    TEXT(SEAT_TAKEN,      FROM_PROBE,      seat.address.hostaddr),
    TEXT(SEAT_TAKEN,      FROM_PROBE,      seat.address.port),
    TEXT(SEAT_LOST,       FROM_PROBE,      seat_lost.text),
    TEXT(CAMPAIGN,        FROM_SUPERVISOR, campaign.address.host),
    TEXT(CAMPAIGN,        FROM_SUPERVISOR, campaign.address.hostaddr),
    TEXT(CAMPAIGN,        FROM_SUPERVISOR, campaign.address.port),
    TEXT(CAMPAIGN_FAILED, FROM_WORKER,     ended.text),
    TEXT(LOST,            FROM_WORKER,     ended.text),
    TEXT(RELEASED,        FROM_WORKER,     ended.text),
    TEXT(REPLY,           FROM_SUPERVISOR, reply.text),
    TEXT(QUERY,           FROM_MONITOR,    query.job),
    TEXT(QUERY,           FROM_MONITOR,    query.word),
    TEXT(QUERY_REPLY,     FROM_PROBE,      query_reply.text),
    TEXT(JOB_COMMAND,     FROM_MONITOR,    job_command.job),
    TEXT(JOB_ANSWER,      FROM_WORKER,     job_answer.run),
    TEXT(JOB_ANSWER,      FROM_WORKER,     job_answer.text),
#undef TEXT
};
/* clang-format on */

Test(message, a_text_without_its_end_is_refused)
{
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct message m = made(texts[i].type);
        char *text = (char *)&m + texts[i].offset;

        memset(text, 'x', texts[i].size);
        cr_expect_eq(message_check(&m, message_size(texts[i].type), texts[i].sender), -EBADMSG,
                     "%s: text %zu", message_name(texts[i].type), i);
        text[texts[i].size - 1] = '\0';
        cr_expect_eq(message_check(&m, message_size(texts[i].type), texts[i].sender), 0);
    }
}

Test(message, every_reason_has_a_word_of_its_own)
{
    for (int i = 0; i < END_REASON_COUNT; i++) {
        const char *name = end_reason_name(i);

        cr_assert_not_null(name);
        for (int j = 0; j < i; j++) {
            cr_expect_str_neq(name, end_reason_name(j));
        }
    }
    cr_expect_str_eq(end_reason_name(END_REASON_COUNT), "unknown");
    cr_expect_str_eq(end_reason_name(-1), "unknown");
}
