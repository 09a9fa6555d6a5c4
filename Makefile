# Builds, runs and tests Relay. `make help` lists what there is.
#
# Everything made lands in build/; everything below is relative, so that a
# checkout may live under any path.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:

ifeq ($(origin CC),default)
CC := gcc
endif
CLANG ?= clang
JOBS  ?= $(shell nproc)

# Sub-makes run in parallel, within the job server if there is one already.
parallel = $(if $(findstring --jobserver,$(MAKEFLAGS)),,-j$(JOBS))

# Values that `make run` and `make fuzz` take: make run RELAY_PORT=9000
RELAY_PORT   ?= 8080
RELAY_ADMIN_PORT ?= 8081
RELAY_HOME   ?= ./.relay
FUZZ_SECONDS ?= 60
export RELAY_PORT RELAY_ADMIN_PORT RELAY_HOME DETACH

include ngx_relay_module/core/sources.mk

core    := ngx_relay_module/core
warn    := -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror
harden  := -O2 -g -fPIC -fstack-protector-strong -D_FORTIFY_SOURCE=2
ldhard  := -Wl,-z,relro -Wl,-z,now
san     := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
           -fno-sanitize-recover=undefined

# relayd and relayctl: control-plane/, core/ and these libraries.
control := $(patsubst control-plane/%.c,%,$(filter-out control-plane/relayctl%.c,$(wildcard control-plane/*.c)))
control_flags := -I$(core) -Icontrol-plane -I/usr/include/postgresql
control_libs  := -Wl,--as-needed -lmicrohttpd -lpq -ljansson -lcurl -lhiredis -lsodium -lssl \
                 -lcrypto -lpthread

# Unit tests of control-plane/ need its libraries; those of core/ do without.
units         := $(patsubst t/unit/%.c,%,$(wildcard t/unit/test_*.c))
control_units := $(filter test_cp_%,$(units))
core_units    := $(filter-out test_cp_%,$(units))
fuzzers := $(patsubst t/fuzz/%.c,%,$(wildcard t/fuzz/fuzz_*.c))

run_packages  := nginx nginx-dev gcc libc6-dev libssl-dev zlib1g-dev libzstd-dev \
                 libpcre2-dev ca-certificates curl:curl flock:util-linux \
                 libpq-dev libjansson-dev libmicrohttpd-dev libsodium-dev \
                 libcurl4-openssl-dev libhiredis-dev postgresql redis-server:redis-server
test_packages := $(run_packages) libcmocka-dev valgrind clang libclang-rt-14-dev llvm \
                 perl openssl node:nodejs npm:npm libio-socket-ssl-perl \
                 libjson-validator-perl libcryptx-perl
lint_packages := $(run_packages) clang-format shellcheck perl
asan_packages := $(test_packages) dpkg-dev
bench_packages := $(run_packages) perl valgrind libcryptx-perl

.PHONY: all build deps test-deps run stop status reset catalog-check test unit lint fuzz asan bench install \
        clean help compat agents wire-table FORCE

all: build

help: ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## /\1\t/p' Makefile | \
	    while IFS=$$'\t' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

# ---- building ----------------------------------------------------------------

build: build/ngx_relay_module.so build/relayctl build/relayd ## the module for this machine's nginx, relayd, relayctl

deps: ## installs what building and running need (Debian)
	@docker/launcher/packages $(run_packages)

test-deps: ## installs what the tests need
	@docker/launcher/packages $(test_packages)

# core/ once for each flavour of compiler flags: $(1) directory, $(2) compiler,
# $(3) flags. Objects are listed in an archive from which a test takes only
# what it does not include itself.
define core_flavour
$(1)/core/%.o: $(core)/%.c Makefile
	@mkdir -p $$(@D)
	@echo "  $$@"
	@$(2) $(warn) $(3) -I$(core) -MMD -MP -c -o $$@ $$<

$(1)/librelay_core.a: $$(RELAY_CORE_SOURCES:%.c=$(1)/core/%.o) $(core)/sources.mk
	@rm -f $$@
	@ar rcs $$@ $$(filter %.o,$$^)

-include $$(RELAY_CORE_SOURCES:%.c=$(1)/core/%.d)
endef

$(eval $(call core_flavour,build,$(CC),$(harden)))
$(eval $(call core_flavour,build/asan,$(CC),$(san)))
$(eval $(call core_flavour,build/fuzz,$(CLANG),$(san) -fsanitize=fuzzer-no-link))

# The control plane, in the same way; $(1) directory, $(2) compiler, $(3) flags.
# What is embedded is read by the assembler: objects follow from the files.
define control_flavour
$(1)/control-plane/%.o: control-plane/%.c Makefile
	@mkdir -p $$(@D)
	@echo "  $$@"
	@$(2) $(warn) $(3) $(control_flags) -MMD -MP -c -o $$@ $$<

$(1)/control-plane/seed.o: control-plane/seed.c build/catalog.json Makefile
	@mkdir -p $$(@D)
	@echo "  $$@"
	@$(2) $(warn) $(3) $(control_flags) -DRELAY_CATALOG='"build/catalog.json"' -MMD -MP -c -o $$@ $$<

$(1)/control-plane/migrations.o: build/migrations.c
	@mkdir -p $$(@D)
	@echo "  $$@"
	@$(2) $(warn) $(3) $(control_flags) -MMD -MP -c -o $$@ $$<

$(1)/librelay_control.a: $$(patsubst %,$(1)/control-plane/%.o,$$(filter-out relayd,$$(control)) migrations)
	@rm -f $$@
	@ar rcs $$@ $$^

$(1)/relayd: $(1)/control-plane/relayd.o $(1)/librelay_control.a $(1)/librelay_core.a
	@echo "  $$@"
	@$(2) $(3) $$(if $$(findstring sanitize,$(3)),,$(ldhard)) -o $$@ $$^ $(control_libs)

-include $$(patsubst %,$(1)/control-plane/%.d,$$(control) migrations)
endef

$(eval $(call control_flavour,build,$(CC),$(harden)))
# With sanitizers, gcc sees truncation where texts are cut on purpose.
$(eval $(call control_flavour,build/asan,$(CC),$(san) -Wno-format-truncation))

build/migrations.c: control-plane/embed $(wildcard migrations/*.sql)
	@mkdir -p $(@D)
	@control-plane/embed migrations migration_t migrate.h $(sort $(filter %.sql,$^)) >$@

build/catalog.json: $(shell find catalog -name '*.json' 2>/dev/null) \
                    control-plane/relayctl_config.c | build/relayctl
	@build/relayctl catalog compile catalog >$@

build/relayctl: $(wildcard control-plane/relayctl*.c control-plane/*.h) build/librelay_core.a Makefile
	@echo "  $@"
	@$(CC) $(warn) $(harden) $(ldhard) $(control_flags) -o $@ \
	    $(filter %.c,$^) build/librelay_core.a $(control_libs)
	@ln -sf relayctl build/relay-translate

# The module is built by nginx's own build system, inside a copy of what the
# package nginx-dev brings: headers and flags of exactly this nginx. Another
# nginx version with an equal signature may still differ in its structures.

nginx_src := /usr/share/nginx/src
cc_opt    := -O2 -fPIC -fstack-protector-strong -Wformat -Werror=format-security -D_FORTIFY_SOURCE=2

build/module.key: FORCE
	@test -x $(nginx_src)/configure || \
	    { echo "relay: the package nginx-dev is not installed; run: make deps" >&2; exit 1; }
	@mkdir -p build
	@{ dpkg-query -W -f '$${Package} $${Version}\n' nginx-dev; echo '$(CC) $(cc_opt)'; \
	   ls ngx_relay_module/src/*.[ch] $(core)/*.h; \
	   cat ngx_relay_module/config $(core)/sources.mk; } >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

build/nginx-src/objs/Makefile: build/module.key
	@echo "configuring against $$(head -n 1 $<)"
	@rm -rf build/nginx-src
	@cp -r $(nginx_src) build/nginx-src
	@cd build/nginx-src && source ./conf_flags && \
	    ./configure "$${NGX_CONF_FLAGS[@]}" --with-cc='$(CC)' --with-cc-opt='$(cc_opt)' \
	        --with-ld-opt='$(ldhard)' --add-dynamic-module=../../ngx_relay_module \
	        >configure.log 2>&1 || { tail -n 5 configure.log >&2; exit 1; }

# Renamed into place: a running nginx keeps the file that it has mapped.
build/ngx_relay_module.so: build/nginx-src/objs/Makefile FORCE
	@$(MAKE) -s $(parallel) -C build/nginx-src -f objs/Makefile modules
	@cmp -s build/nginx-src/objs/ngx_relay_module.so $@ || \
	    { cp build/nginx-src/objs/ngx_relay_module.so $@.new && mv $@.new $@ && echo "built $@"; }

# The same sources against any other nginx: nothing is kept of it but the proof.
compat: ## compiles the module against NGINX_SRC=/path/to/nginx, CC=gcc or clang
	@test -n '$(NGINX_SRC)' || { echo 'usage: make compat NGINX_SRC=/path/to/nginx' >&2; exit 1; }
	@rm -rf build/compat && mkdir -p build/compat
	@cp -r '$(NGINX_SRC)' build/compat/nginx
	@cd build/compat/nginx && rm -rf objs Makefile && \
	    { test -x configure || ln -s auto/configure configure; } && \
	    ./configure --with-compat --with-debug --with-http_ssl_module --with-http_v2_module \
	        --with-threads --with-cc='$(CC)' --add-dynamic-module=../../../ngx_relay_module \
	        >configure.log 2>&1 || { tail -n 5 configure.log >&2; exit 1; }
	@$(MAKE) -s $(parallel) -C build/compat/nginx -f objs/Makefile modules
	@echo "compiles with $(CC) against nginx $$(sed -n 's/^#define NGINX_VERSION *"\(.*\)"/\1/p' \
	    build/compat/nginx/src/core/nginx.h)"

# ---- running -----------------------------------------------------------------

# ONLY=module runs nginx with the module alone, from config/relay.json.
launcher := docker/launcher/$(if $(filter module,$(ONLY)),relay,box)

run: ## starts Relay; RELAY_PORT=8080 RELAY_ADMIN_PORT=8081 RELAY_HOME=./.relay DETACH=1 ONLY=module
	@$(MAKE) -s deps
	@$(MAKE) -s build
	@exec $(launcher) start

stop: ## stops what `make run` started, streams first
	@$(launcher) stop

status: ## says whether it runs, and where
	@$(launcher) status

reset: ## deletes all that `make run` keeps, after asking
	@docker/launcher/box reset

catalog-check: ## checks the catalog against its schemas and itself
	@docker/launcher/packages perl libjson-validator-perl
	@catalog/check

# ---- testing -----------------------------------------------------------------

define unit_flavour
$(control_units:%=$(1)/unit/%): $(1)/unit/%: t/unit/%.c $(1)/librelay_control.a $(1)/librelay_core.a Makefile
	@mkdir -p $$(@D)
	@echo "  $$@"
	@$(CC) $(warn) $(2) $(control_flags) -MMD -MP -o $$@ $$< $(1)/librelay_control.a \
	    $(1)/librelay_core.a -lcmocka $(control_libs)

$(core_units:%=$(1)/unit/%): $(1)/unit/%: t/unit/%.c $(1)/librelay_core.a Makefile
	@mkdir -p $$(@D)
	@echo "  $$@"
	@$(CC) $(warn) $(2) -I$(core) -MMD -MP -o $$@ $$< $(1)/librelay_core.a -lcmocka -lcrypto

-include $(units:%=$(1)/unit/%.d)
endef

$(eval $(call unit_flavour,build,-O1 -g))
$(eval $(call unit_flavour,build/asan,$(san)))

build/fuzz/fuzz_%: t/fuzz/fuzz_%.c build/fuzz/librelay_core.a Makefile
	@mkdir -p $(@D)
	@echo "  $@"
	@$(CLANG) $(warn) $(san) -fsanitize=fuzzer -I$(core) -MMD -MP -o $@ $< \
	    build/fuzz/librelay_core.a -lcrypto

-include $(fuzzers:%=build/fuzz/%.d)

# Translates bodies by the thousand, for the table of fields.
define wire_flavour
$(1)/wire/translate: t/wire/translate.c $(1)/librelay_core.a Makefile
	@mkdir -p $$(@D)
	@echo "  $$@"
	@$(CC) $(warn) $(2) -I$(core) -MMD -MP -o $$@ $$< $(1)/librelay_core.a -lcrypto

-include $(1)/wire/translate.d
endef

$(eval $(call wire_flavour,build,-O1 -g))
$(eval $(call wire_flavour,build/asan,$(san)))

# Written aside first: half a table would be worse than an old one.
wire-table: build/wire/translate ## writes core/WIRE.md: what becomes of every field of every format
	@perl -It/lib t/wire/table >build/wire/WIRE.md
	@cp build/wire/WIRE.md $(core)/WIRE.md

sdk := $(if $(wildcard t/sdk/package.json),sdk)

t/sdk/node_modules/.package-lock.json: t/sdk/package-lock.json
	cd t/sdk && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

test: ## everything; the last line is the count
	@$(MAKE) -s test-deps
	@$(MAKE) -s $(parallel) test-programs
	@t/suite/run --out build/test unit valgrind fuzz e2e $(sdk) $(sdk:%=%-box)

.PHONY: test-programs
test-programs: build $(units:%=build/unit/%) $(fuzzers:%=build/fuzz/%) build/wire/translate \
               $(if $(sdk),t/sdk/node_modules/.package-lock.json)

unit: $(units:%=build/unit/%) ## the tests of core/ alone
	@t/suite/run --out build/test unit

lint: ## the walls between the parts, style, shell and Perl
	@docker/launcher/packages $(lint_packages)
	@t/lint/run

t/agents/node_modules/.package-lock.json: t/agents/package-lock.json
	cd t/agents && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

agents: build t/agents/node_modules/.package-lock.json ## Claude Code and Codex themselves (800 MB)
	@prove -I t/lib t/agents/real.t

fuzz: $(fuzzers:%=build/fuzz/%) ## each fuzz target for FUZZ_SECONDS=60
	@t/suite/fuzz $(FUZZ_SECONDS) $(fuzzers)

# nginx from Debian's source, the module inside it, all of it instrumented.
asan: ## unit and end-to-end tests under AddressSanitizer and UBSan
	@docker/launcher/packages $(asan_packages)
	@t/asan/nginx-source build/asan/nginx-src
	@$(MAKE) -s $(parallel) build/relayctl build/asan/relayd build/asan/nginx \
	    $(units:%=build/asan/unit/%) build/asan/wire/translate
	@source t/asan/options && RELAY_NGINX="$$PWD/build/asan/nginx" RELAY_MODULE=static \
	    RELAY_WIRE_TRANSLATE=build/asan/wire/translate \
	    RELAY_RELAYD="$$PWD/build/asan/relayd" \
	    t/suite/run --out build/asan/test --unit build/asan/unit unit e2e

build/asan/module.key: FORCE
	@mkdir -p build/asan
	@{ ls ngx_relay_module/src/*.[ch] $(core)/*.h; \
	   cat ngx_relay_module/config $(core)/sources.mk t/asan/configure; } >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

build/asan/nginx-src/objs/Makefile: build/asan/module.key
	@cd build/asan/nginx-src && ../../../t/asan/configure

build/asan/nginx: build/asan/nginx-src/objs/Makefile FORCE
	@$(MAKE) -s $(parallel) -C build/asan/nginx-src -f objs/Makefile binary
	@cp -u build/asan/nginx-src/objs/nginx $@

bench: ## Relay beside plain nginx and a direct connection
	@docker/launcher/packages $(bench_packages)
	@$(MAKE) -s build
	@t/bench/run

# ---- installing --------------------------------------------------------------

modules_path = $(shell nginx -V 2>&1 | sed -nE 's/.*--modules-path=([^ ]+).*/\1/p')
doc          := /usr/share/doc/relay

install: build ## the module into this machine's nginx; DESTDIR is honoured
	install -D -m 644 build/ngx_relay_module.so '$(DESTDIR)$(modules_path)/ngx_relay_module.so'
	install -D -m 755 build/relayctl '$(DESTDIR)/usr/bin/relayctl'
	ln -sf relayctl '$(DESTDIR)/usr/bin/relay-translate'
	install -D -m 755 build/relayd '$(DESTDIR)/usr/sbin/relayd'
	install -D -m 644 build/catalog.json '$(DESTDIR)/usr/share/relay/catalog.json'
	install -D -m 644 catalog/NOTICE '$(DESTDIR)$(doc)/CATALOG-NOTICE'
	install -d '$(DESTDIR)$(doc)/config'
	install -m 644 config/*.conf config/*.json '$(DESTDIR)$(doc)/config/'
	install -m 644 README.md LICENSE '$(DESTDIR)$(doc)/'
	install -m 644 ngx_relay_module/README.md '$(DESTDIR)$(doc)/MODULE.md'
	install -m 644 ngx_relay_module/CONFIG.md '$(DESTDIR)$(doc)/'
	@test ! -d '$(DESTDIR)/usr/share/nginx/modules-available' || \
	    echo 'load_module modules/ngx_relay_module.so;' \
	        >'$(DESTDIR)/usr/share/nginx/modules-available/mod-relay.conf'
	@echo 'Installed. The samples are in $(doc)/config; how to use them in an nginx of'
	@echo 'your own is in $(doc)/README.md, every directive in $(doc)/MODULE.md.'

clean: ## removes build/
	rm -rf build
