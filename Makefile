# Forebay. `make` builds, `make run` shows it, `make test` is everything that must pass.
#
# One page, no recursion. A source file is found by being there: src/<room>/<file>.c. A unit test says in its
# first line what it links (/* LINK: http/url base/slice */), which is how a room proves that it stands alone.

ROOMS   := base conf http event cache upstream policy server admin cli daemon
CC      ?= gcc
PREFIX  ?= /usr/local
SYSCONF ?= /etc/forebay
BUILD   ?= build
VERSION := $(shell sed -n 's/^.define FOREBAY_VERSION "\(.*\)"/\1/p' src/base/version.h 2>/dev/null)

PKGS    := libevent libcares openssl hiredis zlib libbrotlienc libbrotlidec libzstd yaml-0.1 jansson libxxhash libpcre2-8 expat libnghttp2
STD     := -std=gnu17 -D_GNU_SOURCE -Isrc -pthread
WARN    := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
           -Wwrite-strings -Wvla -Wundef -Wformat=2 -Wno-unused-parameter
HARDEN  := -O2 -g -fno-plt -fstack-protector-strong -fstack-clash-protection -D_FORTIFY_SOURCE=2 -fPIE
LDHARD  := -pie -Wl,-z,relro,-z,now
SAN     ?=
ifneq ($(SAN),)
HARDEN  := -O1 -g -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all -fPIE
LDHARD  := -pie -fsanitize=$(SAN)
endif
CFLAGS  ?=
ALLC     = $(STD) $(WARN) $(HARDEN) $(shell pkg-config --cflags $(PKGS)) $(CFLAGS)
LIBS     = $(shell pkg-config --libs $(PKGS)) -lm -pthread

SRCS    := $(sort $(wildcard $(ROOMS:%=src/%/*.c)))
OBJS    := $(SRCS:src/%.c=$(BUILD)/obj/%.o)
# clock.c tells the time; clock_test.c tells it too, with the steps a test asks for (design: tests move the clock).
RELEASE := $(filter-out $(BUILD)/obj/base/clock_test.o,$(OBJS))
TESTING := $(filter-out $(BUILD)/obj/base/clock.o,$(OBJS))
UNITS   := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))

all: $(BUILD)/forebay

$(BUILD)/forebay: $(RELEASE)
	@echo "  LINK  $@"; $(CC) $(LDHARD) -o $@ $^ $(LDFLAGS) $(LIBS)

# The same objects but one: this binary takes clock steps from tests. Never installed.
$(BUILD)/forebay-test: $(TESTING)
	@echo "  LINK  $@"; $(CC) $(LDHARD) -o $@ $^ $(LDFLAGS) $(LIBS)

$(BUILD)/obj/%.o: src/%.c | deps-build
	@mkdir -p $(@D); echo "  CC    $<"; $(CC) $(ALLC) -MMD -MP -c -o $@ $<

# A unit test links the objects its first line names, cmocka, and nothing else of ours.
links = $(patsubst %,$(BUILD)/obj/%.o,$(shell sed -n '1s|^/\* LINK: \(.*\) \*/|\1|p' $(1)))
.SECONDEXPANSION:
$(BUILD)/unit/%: tests/unit/%.c $$(call links,tests/unit/$$*.c) | deps-test
	@mkdir -p $(@D); echo "  UNIT  $@"; $(CC) $(ALLC) -MMD -MP $(shell pkg-config --cflags cmocka) $(LDHARD) -o $@ $(filter %.c %.o,$^) $(LIBS) $(shell pkg-config --libs cmocka)

# The same for a fuzz target (scripts/fuzz builds with clang, CC and SAN set).
$(BUILD)/fuzz/%: tests/fuzz/%.c $$(call links,tests/fuzz/$$*.c) | deps-test
	@mkdir -p $(@D); echo "  FUZZ  $@"; $(CC) $(ALLC) -MMD -MP -fsanitize=fuzzer $(LDHARD) -o $@ $(filter %.c %.o,$^) $(LIBS)

# What things cost; a bench prints, and judges nothing.
$(BUILD)/bench/%: tests/bench/%.c $$(call links,tests/bench/$$*.c) | deps-build
	@mkdir -p $(@D); echo "  BENCH $@"; $(CC) $(ALLC) -MMD -MP $(LDHARD) -o $@ $(filter %.c %.o,$^) $(LIBS)

# Debian packages that are missing; nothing to do, quickly, when none is.
deps-build deps-run deps-test: ; @scripts/deps $(@:deps-%=%)

units: $(UNITS)
unit: $(UNITS)
	@scripts/unit $(UNITS)

run: ; @scripts/run
test: ; @scripts/test $(PARTS)
check: ; @scripts/check
generate: all ; @scripts/generate
# Unit tests and scenarios under sanitizers: asan is the address and undefined ones, tsan the thread one.
asan tsan: ; @scripts/sanitized $@
fuzz: ; @scripts/fuzz
packaging: $(BUILD)/forebay ; @tests/packaging/run
conformance: $(BUILD)/forebay ; @tests/conformance/run
# A request's processor time beside a bare responder's and that of the peers installed; BENCH holds options of tests/bench/run.
bench: $(BUILD)/forebay $(BUILD)/bench/bench_bare $(BUILD)/bench/bench_load ; @tests/bench/run --forebay $< $(BENCH)
# The store's hits beside an LRU's.
bench-evict: $(BUILD)/bench/bench_evict ; @$<
# What each coding costs, of texts out of Debian packages.
bench-codec: $(BUILD)/bench/bench_codec ; @$< $$(tests/bench/texts)
# What compressing again saves, in bytes and for each hit.
bench-again: $(BUILD)/forebay ; @tests/bench/again $< 7
# A purge of 100,000 among a million objects, and who is held up by it.
bench-purge: $(BUILD)/bench/bench_purge ; @$<
# Look-ups among up to ten million objects (4 GB of memory, for some minutes), and their instructions among few and many.
bench-index: $(BUILD)/bench/bench_index ; @tests/bench/index $<
# Readers and writers for SOAK_SECONDS (600) in bad weather, then bodies of random sizes for CHURN_SECONDS (600); SEED makes a run again.
soak: $(BUILD)/forebay | deps-test ; @tests/load/soak && tests/load/herd 7 && tests/load/flood && tests/load/churn && tests/invalidation/run --long

# A configuration that is there is left alone.
install: $(BUILD)/forebay
	install -D -m 755 $< $(DESTDIR)$(PREFIX)/bin/forebay
	[ -e $(DESTDIR)$(SYSCONF)/forebay.yaml ] || install -D -m 644 conf/forebay.yaml $(DESTDIR)$(SYSCONF)/forebay.yaml
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/share/forebay $(DESTDIR)$(PREFIX)/share/doc/forebay
	for u in systemd/forebay.*; do sed 's|/usr/\(bin\|share\)/|$(PREFIX)/\1/|' $$u >$(DESTDIR)$(PREFIX)/lib/systemd/system/$${u##*/}; done
	cp -R conf/* $(DESTDIR)$(PREFIX)/share/forebay/
	cp -R README.md LICENSE docs $(DESTDIR)$(PREFIX)/share/doc/forebay/
	for m in $(wildcard docs/man/*.[1-8]); do install -D -m 644 $$m $(DESTDIR)$(PREFIX)/share/man/man$${m##*.}/$${m##*/}; done

clean:
	rm -rf build build-*

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.PHONY: all units unit run test check generate asan tsan fuzz packaging conformance bench bench-evict bench-purge bench-index bench-codec bench-again soak install clean \
        deps-build deps-run deps-test
.SECONDARY:
