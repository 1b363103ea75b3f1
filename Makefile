.PHONY: install lint types test slow ci

install:
	python -m pip install -e ".[dev]"
lint:
	ruff check . && ruff format --check .
types:
	mypy
test:
	python -m pytest -n auto
slow:
	python -m pytest -n auto -m slow
ci:
	.ci/run
