# What a developer does here. Needs Rust, a C compiler and make; PostgreSQL and Redis are installed where that is possible.

PORT ?= 8080
SIZE ?= small
SEED ?= 1
URL ?= http://127.0.0.1:$(PORT)
BIN = target/debug/lianxin
# Nothing from a shell that happens to point at a real installation leaks into tests.
OWN = env -u DATABASE_URL -u DATABASE_OWNER_URL -u REDIS_URL -u LIANXIN_CONFIG LIANXIN_MODE=development

.PHONY: run county demo test interop bench gate openapi schema services

## Everything in one process, with private databases and the sample county, on http://127.0.0.1:8080 (PORT=… for another).
run: services
	cargo build --quiet
	@LIANXIN_MODE=development LOG_FORMAT=$${LOG_FORMAT:-pretty} PORT=$(PORT) exec $(BIN) run

## Fills the county of `make run` with people and appointments that look real: SIZE=small, medium, large or a number of residents,
## SEED=… for another county. While `make run` is stopped, for it keeps its databases to itself; once per database, which is the
## folder .lianxin: remove it to begin anew.
county: services
	cargo build --quiet
	@LIANXIN_MODE=development LOG=$${LOG:-info} LOG_FORMAT=$${LOG_FORMAT:-pretty} $(BIN) generate --size $(SIZE) --seed $(SEED)

## Plays the story against a running `make run` and prints each request and answer.
demo:
	cargo run --quiet --example demo -- $(URL)

## All tests: units, and black-box tests over HTTP on real PostgreSQL and Redis.
test: services
	cargo build --quiet
	@$(OWN) LIANXIN_DATA=.lianxin/test LOG=error $(BIN) with-services -- sh scripts/test.sh $(ARGS)

## Official clients of standards against a server of this build: tus-js-client, from the npm registry, over a line that is cut at
## random, once with attachments in a folder and once in an S3-compatible store (s3rver, which checks signatures). SEED=… for other moments.
interop: services
	sh scripts/node.sh
	cargo build --quiet
	@$(OWN) LIANXIN_DATA=.lianxin/interop LOG=error SEED=$(SEED) $(BIN) with-services -- sh scripts/interop.sh

## Measures endpoints against pgbench and a constant handler in one run; ratios go to benches/results.md. ONLY=hot, ONLY=history, ONLY=errands, ONLY=orders or ONLY=visits
## measures that part alone and keeps nothing.
bench: services
	cargo build --quiet --release
	@$(OWN) LIANXIN_DATA=.lianxin/bench LOG=warn target/release/lianxin with-services -- cargo bench --quiet --bench http

## What must hold before a commit: format, lints, documentation, migrations both ways, document in step.
gate: services
	sh scripts/gate.sh

## Writes the OpenAPI document.
openapi:
	cargo build --quiet
	$(BIN) openapi > openapi/lianxin.json

## Writes src/db/schema.rs from the migrations; needs `cargo install diesel_cli --no-default-features --features postgres`.
schema: services
	cargo build --quiet
	@$(OWN) LIANXIN_DATA=.lianxin/gate $(BIN) with-services -- sh -c '$(BIN) migrate && diesel print-schema --database-url "$$DATABASE_OWNER_URL" > src/db/schema.rs'

services:
	@sh scripts/services.sh
