/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What servers say of themselves.
 */
#include "stages/oip/metadata.h"

#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

static void
test_extensions(void)
{
    static const char body[] =
        "{\"name\":\"triton\",\"extensions\":[7,\"classification\","
        "\"binary_tensor_data\"]}";

    CHECK(oip_server_has(body, sizeof(body) - 1, "binary_tensor_data"));
    CHECK(!oip_server_has(body, sizeof(body) - 1, "binary"));
    CHECK(!oip_server_has("{\"extensions\":[]}", 17, "binary_tensor_data"));
    CHECK(!oip_server_has("{\"extensions\":\"x\"}", 18, "x"));
    CHECK(!oip_server_has("<html>", 6, "x"));
    CHECK(!oip_server_has("", 0, "x"));
}

static void
check_limit(const char *body, bool has, size_t want)
{
    size_t limit = 999;

    CHECK_INT(oip_config_batch_max(body, strlen(body), &limit), has);
    CHECK_INT(limit, want);
}

static void
test_batch_limits(void)
{
    check_limit("{\"max_batch_size\":16}", true, 16);
    check_limit("{\"max_batch_size\":0,\"name\":\"m\"}", true, 0);
    check_limit("{\"max_batch_size\":-1}", false, 999);
    check_limit("{\"max_batch_size\":1.5}", false, 999);
    check_limit("{\"max_batch_size\":\"16\"}", false, 999);
    check_limit("{}", false, 999);
    check_limit("[]", false, 999);
    check_limit("{", false, 999);
}

#define STATUS(version, state)                                                 \
    "{\"version\":\"" version "\",\"state\":\"" state                          \
    "\",\"status\":{\"error_code\":\"OK\",\"error_message\":\"\"}}"
#define STATUSES(list) "{\"model_version_status\":[" list "]}"

static void
check_version(const char *body, const char *wanted, enum status st,
              const char *want)
{
    char version[OIP_VERSION_MAX + 1] = "";
    struct error err;

    CHECK_INT(tfs_status_version(body, strlen(body), wanted, version, &err),
              st);
    CHECK_STR(version, want);
}

static void
test_versions_of_tf_serving(void)
{
    check_version(STATUSES(STATUS("9", "AVAILABLE") "," STATUS(
                      "10", "AVAILABLE") "," STATUS("11", "LOADING")),
                  "", STATUS_OK, "10");
    check_version(
        STATUSES(STATUS("10", "AVAILABLE") "," STATUS("9", "AVAILABLE")), "9",
        STATUS_OK, "9");
    check_version(STATUSES(STATUS("10", "UNLOADING")), "", STATUS_AGAIN, "");
    check_version(STATUSES(STATUS("10", "AVAILABLE")), "1", STATUS_AGAIN, "");
    check_version(STATUSES(""), "", STATUS_AGAIN, "");
    check_version("{\"error\":\"x\"}", "", STATUS_MALFORMED, "");
    check_version("[1]", "", STATUS_MALFORMED, "");
    check_version("{", "", STATUS_MALFORMED, "");
    /* It goes into an address. */
    check_version(STATUSES(STATUS("1/../x", "AVAILABLE")), "", STATUS_AGAIN,
                  "");
    check_version(STATUSES(STATUS("", "AVAILABLE")), "", STATUS_AGAIN, "");
    check_version(STATUSES("{\"version\":7,\"state\":\"AVAILABLE\"}"), "",
                  STATUS_AGAIN, "");
}

static void
test_tensors(void)
{
    static const char body[] =
        "{\"name\":\"m\",\"inputs\":[{\"name\":\"a\",\"datatype\":\"FP32\","
        "\"shape\":[-1,3]},{\"datatype\":\"FP32\"},{\"name\":\"b\"},"
        "{\"name\":\"c\",\"datatype\":\"a datatype with a long name\","
        "\"shape\":[1,2,3,4,5,6,7,8,9,10]}],\"outputs\":null}";
    struct oip_metadata *m = malloc(sizeof(*m));
    struct error err;

    CHECK_INT(oip_metadata_read(m, body, sizeof(body) - 1, &err), STATUS_OK);
    CHECK_INT(m->input_count, 3);
    CHECK_INT(m->output_count, 0);
    CHECK_STR(m->inputs[0].name, "a");
    CHECK_STR(m->inputs[0].datatype, "FP32");
    CHECK(m->inputs[0].rank == 2 && m->inputs[0].shape[0] == -1 &&
          m->inputs[0].shape[1] == 3);
    CHECK_STR(m->inputs[1].datatype, "");
    CHECK_INT(m->inputs[1].rank, 0);
    CHECK_INT(strlen(m->inputs[2].datatype), 15);
    CHECK_INT(m->inputs[2].rank, 8);
    CHECK_INT(oip_metadata_read(m, "[]", 2, &err), STATUS_MALFORMED);
    CHECK_INT(oip_metadata_read(m, "{", 1, &err), STATUS_MALFORMED);
    free(m);
}

int
main(void)
{
    RUN(test_extensions);
    RUN(test_batch_limits);
    RUN(test_versions_of_tf_serving);
    RUN(test_tensors);
    return check_report();
}
