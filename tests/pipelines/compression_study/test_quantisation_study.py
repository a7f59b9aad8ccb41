import pandas as pd
import pytest

from pipelines.compression_study.quantisation import with_chosen_damping


def row(damping, seed, held_out, test):
    return {
        **{"method": "fishleg", "sparsity": 0.0, "bits": 4, "damping": damping, "seed": seed},
        **{"held_out_accuracy": held_out, "test_accuracy": test},
    }


def test_dampings_are_chosen_by_held_out_images_alone():
    rows = pd.DataFrame(
        [
            *(row(0.1, 0, 0.90, 0.95), row(0.1, 1, 0.92, 0.97)),
            *(row(0.2, 0, 0.93, 0.91), row(0.2, 1, 0.91, 0.89)),
            {**row(0.1, 0, 0.5, 0.6), "bits": 2},
        ]
    )
    chosen = with_chosen_damping(rows).set_index("bits")
    assert chosen.loc[4, "damping"] == 0.2
    assert chosen.loc[4, "test_accuracy"] == pytest.approx(0.9)
    assert chosen.loc[4, "deviation"] == pytest.approx(0.02 / 2**0.5)
    assert chosen.loc[2, "test_accuracy"] == pytest.approx(0.6)
    assert pd.isna(chosen.loc[2, "deviation"])
