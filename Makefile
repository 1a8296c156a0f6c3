# pgbaton: one program, its tests, its checks. Everything that is made goes to build/.
#
#   make DEVELOPER=1                    warnings are errors
#   make SAN=address,undefined test     with sanitizers, in a folder of its own
#   make V=1                            shows the commands
#   make unit ARGS='--filter log/*'     passes arguments on to the test program

VERSION = 0.1.0

PREFIX  ?= /usr/local
BUILD   := build
# These belong to whoever builds; what the code needs is added apart from them.
CFLAGS  ?= -O2 -g

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wformat=2 -Wundef \
        -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wpointer-arith \
        -Wwrite-strings -Wvla
TEST_WARN := -Wno-conversion -Wno-sign-conversion -Wno-pedantic -Wno-missing-field-initializers \
             -Wno-missing-prototypes -Wno-strict-prototypes -Wno-unused-result \
             -Wno-format-truncation

comma := ,
ifdef SAN
SAN_FLAGS := -fsanitize=$(SAN) -fno-sanitize-recover=all
# gcc sees paths then that are not there
WARN      += -Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-format-truncation
BUILD     := $(BUILD)/san-$(subst $(comma),-,$(SAN))
else
HARDEN    := $(if $(filter -O%,$(CFLAGS)),$(if $(filter -O0,$(CFLAGS)),,-D_FORTIFY_SOURCE=2))
endif
WERROR := $(if $(DEVELOPER),-Werror)
Q    := $(if $(V),,@)
say   = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2))

PACKAGES := libpq sqlite3 inih jansson libcap
ifneq ($(filter-out help clean uninstall,$(or $(MAKECMDGOALS),all)),)
ifneq ($(shell pkg-config --exists $(PACKAGES) && echo yes),yes)
$(error the libraries are missing: run 'sh etc/deps.sh' as root, or install $(PACKAGES) and libev)
endif
endif
PACKAGE_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
LIBS           := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lev

# What the code needs to be read at all: the compiler and clang-tidy both get it.
LANGUAGE   := -std=c17 -D_GNU_SOURCE -I. $(PACKAGE_CFLAGS) -DPGBATON_VERSION='"$(VERSION)"'
ALL_CFLAGS  = $(LANGUAGE) $(WARN) -MMD -MP -fno-omit-frame-pointer -fstack-protector-strong -fPIE \
              $(HARDEN) $(SAN_FLAGS) $(CPPFLAGS) $(CFLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now $(SAN_FLAGS) $(LDFLAGS)

SOURCES  := $(sort $(wildcard common/*.c supervisor/*.c supervisor/cli/*.c worker/*/*.c))
OBJECTS  := $(SOURCES:%.c=$(BUILD)/%.o)
tests     = $(patsubst tests/%.c,$(BUILD)/tests/objects/%.o,$(sort $(wildcard tests/$(1)/*.c)))
UNIT     := $(call tests,unit) $(call tests,support) $(filter-out %/supervisor/main.o,$(OBJECTS))
SUPPORT  := $(call tests,support) $(filter-out %/supervisor/main.o,$(OBJECTS))
INTEGRATION := $(call tests,integration) $(SUPPORT)
# The simulator has what decides, and none of what touches the world.
DECIDES  := backoff budget duration identity message random election election_fencing \
            election_moves restart shutdown turn takeover lease seat stuck witness
SIM      := $(call tests,sim) $(filter $(foreach name,$(DECIDES),%/$(name).o),$(OBJECTS))
BENCH    := $(filter-out %/stamp.o,$(call tests,bench)) $(SUPPORT)
PROGRAM  := $(BUILD)/pgbaton

MAKEFLAGS += -j$(or $(shell nproc 2>/dev/null),1)
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all test unit integration sim test-long bench demo run lint tidy cppcheck format format-check \
        includes purity coverage install uninstall clean help FORCE

all: $(PROGRAM)                       ## the program, build/pgbaton

# All that these depend on is linked into them.
$(PROGRAM): $(OBJECTS)
$(BUILD)/tests/unit: $(UNIT)
$(BUILD)/tests/integration: $(INTEGRATION) | $(BUILD)/tests/restless $(BUILD)/tests/clock.so
$(BUILD)/tests/sim: $(SIM)
$(BUILD)/tests/bench: $(BENCH)
$(BUILD)/tests/stamp: $(BUILD)/tests/objects/bench/stamp.o $(BUILD)/common/clock.o
$(BUILD)/tests/unit $(BUILD)/tests/integration $(BUILD)/tests/bench: LIBS += -lcriterion
$(PROGRAM) $(addprefix $(BUILD)/tests/,unit integration sim bench stamp):
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $^ $(LIBS) -o $@

# A job of the tests: with a sanitizer in it that is in its way, each of its forks would count.
$(BUILD)/tests/restless: tests/programs/restless.c common/clock.c $(BUILD)/flags
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(LANGUAGE) $(WARN) $(WERROR) -O2 $(filter %.c,$^) -o $@

$(BUILD)/tests/clock.so: tests/support/preload/clock.c tests/support/preload/clock.h
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) -std=c17 -D_GNU_SOURCE $(WARN) $(WERROR) -O2 -fPIC -shared $< -o $@

$(BUILD)/tests/objects/%.o: tests/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) $(TEST_WARN) $(WERROR) -c $< -o $@

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) $(WERROR) -c $< -o $@

# Other flags, other objects.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(ALL_CFLAGS)' | cmp -s - $@ || echo '$(CC) $(ALL_CFLAGS)' >$@

-include $(wildcard $(shell find $(BUILD) -name '*.d' 2>/dev/null))

RUN_TESTS = PGBATON=$${PGBATON:-$(PROGRAM)} sh tests/run.sh

test: $(PROGRAM) $(BUILD)/tests/unit $(BUILD)/tests/integration    ## all tests: unit and integration
	$(Q)$(RUN_TESTS) $(BUILD)/tests/unit $(BUILD)/tests/integration $(ARGS)
unit: $(BUILD)/tests/unit             ## the tests of modules: seconds, no server
	$(Q)$(RUN_TESTS) $< $(ARGS)
integration: $(PROGRAM) $(BUILD)/tests/integration                 ## the program against a real PostgreSQL
	$(Q)$(RUN_TESTS) $(BUILD)/tests/integration $(ARGS)
sim: $(BUILD)/tests/sim               ## the simulator: SEED=1 RUNS=20000; then each rule switched off
	$(Q)sh tests/sim/sim.sh $< $(or $(SEED),1) $(or $(RUNS),20000)
	$(Q)COMPILE='$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)' sh tests/sim/without.sh $(BUILD)/tests/without $(SIM)
test-long: $(PROGRAM) $(BUILD)/tests/unit $(BUILD)/tests/integration   ## all tests, with the long ones
	$(Q)PGBATON_TEST_LONG=1 $(RUN_TESTS) $(BUILD)/tests/unit $(BUILD)/tests/integration $(ARGS)
bench: $(PROGRAM) $(BUILD)/tests/bench $(BUILD)/tests/stamp        ## measures, each beside its floor in the same run
	$(Q)PGBATON=$${PGBATON:-$(PROGRAM)} $(BUILD)/tests/bench --jobs 1 $(ARGS)
demo: $(PROGRAM)                      ## three instances on a private PostgreSQL: election, takeover, release
	$(Q)PGBATON=$(PROGRAM) sh etc/demo.sh
run: $(PROGRAM)                       ## one instance in the foreground; again in a second terminal: a follower
	$(Q)PGBATON=$(PROGRAM) exec sh etc/run.sh

CHECKED := $(shell find common supervisor worker tests -name '*.[ch]' 2>/dev/null | sort)

lint: format-check includes purity cppcheck tidy                   ## every static check
tidy: $(SOURCES:%.c=$(BUILD)/lint/%.tidy)
$(BUILD)/lint/%.tidy: %.c .clang-tidy $(BUILD)/%.o
	@mkdir -p $(@D)
	$(call say,TIDY,$<)
	$(Q)clang-tidy --quiet --warnings-as-errors='*' $< -- $(LANGUAGE) 2>$@.err || { cat $@.err >&2; exit 1; }
	@touch $@
cppcheck:
	$(call say,CHECK,cppcheck)
	$(Q)sh tests/lint/cppcheck.sh $(SOURCES)
includes:
	$(call say,CHECK,includes)
	$(Q)sh tests/lint/includes.sh
purity: $(OBJECTS)
	$(call say,CHECK,purity)
	$(Q)sh tests/lint/purity.sh $(BUILD)
format:                               ## formats every source with clang-format
	$(Q)clang-format -i $(CHECKED)
format-check:
	$(call say,CHECK,format)
	$(Q)clang-format --dry-run --Werror $(CHECKED)

coverage:                             ## which lines the unit tests reach (needs gcov)
	$(Q)$(MAKE) --no-print-directory unit SAN= BUILD=build/coverage CFLAGS='-O0 -g --coverage'
	$(Q)cd build/coverage && gcov -n $$(find common supervisor worker -name '*.gcda') | grep -A 1 "^File '[csw]"

install: $(PROGRAM)                   ## into PREFIX (/usr/local), below DESTDIR
	install -D -m 755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/pgbaton
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/pgbaton etc/pgbaton.ini README.md LICENSE CHANGELOG.md
uninstall:                            ## takes out what install put there
	rm -rf $(DESTDIR)$(PREFIX)/bin/pgbaton $(DESTDIR)$(PREFIX)/share/doc/pgbaton
clean:                                ## removes build/
	rm -rf build
help:                                 ## this list
	@sed -n 's/^\([a-z-]*\):.*## */  make \1|/p' Makefile | column -t -s '|'
