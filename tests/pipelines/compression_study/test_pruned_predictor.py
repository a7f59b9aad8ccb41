import pandas as pd
import pytest

from pipelines.compression_study.pruned_predictor import chosen_row

DENSE = {
    "validation_f1": 0.7,
    "validation_f1_at_threshold": 0.72,
    "validation_cross_entropy": 0.65,
}


def row(sparsity, f1=0.7, at_threshold=0.72, cross_entropy=0.65):
    return {
        "sparsity": sparsity,
        "validation_f1": f1,
        "validation_f1_at_threshold": at_threshold,
        "validation_cross_entropy": cross_entropy,
        "validation_log_likelihood": -cross_entropy,
    }


def chosen(*rows):
    return chosen_row([pd.DataFrame(rows)], DENSE)["sparsity"]


@pytest.mark.parametrize(
    "worse", [{"f1": 0.697}, {"at_threshold": 0.717}, {"cross_entropy": 0.6525}]
)
def test_the_sparsest_is_chosen_that_is_hardly_worse_in_all(worse):
    assert chosen(row(0.5), row(0.9, f1=0.699, cross_entropy=0.6515), row(0.95, **worse)) == 0.9


def test_better_figures_are_no_reason_against_a_network():
    assert chosen(row(0.5), row(0.95, f1=0.8, at_threshold=0.8, cross_entropy=0.6)) == 0.95


def test_of_equally_sparse_ones_the_likeliest_is_chosen():
    rows = pd.DataFrame([row(0.9, cross_entropy=0.651), row(0.9, cross_entropy=0.649)])
    assert chosen_row([rows], DENSE)["validation_cross_entropy"] == 0.649


def test_where_all_are_worse_the_likeliest_is_chosen():
    assert chosen(row(0.5, cross_entropy=0.66), row(0.8, f1=0.1, cross_entropy=0.655)) == 0.8


def test_it_is_told_which_table_the_network_is_of():
    tables = [pd.DataFrame([row(0.5)]), pd.DataFrame([row(0.8), row(0.9)])]
    assert chosen_row(tables, DENSE)["frame"] == 1
