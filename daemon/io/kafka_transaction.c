/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order in which librdkafka's errors are to be looked at: abort first,
 * then the same call again, and all else ends the producer.
 */
#include "daemon/io/kafka_transaction.h"

#include "daemon/io/kafka_priv.h"

#include <poll.h>

#define RETRIES  50 /* of a call that says it may be repeated */
#define RETRY_MS 200
#define NO_LIMIT (-1) /* other limits desynchronize, says librdkafka */
#define INIT_MS  10000

/* Says what an error is about, and destroys it. */
static enum transaction_outcome
judge(rd_kafka_error_t *error, const char *what, struct error *err)
{
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    enum transaction_outcome outcome = TRANSACTION_BROKEN;

    (void)error_set(err, kafka_status(code), "kafka: %s: %s", what,
                    rd_kafka_error_string(error));
    if (rd_kafka_error_txn_requires_abort(error) != 0)
        outcome = TRANSACTION_ABORTED; /* it must be, still */
    else if (code == RD_KAFKA_RESP_ERR__FENCED ||
             code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
             code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH)
        outcome = TRANSACTION_FENCED;
    else if (kafka_status(code) == STATUS_DENIED)
        outcome = TRANSACTION_DENIED;
    rd_kafka_error_destroy(error);
    return outcome;
}

/* Whether the same call is to be made again; waits before it. */
static bool
may_repeat(rd_kafka_error_t *error, unsigned *tries)
{
    if (error == NULL || rd_kafka_error_is_retriable(error) == 0 ||
        rd_kafka_error_txn_requires_abort(error) != 0 || ++*tries > RETRIES)
        return false;
    rd_kafka_error_destroy(error);
    (void)poll(NULL, 0, RETRY_MS);
    return true;
}

enum transaction_outcome
transaction_init(struct kafka_producer *p, struct error *err)
{
    rd_kafka_error_t *error;
    unsigned tries = 0;

    do {
        error = rd_kafka_init_transactions(kafka_producer_client(p), INIT_MS);
    } while (may_repeat(error, &tries));
    return error == NULL ? TRANSACTION_DONE
                         : judge(error, "beginning with transactions", err);
}

enum transaction_outcome
transaction_begin(struct kafka_producer *p, struct error *err)
{
    rd_kafka_error_t *error =
        rd_kafka_begin_transaction(kafka_producer_client(p));

    return error == NULL ? TRANSACTION_DONE
                         : judge(error, "opening a transaction", err);
}

enum transaction_outcome
transaction_abort(struct kafka_producer *p, struct error *err)
{
    rd_kafka_error_t *error;
    unsigned tries = 0;
    enum transaction_outcome outcome;

    do {
        error = rd_kafka_abort_transaction(kafka_producer_client(p), NO_LIMIT);
    } while (may_repeat(error, &tries));
    if (error == NULL)
        return TRANSACTION_ABORTED;
    outcome = judge(error, "aborting a transaction", err);
    return outcome == TRANSACTION_ABORTED ? TRANSACTION_BROKEN : outcome;
}

/* Sends offsets with the group's present generation: a member that was thrown
 * out cannot commit any more. */
static rd_kafka_error_t *
send_offsets(struct kafka_producer *p, struct kafka_consumer *member,
             const char *topic, const struct kafka_offset *offsets,
             size_t count)
{
    rd_kafka_consumer_group_metadata_t *group =
        rd_kafka_consumer_group_metadata(kafka_consumer_client(member));
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)count);
    rd_kafka_error_t *error;
    unsigned tries = 0;

    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, topic, offsets[i].partition)
            ->offset = offsets[i].offset;
    do {
        error = rd_kafka_send_offsets_to_transaction(kafka_producer_client(p),
                                                     list, group, NO_LIMIT);
    } while (may_repeat(error, &tries));
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_consumer_group_metadata_destroy(group);
    return error;
}

/* Aborts where that is what is left to do. */
static enum transaction_outcome
give_up(struct kafka_producer *p, rd_kafka_error_t *error, const char *what,
        struct error *err)
{
    enum transaction_outcome outcome = judge(error, what, err);
    struct error why;

    return outcome == TRANSACTION_ABORTED ? transaction_abort(p, &why)
                                          : outcome;
}

enum transaction_outcome
transaction_commit(struct kafka_producer *p, struct kafka_consumer *member,
                   const char *topic, const struct kafka_offset *offsets,
                   size_t count, struct error *err)
{
    rd_kafka_error_t *error = NULL;
    unsigned tries = 0;

    if (count > 0)
        error = send_offsets(p, member, topic, offsets, count);
    if (error != NULL)
        return give_up(p, error, "adding offsets to a transaction", err);
    do {
        error = rd_kafka_commit_transaction(kafka_producer_client(p), NO_LIMIT);
    } while (may_repeat(error, &tries));
    return error == NULL ? TRANSACTION_DONE
                         : give_up(p, error, "committing a transaction", err);
}
