# What `make check` runs is what must be green at every commit on main.
.PHONY: check lint types layers test slow format speed

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
	pytest -n 2 --dist loadfile

slow:
	pytest -m slow

format:
	ruff check --fix .
	ruff format .

speed:
	python benchmarks/speed/run.py
	python benchmarks/speed/gates.py
