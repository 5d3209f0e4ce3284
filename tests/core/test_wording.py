"""How Loupe writes numbers: never more certain than they are, and never on two lines."""

import pytest

from core.wording import (
    THIN,
    all_tensors,
    clauses,
    cosine,
    count,
    counted,
    duration,
    in_percent,
    listed,
    parameters,
    part_of,
    pass_time,
    percent,
    place_in_file,
    probability_text,
    shape,
    size,
    small,
)


def spaced(text: str) -> str:
    """The text with `_` where it has a thin space."""
    return text.replace(THIN, "_")


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (999, "999"), (1000, "1_000"), (11_689_512, "11_689_512")]
)
def test_a_whole_number_is_exact_and_its_thousands_stand_apart(number: int, text: str) -> None:
    assert spaced(count(number)) == text


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0_B"),
        (999, "999_B"),
        (1000, "1.00_kB"),
        (9_994, "9.99_kB"),
        (9_996, "10.0_kB"),
        (99_960, "100_kB"),
        (999_499, "999_kB"),
        (999_500, "1.00_MB"),
        (44_700_000, "44.7_MB"),
        (5_000_000_000_000_000, "5000_TB"),
    ],
)
def test_a_size_has_three_digits_and_the_next_unit_at_a_thousand(nbytes: int, text: str) -> None:
    assert spaced(size(nbytes)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00_ms"),
        (1e-6, "under 0.01_ms"),
        (0.000_12, "0.12_ms"),
        (0.0123, "12.3_ms"),
        (0.9994, "999_ms"),
        (1.52, "1.52_s"),
    ],
)
def test_the_time_of_a_forward_pass_has_three_digits(seconds: float, text: str) -> None:
    assert spaced(pass_time(seconds)) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(9_999, "9_999"), (10_000, "10.00_k"), (999_500, "1.00_M"), (11_689_512, "11.69_M")],
)
def test_parameters_are_exact_below_ten_thousand(number: int, text: str) -> None:
    assert spaced(parameters(number)) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0_%"),
        (1e-9, "under 0.1_%"),
        (0.032, "3.2_%"),
        (0.41, "41_%"),
        (0.98765, "99_%"),
        (0.9951, "99.5_%"),
        (1 - 1e-9, "over 99.9_%"),
        (1.0, "100_%"),
        (1 + 1e-9, "over 100_%"),
        (2.5, "250_%"),
    ],
)
def test_a_share_reads_0_or_100_percent_only_if_it_is_exactly_that(share: float, text: str) -> None:
    assert spaced(percent(share)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (1 - 1e-12, "over 0.9999"),
        (0.99, "0.99"),
        (0.9951, "0.9951"),
        (0.001, "0.00"),
        (-0.5, "−0.50"),
        (-1.0, "−1"),
    ],
)
def test_a_cosine_reads_1_only_if_it_is_exactly_that(value: float, text: str) -> None:
    assert cosine(value) == text


def test_a_table_reads_0_or_100_percent_only_if_it_is_exactly_that() -> None:
    shares = (0, 1e-9, 0.123456, 1 - 1e-9, 1, 1.0004, 1.004, 2.5)
    assert [in_percent(share) for share in shares] == [0, 1e-7, 12.3, 99.9, 100, 100.1, 100.4, 250]


def test_shares_side_by_side_have_a_decimal_so_that_near_ones_differ() -> None:
    shares = (0, 1e-9, 0.5, 0.9818, 0.9842, 1 - 1e-9, 1, 2.5)
    assert [spaced(percent(share, decimal=True)) for share in shares] == [
        *("0_%", "under 0.1_%", "50.0_%", "98.2_%", "98.4_%", "over 99.9_%", "100_%", "250_%")
    ]


def test_probabilities_keep_two_digits_so_that_near_ones_differ() -> None:
    assert [spaced(probability_text(value)) for value in (0.6191, 0.6188, 0.0)] == [
        *("61.91_%", "61.88_%", "0.00_%")
    ]


def test_small_numbers_have_two_digits() -> None:
    assert [small(number) for number in (3.4123e-7, 0.01234, 2.0)] == ["3.4e-7", "0.012", "2"]
    assert [small(number, 3) for number in (4512.3, 511, 0.0)] == ["4.51e3", "511", "0"]


def test_a_shape_is_its_sizes_and_without_dimensions_a_scalar() -> None:
    assert shape((64, 3, 7, 7)) == "64 × 3 × 7 × 7"
    assert shape((0,)) == "0"
    assert shape(()) == "scalar"


def test_a_duration_is_in_the_units_of_a_clock() -> None:
    assert [spaced(duration(seconds)) for seconds in (0, 0.4, 59.4, 59.6, 125, 4200)] == [
        *("0_s", "1_s", "59_s", "1_min 0_s", "2_min 5_s", "1_h 10_min")
    ]


def test_nouns_follow_their_number() -> None:
    assert [counted(number, "key") for number in (0, 1, 2)] == ["0 keys", "1 key", "2 keys"]
    assert counted(2, "matrix") == "2 matrices"
    assert counted(2, "more batch") == "2 more batches"
    assert [all_tensors(number) for number in (1, 122)] == ["the one tensor", "all 122 tensors"]


def test_a_state_dict_without_a_path_is_the_file_itself() -> None:
    assert [place_in_file(path) for path in ("", "model.ema")] == ["the file itself", "model.ema"]


def test_a_list_names_three_and_counts_the_rest() -> None:
    names = ["a", "b", "c", "d"]
    assert [listed(names[:end]) for end in (0, 1, 2, 3)] == ["", "a", "a and b", "a, b and c"]
    assert listed(names) == "a, b, c and 1 more"
    assert spaced(listed(names * 500)) == "a, b, c and 1_997 more"


def test_a_part_of_one_thing_is_no_plural() -> None:
    assert part_of(1, 3, "shard") == "1 of the 3 shards is"
    assert part_of(2, 3, "entry", "its") == "2 of its 3 entries are"
    assert part_of(0, 3, "shard") == "0 of the 3 shards are"
    assert part_of(1, 1, "shard") == "The one shard is"
    assert part_of(0, 1, "entry", "its") == "Its one entry is not"


def test_clauses_are_one_sentence_that_begins_with_a_capital():
    assert clauses(["cosine 0.99", "epoch 2 → 40"]) == "Cosine 0.99; epoch 2 → 40."
    assert clauses([]) == ""
