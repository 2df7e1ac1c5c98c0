# What `make check` runs is what must be green at every commit on main.
.PHONY: check lint types layers test format speed

check: lint types layers test

lint:
	ruff check .
	ruff format --check .

types:
	mypy
	mypy cli.py

layers:
	PYTHONPATH=. lint-imports --no-cache

test:
	pytest -n 2

format:
	ruff check --fix .
	ruff format .

speed:
	python benchmarks/speed/run.py
