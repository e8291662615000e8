# Everything that is done with this project, by name. `make help` lists it.
.DEFAULT_GOAL := help
.PHONY: help setup build server server-deb demo test calls lint fuzz bench soak sim swarm texts
.PHONY: cross cross-test cross-bench sizes router-test feed package package-check image-overlay

CARGO := scripts/cargo
FEATURES := lab,server

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 15

setup: ## install what building and testing needs (Debian packages; as root)
	scripts/setup.sh

build: ## the daemon and the lab, optimized: target/release/cosip, cosip-lab
	$(CARGO) build --locked --release --features lab

server: ## the provider's program, optimized: target/release/cosip-server
	$(CARGO) build --locked --release --features server --bin cosip-server

server-deb: server ## the same as a Debian package -> dist
	scripts/server-deb.sh

demo: build ## calls through a server that fails -> target/demo [SERVER=kamailio]
	target/release/cosip-lab demo $(if $(SERVER),--server $(SERVER))

test: ## every test that this machine can run [ONLY=pattern]
	ONLY='$(ONLY)' scripts/test.sh

calls: ## whole calls from seeds: CALLS random ones, ROUNDS times a server that fails anywhere
	COSIP_CALLS=$(or $(CALLS),10000) COSIP_SWEEP=$(or $(ROUNDS),200) \
		$(CARGO) test --locked --features $(FEATURES) --test calls sim:: -- --nocapture

lint: ## format, clippy and documentation, all without a warning
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --all-targets --features $(FEATURES) -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps --features $(FEATURES)

fuzz: ## hostile input into every parser, for a bounded time [SECONDS=60] [ONLY=target]
	SECONDS_EACH='$(SECONDS)' ONLY='$(ONLY)' scripts/fuzz.sh

bench: build ## what adapters cost a call, and what they save -> target/bench [ONLY=floods,..]
	target/release/cosip-lab bench $(if $(ONLY),--only $(ONLY))

soak: build ## an hour of calls while phones move and the server dies -> target/soak [SECONDS=3600]
	target/release/cosip-lab soak $(if $(SECONDS),--seconds $(SECONDS))

sim: ## thousands of routers over virtual time [ROUTERS=N,.. SEED=.. SCENARIO=A,.. CERTIFIED=1]
	$(CARGO) build --locked --profile sim --features lab --bin cosip-lab
	target/sim/cosip-lab sim --routers $(or $(ROUTERS),1000) --seed $(or $(SEED),1) \
		$(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(CERTIFIED),--certified)

swarm: build ## real routers beside simulated ones [PROCESSES=200 DELAY=20 BESIDE=opendht]
	$(if $(BESIDE),scripts/setup.sh $(BESIDE))
	target/release/cosip-lab swarm --processes $(or $(PROCESSES),200) \
		--delay-ms $(or $(DELAY),20) $(if $(BESIDE),--beside $(BESIDE))

cross: ## the daemon for routers, four processors -> target/cross/TRIPLE/cosip [TRIPLES=..]
	cross/build $(TRIPLES)

cross-test: ## the cores on emulated routers, and calls between one of them and this machine
	cross/test

cross-bench: ## emulated routers: first calls, floods, puts -> target/cross/bench
	cross/bench

sizes: ## how large the routers' programs are, and of what crates [TRIPLES=..]
	cross/sizes $(TRIPLES)

router-test: build ## calls through routers that qemu plays: their memory and start [TRIPLES=..]
	cross/router-test $(TRIPLES)

package: $(if $(BINARY)$(CROSS),,cross) ## what routers install, from target/cross -> dist
	scripts/package.sh

package-check: ## packages built in two folders: same bytes, they run, small enough
	scripts/package-check.sh

feed: ## what is handed in to OpenWrt -> dist/feed [RELEASE_URL=.. MAINTAINER=..]
	RELEASE_URL='$(RELEASE_URL)' MAINTAINER='$(MAINTAINER)' scripts/feed.sh

image-overlay: $(if $(COSIP),,build) ## a provider's files for ImageBuilder [PROVIDER=.. SECRET=..]
	PROVIDER='$(PROVIDER)' SECRET='$(SECRET)' COSIP='$(COSIP)' scripts/image-overlay.sh

texts: ## what the web pages take from the options and from their own scripts
	$(CARGO) build --locked
	mkdir -p target/tools/luci
	cp tests/luci/package.json tests/luci/package-lock.json target/tools/luci
	npm --prefix target/tools/luci install --ignore-scripts --no-audit --no-fund
	node tests/luci/texts.mjs target/debug/cosip
