# A bare clone needs python3 >= 3.11, pip and make. The Makefile installs uv from PyPI into .local/.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

UV_VERSION := $(shell sed -n 's/^uv==\([^ ]*\).*/\1/p' requirements-uv.txt)
CODEGEN_GRPCIO_TOOLS_VERSION := 1.76.0
CODEGEN_MYPY_PROTOBUF_VERSION := 5.1.0

# PYTHON=3.13, or a path, uses another Python than python3, in a separate environment.
PYTHON :=
VENV := $(if $(PYTHON),.local/venv-$(notdir $(PYTHON)),.venv)
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := $(VENV)
$(if $(PYTHON),$(eval export UV_PYTHON := $(PYTHON)))
# Set in the caller's environment, it has each process compile Feast again: 6 of the 10 s of CPU of one that imports it.
unexport PYTHONDONTWRITEBYTECODE
UV := .local/tools/bin/uv
RUN := $(UV) run --locked --quiet
CODEGEN := streamflow-features codegen feature_repo/contract.json --out examples/python/streamflow_services.py
PROTOS := $(sort $(wildcard protos/streamflow/features/v1/*.proto))
FEAST_PROTOS := $(sort $(wildcard protos/feast/*/*.proto))

.PHONY: help
help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{ printf "make %-12s %s\n", $$1, $$2 }'

$(UV):
	@echo "installing uv $(UV_VERSION) into .local/tools"
	@mkdir -p .local
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "python3 is older than 3.11: install a newer one")'
	@python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --upgrade --target .local/tools --require-hashes --requirement requirements-uv.txt >.local/uv-install.log 2>&1 \
		|| { cat .local/uv-install.log; exit 1; }

.PHONY: install
install: $(UV) ## Install everything of the lock into .venv
	@test -x $(VENV)/bin/python || { echo "installing the packages of uv.lock into $(VENV)"; $(UV) sync --locked; }
	@$(UV) sync --locked --quiet

.PHONY: up
up: install ## Start the whole stack; DATA=DIR loads month folders of your own, FEATURE_REPO=DIR serves any Feast repository, SECURE=1 has TLS and tokens
	@$(RUN) local up $(if $(DATA),--data "$(DATA)") $(if $(FEATURE_REPO),--feature-repo "$(FEATURE_REPO)") $(if $(SECURE),--secure)

.PHONY: down
down: install ## Stop the stack and keep its data
	@$(RUN) local down

.PHONY: status
status: install ## Show each process with pid, port and health; JSON=1 for programs
	@$(RUN) local status $(if $(JSON),--json)

.PHONY: watch
watch: install ## Show the processes and what the gateway does, live; ARGS=--once prints it once
	@$(RUN) local watch $(ARGS)

.PHONY: training-set
training-set: install ## Build a training set from the stack's PostgreSQL; ARGS=--overwrite and other options
	@env=$${STREAMFLOW_STATE:-.local}/env; test -f $$env || { echo "no stack has run here; start one with make up"; exit 1; }
	@. $${STREAMFLOW_STATE:-.local}/env && $(RUN) offline training-set --out $${STREAMFLOW_STATE:-.local}/training-set $(ARGS)

.PHONY: audit
audit: install ## Compare what the gateway serves with what training reads; ARGS=--all and other options
	@env=$${STREAMFLOW_STATE:-.local}/env; test -f $$env || { echo "no stack has run here; start one with make up"; exit 1; }
	@. $${STREAMFLOW_STATE:-.local}/env && $(RUN) offline audit-skew $(ARGS)

SECRETS := postgres_password postgres_definitions_password postgres_jobs_password postgres_reader_password \
	redis_admin_password redis_reader_password redis_writer_password

.PHONY: secrets
secrets: ## Write missing passwords for docker-compose.yml into .local/secrets
	@install -d -m 700 .local/secrets
	@# Only the owner can open the folder. The containers mount the files and read them as other users.
	@for name in $(SECRETS); do \
		test -s .local/secrets/$$name || python3 -c 'import secrets; print(secrets.token_urlsafe(24))' >.local/secrets/$$name; \
		chmod 444 .local/secrets/$$name; \
	done

# Of two cores. `make test` takes a third process, because tests wait for the processes that they start; slow tests measure
# time. streamflow_local.testing_order says which tests share a process.
PROCESSES := 2
test: PROCESSES := 3
# Tests run make, which ARGS of this run would reach otherwise.
PYTEST = env -u ARGS -u MAKEFLAGS -u MAKEOVERRIDES $(RUN) pytest --numprocesses $(PROCESSES) --dist loadgroup --no-loadscope-reorder

.PHONY: test
test: install ## Lint, types and all tests that are not slow; PYTHON=3.13 for another Python
	@# Lint runs beside the tests, and says what it has found at the start of the output.
	@$(MAKE) --no-print-directory lint & lint=$$!; failed=0; \
		$(PYTEST) $(ARGS) || failed=$$?; wait $$lint || failed=$$?; exit $$failed

.PHONY: test-slow
test-slow: install ## The slow tests: drill, soak, Redis Cluster, Spark, manifests as processes, containers, the native engine
	@$(PYTEST) -m slow $(ARGS)
	@TEST_GRPC_ENGINE=native TEST_FEATURE_SERVER=rows $(PYTEST) -m "slow or not slow" gateway

.PHONY: fuzz
fuzz: install ## 100,000 malformed inputs of each kind; FUZZ_REQUESTS=N for another number, FUZZ_SEED=N for other ones
	@FUZZ_REQUESTS=$${FUZZ_REQUESTS:-100000} $(RUN) pytest -q --timeout=0 $(wildcard */tests/test_fuzz*.py) $(ARGS)

.PHONY: bench
bench: install ## Measure the gateway beside Feast's own servers; ARGS=--quick for a short run
	@$(RUN) bench --out $${STREAMFLOW_STATE:-.local}/bench $(ARGS)

.PHONY: load
load: install ## Load the running stack with locust; ARGS="--scenario spike --rate 500" and other options
	@env=$${STREAMFLOW_STATE:-.local}/env; test -f $$env || { echo "no stack has run here; start one with make up"; exit 1; }
	@. $${STREAMFLOW_STATE:-.local}/env && $(RUN) load $(ARGS)

.PHONY: drill
drill: install ## Inject faults into a stack of its own under load, and check what calls get
	@$(RUN) drill $(ARGS)

.PHONY: soak
soak: install ## Load a stack of its own for 30 minutes while replicas are replaced; ARGS="--minutes 3" for less
	@$(RUN) soak $(ARGS)

.PHONY: uv-hashes
uv-hashes: $(UV) ## Write requirements-uv.txt, which pins uv by hash, for UV_VERSION=
	@printf '%s\n' '# What installs uv, by hash: the Makefile and the images. Write it again with: make uv-hashes UV_VERSION=VERSION' >.local/requirements-uv.txt
	@echo uv==$(UV_VERSION) | $(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate - >>.local/requirements-uv.txt
	@mv .local/requirements-uv.txt requirements-uv.txt

define sbom_of
	@$(UV) export --quiet --locked --no-dev --package $(2) --format cyclonedx1.5 --preview-features sbom-export \
		--output-file .local/sbom/$(1).cdx.json >/dev/null
endef

.PHONY: sbom
sbom: $(UV) ## Write what each image is made of to .local/sbom, as CycloneDX
	@mkdir -p .local/sbom
	$(call sbom_of,gateway,feature-gateway --extra native --extra tracing)
	$(call sbom_of,feast,streamflow-offline --extra tracing)
	$(call sbom_of,loadtests,streamflow-loadtests)

# uv exits with 1 when it has found faults, and with 2 when it could not look.
.PHONY: known-faults
known-faults: $(UV) ## Look for known vulnerabilities of what the lock has, where the database (osv.dev) can be reached
	@failed=0; $(UV) audit --locked --preview-features audit-command $(ARGS) >.local/known-faults.log 2>&1 || failed=$$?; \
		if test $$failed = 2 && grep -q 'error sending request\|Request failed\|HTTP status' .local/known-faults.log; then \
			echo "known-faults: skipped, because the database can't be reached"; \
		else cat .local/known-faults.log; exit $$failed; fi

.PHONY: check
check: lint ## Lint and types, without the tests
	@$(RUN) mypy --no-error-summary

.PHONY: lint
lint: install ## Format, lint, import contracts, protos, generated code, contract
	@$(RUN) ruff format --check --quiet
	@$(RUN) ruff check --quiet
	@$(RUN) lint-imports --no-logo --cache-dir .local/import-linter >.local/import-linter.log || { cat .local/import-linter.log; exit 1; }
	@$(RUN) python -m streamflow_repo.contract --check
	@$(RUN) $(CODEGEN) --check
	@$(RUN) python clients/python/tools/reference.py --check
	@$(RUN) buf lint protos
	@$(RUN) buf format --diff --exit-code protos
	@$(RUN) python protos/tools/check_breaking.py
	@$(MAKE) --no-print-directory generated-check

.PHONY: fix
fix: install ## Format, fix what lint can fix, and write the reference of the Python client
	@$(RUN) ruff format --quiet
	@$(RUN) ruff check --fix --quiet || true
	@$(RUN) buf format --write protos
	@$(RUN) python clients/python/tools/reference.py

.PHONY: contract
contract: install ## Write feature_repo/contract.json from the definitions, and typed features from the contract
	@$(RUN) python -m streamflow_repo.contract
	@$(RUN) $(CODEGEN)

# An isolated environment with an old generator. Generated code rejects runtimes older than its generator, and clients
# also use grpcio 1.76 and protobuf 6.31.
GENERATE = $(UV) run --quiet --isolated --no-project \
	--with grpcio-tools==$(CODEGEN_GRPCIO_TOOLS_VERSION) --with mypy-protobuf==$(CODEGEN_MYPY_PROTOBUF_VERSION) \
	python -m grpc_tools.protoc -I protos

define generate_into
	@$(GENERATE) --python_out=$(1) --mypy_out=quiet:$(1) $(PROTOS)
	@$(GENERATE) --grpc_python_out=$(1) --mypy_grpc_out=quiet:$(1) protos/streamflow/features/v1/user_feature_service.proto
	@$(GENERATE) --python_out=$(1)/streamflow/features --mypy_out=quiet:$(1)/streamflow/features $(FEAST_PROTOS)
	@$(GENERATE) --grpc_python_out=$(1)/streamflow/features --mypy_grpc_out=quiet:$(1)/streamflow/features protos/feast/serving/ServingService.proto
	@python3 protos/tools/private_pool.py $(1)/streamflow/features/feast
endef

.PHONY: generate
generate: $(UV) ## Generate protos/gen from the protos
	$(call generate_into,protos/gen)

.PHONY: generated-check
generated-check: $(UV)
	@rm -rf .local/gen && mkdir -p .local/gen
	$(call generate_into,.local/gen)
	@diff -r -x __pycache__ -x __init__.py -x py.typed .local/gen protos/gen \
		|| { echo "protos/gen differs from the protos; write it again with make generate"; exit 1; }
	@rm -rf .local/gen
