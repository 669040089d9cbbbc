# SPDX-License-Identifier: Apache-2.0
SAN ?= none
OUT := build/$(SAN)
SAN_asan := -fsanitize=address,undefined -fno-sanitize-recover=all
SAN_tsan := -fsanitize=thread
MARCH ?= native
OPT ?= -O2 -g

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wundef -Wvla \
        -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
        -Wpointer-arith -Wcast-qual -Wwrite-strings -Wformat=2 -Wswitch-enum \
        -Wdouble-promotion -Wimplicit-fallthrough
PKGS := libuv libcjson openblas yaml-0.1 zlib libxxhash libcrypto
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS))
PKG_LIBS := $(shell pkg-config --libs $(PKGS))
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -I. -MMD -MP $(OPT) -march=$(MARCH) \
             $(WARN) $(if $(WERROR),-Werror) $(SAN_$(SAN)) $(PKG_CFLAGS) $(CFLAGS)
LIBS := $(PKG_LIBS) -lm -lpthread

SRC  := $(shell find daemon stages -name '*.c' | sort)
TEST := $(shell find tests/unit tests/contract -name 'test_*.c' 2>/dev/null | sort)
OBJ  := $(SRC:%.c=$(OUT)/%.o)
LIB  := $(filter-out $(OUT)/daemon/main.o,$(OBJ))
TESTBIN := $(TEST:%.c=$(OUT)/%)

all: $(OUT)/distilld
$(OUT)/distilld: $(OUT)/daemon/main.o $(OUT)/libdistilld.a
	$(CC) $(SAN_$(SAN)) -o $@ $^ $(LDFLAGS) $(LIBS)
$(OUT)/libdistilld.a: $(LIB)
	@rm -f $@; ar rcs $@ $^
$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<
$(OUT)/tests/%: tests/%.c $(OUT)/libdistilld.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -o $@ $< $(OUT)/libdistilld.a $(LDFLAGS) $(LIBS)
unit: $(TESTBIN)
	@set -e; for t in $(TESTBIN); do echo "== $$t"; $$t; done
-include $(OBJ:.o=.d)
.PHONY: all unit
