# SPDX-License-Identifier: Apache-2.0
#
# `make help` lists the targets. Settings, all optional:
#   SAN=none|asan|tsan  its own output folder each, build/$(SAN)
#   WERROR=1            warnings are errors
#   MARCH=native        -march; x86-64-v3 for a build that travels
#   V=1                 show the commands

ifeq ($(origin CC),default)
CC := gcc
endif
SAN ?= none
OUT := build/$(SAN)
MARCH ?= native
OPT ?= -O2 -g
PREFIX ?= /usr/local
FUZZ_S ?= 10

SAN_asan := -fsanitize=address,undefined -fno-sanitize-recover=all
SAN_tsan := -fsanitize=thread
SAN_fuzz := -fsanitize=fuzzer-no-link,address,undefined \
            -fno-sanitize-recover=all

# One job a core, unless the caller said otherwise.
ifeq ($(MAKELEVEL),0)
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 2)
endif
endif
Q := $(if $(V),,@)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wundef -Wvla \
        -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
        -Wpointer-arith -Wcast-qual -Wwrite-strings -Wformat=2 -Wswitch-enum \
        -Wdouble-promotion -Wimplicit-fallthrough
PKGS := libuv libcjson openblas yaml-0.1 zlib libxxhash libcrypto \
        libmicrohttpd libcurl rdkafka

# Asked when the first command needs them, and once: on a fresh machine
# pkg-config is there only after `deps`.
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PKGS)))$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PKGS)))$(PKG_LIBS)
VERSION = $(eval VERSION := $$(shell .ci/version))$(VERSION)

BASE_CFLAGS := -std=c11 -D_GNU_SOURCE -I. -MMD -MP $(OPT) -march=$(MARCH) \
               $(WARN) $(SAN_$(SAN)) $(DEFS) $(CFLAGS)
ALL_CFLAGS = $(BASE_CFLAGS) $(if $(WERROR),-Werror) $(PKG_CFLAGS)
LIBS = $(PKG_LIBS) -lm -lpthread

SRC     := $(shell find daemon stages -name '*.c' | sort)
TEST    := $(shell find tests/unit tests/contract -name 'test_*.c' 2>/dev/null | sort)
ifeq ($(SAN),tsan)
# librdkafka starts threads by thrd_create, of which clang's TSan knows nothing:
# it ends with a SEGV in its own allocator.
TEST := $(filter-out tests/unit/test_kafka.c,$(TEST))
$(info SKIPPED tests/unit/test_kafka.c: librdkafka cannot run under TSan)
endif
SUPPORT := $(sort $(wildcard tests/support/*.c))
FUZZ    := $(sort $(wildcard tests/fuzz/fuzz_*.c))
BENCH   := $(filter-out %/floor.c %/kafka_load.c,\
             $(sort $(wildcard tests/bench/*.c)))
# Those that start model servers.
TEACHERS := $(sort $(wildcard tests/integration/test_teacher_*))
SCRIPT  := $(filter-out $(TEACHERS),$(sort $(wildcard tests/integration/test_*)))
# Those that start brokers.
KAFKA   := $(sort $(wildcard tests/integration/test_kafka_*)) \
           $(filter %/test_chaos.py %/test_ledger.py,$(SCRIPT))
OBJ     := $(SRC:%.c=$(OUT)/%.o)
LIB     := $(filter-out $(OUT)/daemon/main.o,$(OBJ))
TESTBIN := $(TEST:%.c=$(OUT)/%)
FUZZBIN := $(FUZZ:%.c=$(OUT)/%)
TESTOBJ := $(TEST:%.c=$(OUT)/%.o) $(SUPPORT:%.c=$(OUT)/%.o) \
           $(FUZZ:%.c=$(OUT)/%.o) $(BENCH:%.c=$(OUT)/%.o)
ARCHIVES := $(OUT)/tests/libsupport.a $(OUT)/libdistilld.a
CRASH   := $(if $(filter none,$(SAN)),build/crash,$(OUT)-crash)
TALLY    = SAN=$(SAN) OUT=$(OUT) CRASH=$(CRASH) tests/support/tally.sh

.DELETE_ON_ERROR:
.SECONDARY:

all: $(OUT)/distilld

# ---- build ----

$(OUT)/distilld: $(OUT)/daemon/main.o $(OUT)/libdistilld.a
	@echo "  LD    $@"
	$(Q)$(CC) $(SAN_$(SAN)) -o $@ $^ $(LDFLAGS) $(LIBS)

$(OUT)/libdistilld.a: $(LIB)
	@echo "  AR    $@"
	$(Q)rm -f $@ && ar rcs $@ $^

$(OUT)/tests/libsupport.a: $(SUPPORT:%.c=$(OUT)/%.o)
	@mkdir -p $(@D)
	$(Q)rm -f $@ && ar rcs $@ $^

$(OUT)/%.o: %.c $(OUT)/flags | build/deps.build
	@mkdir -p $(@D)
	@echo "  CC    $@"
	$(Q)$(CC) $(ALL_CFLAGS) $(OWN_CFLAGS) -c -o $@ $<

$(TESTBIN): %: %.o $(ARCHIVES)
	@echo "  LD    $@"
	$(Q)$(CC) $(SAN_$(SAN)) -o $@ $< $(ARCHIVES) $(LDFLAGS) $(LIBS)

# The numeric core: contraction keeps each product exact, unlike fast-math.
$(OUT)/stages/model/%.o: OWN_CFLAGS = -O3 -fno-math-errno -ffp-contract=fast
$(OUT)/daemon/version.o: OWN_CFLAGS = -DDISTILLD_VERSION='"$(VERSION)"'
$(OUT)/daemon/version.o: build/version

# Rewritten only when what they say has changed.
$(OUT)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(BASE_CFLAGS)' | cmp -s - $@ || \
	    echo '$(CC) $(BASE_CFLAGS)' >$@
build/version: FORCE
	@mkdir -p $(@D)
	@.ci/version | cmp -s - $@ || .ci/version >$@

-include $(OBJ:.o=.d) $(TESTOBJ:.o=.d)

# ---- packages ----

deps:
	@.ci/deps build test kafka
	@mkdir -p build && touch build/deps.build build/deps.test \
	    build/deps.kafka

# One after the other: there is one package manager.
build/deps.test: | build/deps.build
build/deps.kafka: | build/deps.test
build/deps.bench: | build/deps.kafka
build/deps.lint: | build/deps.kafka
build/deps.%: .ci/deps
	@.ci/deps --quiet $*
	@mkdir -p build && touch $@

# ---- run ----

demo: $(OUT)/distilld
	@rm -rf build/demo && mkdir -p build/demo
	$(Q)$(OUT)/distilld run -c conf/demo/steady.yaml
	$(Q)$(OUT)/distilld run -c conf/demo/new_student.yaml
	$(Q)$(OUT)/distilld report -o build/demo conf/demo/steady.yaml \
	    conf/demo/new_student.yaml

conf: $(OUT)/distilld
	$(Q)$(OUT)/distilld config reference >$(OUT)/reference.yaml
	$(Q)mv $(OUT)/reference.yaml conf/distilld.yaml

conf-check: $(OUT)/distilld
	$(Q)$(OUT)/distilld config reference | diff -u conf/distilld.yaml -

install: $(OUT)/distilld
	install -D -m 755 $(OUT)/distilld $(DESTDIR)$(PREFIX)/bin/distilld
	install -D -m 644 conf/distilld.yaml \
	    $(DESTDIR)$(PREFIX)/share/doc/distilld/distilld.yaml
	sed 's|/usr/local|$(PREFIX)|g' conf/distilld.service >$(OUT)/unit
	install -D -m 644 $(OUT)/unit \
	    $(DESTDIR)$(PREFIX)/lib/systemd/system/distilld.service
	install -D -m 644 LICENSE $(DESTDIR)$(PREFIX)/share/doc/distilld/LICENSE

# ---- test ----

check: $(TESTBIN) $(if $(SCRIPT),$(OUT)/distilld crash) | build/deps.kafka
	@$(TALLY) $(TESTBIN) $(SCRIPT)

unit: $(TESTBIN)
	@$(TALLY) $(TESTBIN)

integration: $(OUT)/distilld crash | build/deps.kafka
	@$(TALLY) $(SCRIPT)

check-kafka: $(OUT)/distilld crash | build/deps.kafka
	@$(TALLY) $(KAFKA)

# Triton, MLServer, KServe and scripted servers as teachers.
check-teachers: $(OUT)/distilld | build/deps.kafka
	@$(TALLY) $(TEACHERS)

# Real brokers, harm, and a ledger; CHAOS_ROUNDS=1000 kills a thousand times.
chaos: $(OUT)/distilld crash | build/deps.kafka
	@OUT=$(OUT) CRASH=$(CRASH) python3 tests/chaos/chaos.py \
	    --json build/chaos.json $(CHAOS)

# The daemon that kills itself at the crash point it is told.
crash: | build/deps.build
	+@$(MAKE) --no-print-directory OUT=$(CRASH) \
	    DEFS=-DDISTILLD_CRASH_POINTS $(CRASH)/distilld

# The stack of docker-compose.yml, in an engine of its own where there is none.
check-compose: | build/deps.kafka
	@python3 tests/compose/check.py

fuzz: | build/deps.lint
	+@$(MAKE) --no-print-directory CC=clang SAN=fuzz OUT=build/fuzz fuzz-run

fuzz-run: $(FUZZBIN)
	@FUZZ_S=$(FUZZ_S) $(TALLY) $(FUZZBIN)

$(FUZZBIN): %: %.o $(ARCHIVES)
	@echo "  LD    $@"
	$(Q)$(CC) -fsanitize=fuzzer,address,undefined -o $@ $< $(ARCHIVES) \
	    $(LDFLAGS) $(LIBS)

# `make bench NAMES="train decode"` measures those alone; kafka: through a broker.
bench: bench-build $(OUT)/distilld | build/deps.bench
	@python3 tests/bench/run.py --out $(OUT) --json build/bench.json \
	    $(NAMES)

# The demo over five seeds: is what distillation adds more than chance?
bench-seeds: $(OUT)/distilld | build/deps.test
	@python3 tests/bench/seeds.py --out $(OUT) --json build/seeds.json

bench-objective: $(OUT)/distilld | build/deps.test
	@python3 tests/bench/objective.py --out $(OUT) --json build/objective.json

bench-budget: $(OUT)/distilld | build/deps.test
	@python3 tests/bench/budget.py --out $(OUT) --json build/budget.json

bench-quality: $(OUT)/distilld | build/deps.test
	@python3 tests/bench/quality.py --out $(OUT) --json build/quality.json

bench-build: $(OUT)/tests/bench/bench $(OUT)/tests/bench/floor \
    $(OUT)/tests/bench/kafka_load

$(OUT)/tests/bench/bench: $(BENCH:%.c=$(OUT)/%.o) $(ARCHIVES)
	@echo "  LD    $@"
	$(Q)$(CC) $(SAN_$(SAN)) -o $@ $^ $(LDFLAGS) $(LIBS)

# Frozen, and nothing of the product in it: its own flags, too.
$(OUT)/tests/bench/floor: tests/bench/floor.c | build/deps.build
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -O3 -march=native -ffp-contract=fast \
	    -fno-math-errno $(WARN) -o $@ $< $(shell pkg-config --cflags --libs \
	    openblas 2>/dev/null) -lm -lpthread

# Drives a broker beside the product: nothing of the product in it, either.
$(OUT)/tests/bench/kafka_load: tests/bench/kafka_load.c | build/deps.build
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -O2 $(WARN) $(if $(WERROR),-Werror) \
	    -o $@ $< $(shell pkg-config --cflags --libs rdkafka 2>/dev/null) \
	    -lpthread

# ---- lint ----

TIDY := $(SRC:%.c=build/tidy/%.ok)

lint: lint-quick tidy cppcheck
lint-quick: format layers words sizes

format: | build/deps.lint
	$(Q)if clang-format --version | grep -q 'version 14'; then \
	    clang-format --dry-run -Werror $$(git ls-files '*.c' '*.h'); \
	else echo 'format: skipped, only clang-format 14 judges it'; fi
layers:
	$(Q).ci/layers
words:
	$(Q).ci/words
sizes:
	$(Q).ci/sizes
tidy: $(TIDY)
build/tidy/%.ok: %.c $(OUT)/%.o .clang-tidy | build/deps.lint
	@mkdir -p $(@D)
	@echo "  TIDY  $<"
	$(Q)timeout 120 clang-tidy --quiet $< -- -std=c11 -D_GNU_SOURCE -I. \
	    $(PKG_CFLAGS) 2>$@.log || { cat $@.log; exit 1; }
	@touch $@
cppcheck: | build/deps.lint
	$(Q)timeout 300 cppcheck -q -j2 --std=c11 -D_GNU_SOURCE -I. \
	    --enable=warning,performance,portability --inline-suppr \
	    --suppress=nullPointerRedundantCheck \
	    --suppress=nullPointerArithmeticRedundantCheck \
	    --error-exitcode=1 daemon stages

clean:
	rm -rf build

help:
	@echo 'make            build build/none/distilld'
	@echo 'make deps       install the packages that are missing'
	@echo 'make demo       distil on the sample, report in build/demo'
	@echo 'make check      unit, contract and integration tests'
	@echo 'make unit       unit and contract tests'
	@echo 'make check-kafka  the integration tests that start brokers'
	@echo 'make check-teachers  the integration tests that start model servers'
	@echo 'make check-compose  docker compose up, watched and killed'
	@echo 'make chaos      kills and cuts off a service, CHAOS_ROUNDS=60'
	@echo 'make bench      speed beside floor and peer, build/bench.json'
	@echo 'make bench-seeds  the demo over five seeds, build/seeds.json'
	@echo 'make bench-quality  soft_weight auto and fixed, build/quality.json'
	@echo 'make bench-objective  options of the objective, build/objective.json'
	@echo 'make bench-budget  quality against the share asked about'
	@echo 'make fuzz       every fuzz target, FUZZ_S=10 seconds each'
	@echo 'make lint       format, layers, words, sizes, tidy, cppcheck'
	@echo 'make conf       rewrite conf/distilld.yaml'
	@echo 'make install    DESTDIR, PREFIX=/usr/local'
	@echo 'make clean      remove build/'

FORCE:
.PHONY: all deps demo conf conf-check install check unit integration \
        check-kafka check-teachers check-compose chaos crash fuzz fuzz-run \
        bench bench-seeds bench-objective bench-quality bench-build lint lint-quick \
        format layers words sizes tidy cppcheck clean help FORCE
