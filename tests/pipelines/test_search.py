import math
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from data.validation import InputError
from pipelines.search import Evaluation, Search, open_storage
from returns.models.search_space import Choice, FloatRange, IntegerRange

SPACE = {
    "rate": FloatRange(1e-3, 1.0, log=True),
    "width": IntegerRange(1, 64, log=True),
    "share": FloatRange(0.0, 1.0),
    "kind": Choice(("mean", "max")),
}
DEFAULTS = {"rate": 0.1, "width": 8, "share": 0.5, "kind": "mean"}

KILLED_IN_ITS_THIRD_TRIAL = """
import os, signal, sys
from pathlib import Path
from tests_of_search import DEFAULTS, SPACE, evaluate
from pipelines.search import Search, open_storage

def killed(chosen):
    os.kill(os.getpid(), signal.SIGKILL)

with open_storage(Path(sys.argv[1])) as storage:
    search = Search(storage, "model", SPACE, DEFAULTS, 0)
    for objective in (evaluate, evaluate, killed):
        search.next_trial(objective)
"""


def evaluate(chosen):
    """A smooth bowl with its bottom away from the defaults."""
    loss = math.log10(chosen["rate"] / 0.01) ** 2 + (chosen["width"] / 32 - 1) ** 2
    loss += chosen["share"] ** 2 + (chosen["kind"] == "mean")
    return Evaluation(loss, 0.25)


def searched(database, number, space=SPACE, defaults=DEFAULTS, name="model", seed=0):
    """The trials of a search after that number of further ones, in a connection of its own."""
    with open_storage(database) as storage:
        search = Search(storage, name, space, defaults, seed)
        for _ in range(number):
            search.next_trial(evaluate)
        return search.trials()


def states(database):
    with sqlite3.connect(database) as connection:
        return [state for (state,) in connection.execute("select state from trials")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search without an interruption."""
    return searched(tmp_path_factory.mktemp("search") / "tuning.db", 24)


def test_the_first_trial_is_the_defaults_and_all_lie_in_their_ranges(whole):
    assert whole[0].hyperparameters == DEFAULTS
    for position, trial in enumerate(whole):
        assert trial.position == position
        assert trial.evaluation == evaluate(trial.hyperparameters)
        assert set(trial.hyperparameters) == set(SPACE)
        assert all(trial.hyperparameters[name] in SPACE[name] for name in SPACE)
        assert type(trial.hyperparameters["width"]) is int
    assert len({trial.hyperparameters["rate"] for trial in whole}) == 24


def test_it_finds_better_than_the_defaults_and_than_chance(whole):
    losses = [trial.evaluation.loss for trial in whole]
    assert min(losses) < losses[0] / 2
    assert sum(losses[-10:]) < sum(losses[:10])


def test_a_search_in_pieces_tries_what_a_search_in_one_go_tries(tmp_path, whole):
    for piece in (1, 4, 0, 6, 3):
        pieces = searched(tmp_path / "pieces.db", piece)
    assert pieces == whole[:14]


def test_another_seed_tries_others(tmp_path):
    first = searched(tmp_path / "tuning.db", 3, name="first", seed=0)
    other = searched(tmp_path / "tuning.db", 3, name="other", seed=1)
    assert first[0] == other[0]
    assert first[1:] != other[1:]


def test_an_interrupted_trial_is_given_up_and_tried_again(tmp_path, whole):
    database = tmp_path / "tuning.db"

    def interrupted(chosen):
        raise KeyboardInterrupt

    with open_storage(database) as storage:
        search = Search(storage, "model", SPACE, DEFAULTS, 0)
        for objective in (interrupted, evaluate, interrupted, evaluate):
            if objective is evaluate:
                search.next_trial(objective)
            else:
                with pytest.raises(KeyboardInterrupt):
                    search.next_trial(objective)
        assert len(search.trials()) == 2
    assert states(database) == ["FAIL", "COMPLETE", "FAIL", "COMPLETE"]
    assert searched(database, 10) == whole[:12]


def test_a_killed_search_loses_only_the_trial_it_was_at(tmp_path, whole):
    database = tmp_path / "tuning.db"
    (tmp_path / "tests_of_search.py").write_bytes(Path(__file__).read_bytes())
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", KILLED_IN_ITS_THIRD_TRIAL, str(database)]
    assert subprocess.run(command, env=environment, check=False).returncode < 0
    assert states(database) == ["COMPLETE", "COMPLETE", "RUNNING"]
    assert searched(database, 0) == whole[:2]
    assert states(database) == ["COMPLETE", "COMPLETE", "FAIL"]
    assert searched(database, 10) == whole[:12]


def test_a_diverged_fit_counts_as_a_trial(tmp_path):
    with open_storage(tmp_path / "tuning.db") as storage:
        search = Search(storage, "model", SPACE, DEFAULTS, 0)
        search.next_trial(lambda chosen: Evaluation(math.inf, 1.0))
    after = searched(tmp_path / "tuning.db", 12)
    assert after[0].evaluation == Evaluation(math.inf, 1.0)
    assert len(after) == 13


def test_a_repeat_is_evaluated_once(tmp_path):
    database = tmp_path / "tuning.db"
    trials = searched(database, 2)
    calls = []

    def counted(chosen):
        calls.append(dict(chosen))
        return Evaluation(math.inf if len(calls) == 2 else 0.5, 2.0)

    for _ in range(2):
        with open_storage(database) as storage:
            search = Search(storage, "model", SPACE, DEFAULTS, 0)
            assert search.repeated(trials[1], 7, counted) == Evaluation(0.5, 2.0)
            assert search.repeated(trials[1], 8, counted) == Evaluation(math.inf, 2.0)
    assert calls == [trials[1].hyperparameters] * 2


def test_without_ranges_the_defaults_are_tried(tmp_path):
    with open_storage(tmp_path / "tuning.db") as storage:
        search = Search(storage, "plain", {}, {}, 0)
        search.next_trial(lambda chosen: Evaluation(1.5, 0.1))
        (trial,) = search.trials()
    assert trial.hyperparameters == {}
    assert trial.evaluation.loss == 1.5


def test_a_file_that_is_no_database_is_refused(tmp_path):
    database = tmp_path / "tuning.db"
    database.write_text("this is no database, but it is long enough to be looked at" * 20)
    with pytest.raises(InputError, match=r"tuning\.db: the file is no database of tuning"):
        searched(database, 1)
