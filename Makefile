# Thin: each target is one obvious command.

.DEFAULT_GOAL := help
.PHONY: help demo run test conformance tokens otlp check-exports lint fmt bench load ci schema compose freeze-migrations clean

help: ## Lists the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)$$/\1\t\2/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "make %-18s %s\n", $$1, $$2 }'

demo: ## Serves with a sample of real data; installs PostgreSQL and Redis where missing
	@scripts/ensure-rust
	@scripts/ensure-servers demo
	cargo run --release --locked -- demo

run: ## Serves without the sample
	@scripts/ensure-rust
	@scripts/ensure-servers demo
	cargo run --release --locked

test: ## Runs every test; installs PostgreSQL and Redis where missing
	@scripts/ensure-rust
	@scripts/ensure-servers test
	cargo test --workspace --locked

conformance: ## Runs other projects' GraphQL clients and audits against the transport; needs Node
	@scripts/ensure-rust
	@scripts/ensure-servers test
	scripts/conformance

tokens: ## Has PyJWT and npm jose check our tokens by our published keys; needs Python and Node
	@scripts/ensure-rust
	@scripts/ensure-servers test
	scripts/check-tokens

otlp: ## Has OpenTelemetry's exporters for Python send us log records; needs Python
	@scripts/ensure-rust
	@scripts/ensure-servers test
	scripts/check-otlp

check-exports: ## Has DuckDB read exports of real data and compares them with the truth; needs Python
	@scripts/ensure-rust
	@scripts/ensure-servers test
	scripts/check-exports

lint: ## Checks format and lints, warnings being errors
	cargo fmt --all --check
	cargo fmt --manifest-path benches/peers/Cargo.toml --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

fmt: ## Formats the code
	cargo fmt --all
	cargo fmt --manifest-path benches/peers/Cargo.toml

bench: ## Measures what needs no arguments and prints the table of ratios
	@scripts/ensure-servers test
	cargo bench --locked --bench table

load: ## Asks a server of its own for a while and prints how it did; ARGS="--scenario s2 --users 1000" says what
	@scripts/ensure-rust
	@scripts/ensure-servers demo
	cargo build --release --locked --package daybook --package daybook-load
	target/release/daybook-load --server target/release/daybook $(ARGS)

ci: ## Runs what must hold before a change is merged
	.ci/run

schema: ## Writes schema.graphql from the code
	cargo run --locked --quiet -- schema > schema.graphql.new
	mv schema.graphql.new schema.graphql

compose: ## Builds and starts the production shape in containers
	docker compose up --build

freeze-migrations: ## Records the checksums of new migrations; frozen ones are never edited
	scripts/freeze-migrations

clean: ## Removes what was built; keeps the data in .daybook
	cargo clean
