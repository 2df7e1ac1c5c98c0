from benchmarks.report.sweeps import find


def test_doses_of_one_parameter_are_a_sweep() -> None:
    (sweep,) = find(["none", "mix:n=100", "mix:n=0", "mix:n=10", "lisa"])
    assert (sweep.name, sweep.parameter) == ("mix", "n")
    assert sweep.points == [(0, "mix:n=0"), (10, "mix:n=10"), (100, "mix:n=100")]


def test_everything_else_stays_the_same_in_a_sweep() -> None:
    names = ["cap+mix:n=1,order=static", "cap+mix:n=2,order=static", "mix:n=3,order=static"]
    (sweep,) = find(names)
    assert [dose for dose, _ in sweep.points] == [1, 2]
    assert sweep.name == "cap+mix:order=static"


def test_a_single_dose_words_and_foreign_names_are_no_sweep() -> None:
    assert (
        find(["mix:n=1", "mix:order=static", "mix:order=interleaved", "<b> = (", "x:n=inf"]) == []
    )


def test_two_parameters_that_vary_are_two_families() -> None:
    sweeps = find(["mix:n=1,k=1", "mix:n=2,k=1", "mix:n=1,k=2"])
    assert [(s.name, s.parameter, len(s.points)) for s in sweeps] == [
        ("mix:k=1", "n", 2),
        ("mix:n=1", "k", 2),
    ]
