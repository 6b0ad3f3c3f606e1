# `make demo` and `make test` do all the set-up they need; see README.md.
SHELL := bash
CARGO := PATH="$$HOME/.cargo/bin:$$PATH" cargo

.PHONY: demo test test-pg17 lint renew deny advisories bench install-demo install-test

demo: install-demo
	$(CARGO) build --locked --package runbook
	scripts/demo

# Most tests wait for servers that they started: two at a time on each core.
test: export RUST_TEST_THREADS ?= $(shell echo $$((2 * $$(nproc))))
test: install-test lint
	$(CARGO) test --locked --workspace --no-fail-fast

# Incremental base backups of a real server: they came with PostgreSQL 17.
test-pg17:
	@test -x /usr/lib/postgresql/17/bin/postgres || { \
	  echo "PostgreSQL 17 is needed: add https://apt.postgresql.org (apt-get install postgresql-common;" \
	       "/usr/share/postgresql-common/pgdg/apt.postgresql.org.sh), then apt-get install postgresql-17"; exit 1; }
	PATH="/usr/lib/postgresql/17/bin:$$PATH" $(CARGO) test --locked --features pg17 --test e2e pg17::

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --workspace --all-targets -- --deny warnings
	scripts/check-layers

# Everything that is made from the sources: the schema, `docs/steps`, `docs/errors`.
renew:
	$(CARGO) build --locked --quiet
	target/debug/runbook schema > schemas/runbook.schema.json
	SNAPSHOTS=overwrite $(CARGO) test --locked --quiet --test pages

# Licences, banned crates and sources: whenever `Cargo.lock` changes.
deny:
	command -v cargo-deny >/dev/null || $(CARGO) install --locked --quiet cargo-deny
	$(CARGO) deny --locked check bans licenses sources

# Known vulnerabilities; needs the advisory database, so not part of `make test`.
advisories:
	$(CARGO) deny check advisories

bench: install-test
	$(CARGO) bench --locked --bench performance

install-demo:
	scripts/install demo

install-test:
	scripts/install test
