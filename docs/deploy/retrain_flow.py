"""Weekly retraining as a Prefect flow: `pip install -e '.[prefect]'`, `python retrain_flow.py`.

The flow runs `retrain` as a process of its own and reads its exit code: 75, not possible now, is
tried again; 1 and 2 fail the run. Served from here, it appears in the Prefect UI with its schedule.
"""

import subprocess
import sys

from prefect import flow, get_run_logger, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.schedules import Cron

NOT_POSSIBLE_NOW = 75


class NotPossibleNowError(Exception):
    """Retraining ended with 75."""


def _may_be_tried_again(_: object, run: TaskRun, state: State) -> bool:
    return isinstance(state.result(raise_on_failure=False), NotPossibleNowError)


@task(retries=4, retry_delay_seconds=15 * 60, retry_condition_fn=_may_be_tried_again)
def retrain_once(words: list[str]) -> str:
    """Run one cycle; what it printed goes to the log of the run.

    Args:
        words: Of the command line of `pipelines.retrain`.

    Returns:
        The last line but one of what it printed: the decision and its reasons.
    """
    logger = get_run_logger()
    command = [sys.executable, "-m", "pipelines.retrain", *words]
    lines: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        assert run.stdout is not None
        for line in run.stdout:
            lines.append(line.rstrip())
            logger.info("%s", lines[-1])
    if run.returncode == NOT_POSSIBLE_NOW:
        raise NotPossibleNowError("\n".join(lines[-3:]))
    if run.returncode:
        raise RuntimeError(f"retrain ended with {run.returncode}: " + "\n".join(lines[-5:]))
    return lines[-2]


@flow(name="retrain")
def retrain(words: list[str] | None = None) -> str:
    """Retrain on new order lines.

    Args:
        words: Of the command line of `pipelines.retrain`.
    """
    return retrain_once(words or ["--path", "incoming", "--home", "artifacts"])


if __name__ == "__main__":
    retrain.serve("weekly", schedule=Cron("0 3 * * 1", timezone="Europe/Berlin"))
