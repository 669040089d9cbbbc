# SPDX-License-Identifier: Apache-2.0
"""The moments at which chaos makes a daemon on Kafka die."""

ANNOTATE = ("source_before_commit", "source_after_commit", "sink_after_ack",
            "sink_between_labels", "sink_between_letters_and_labels",
            "sink_after_send")
TRAIN = ("train_after_dead_letters", "train_before_checkpoint",
         "checkpoint_while_writing", "checkpoint_before_manifest",
         "checkpoint_before_rename", "checkpoint_before_latest",
         "pointer_before_rename", "checkpoint_after_latest",
         "checkpoint_while_pruning")
# Where labels are transactional, besides (test_kafka_transactions.py).
TRANSACTIONS = ("sink_before_transaction_commit",
                "sink_after_transaction_commit")
