"""The manifests of `docs/deploy`: their own tools accept them, `retrain` knows their words."""

import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import kubernetes_validate
import pytest
import tyro
import yaml

from pipelines import retrain
from pipelines.retraining.crontab import cron_trigger

DEPLOY = Path(__file__).parents[3] / "docs" / "deploy"
CRONJOB = yaml.safe_load((DEPLOY / "retrain-cronjob.yaml").read_text())
CRON_LINES = [
    line for line in (DEPLOY / "retrain.crontab").read_text().splitlines() if line[:1].isdigit()
]


def unit(name: str) -> str:
    return (DEPLOY / f"returns-retrain.{name}").read_text()


def value(text: str, key: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith(f"{key}=")]
    return line.partition("=")[2]


def container() -> dict:
    (found,) = CRONJOB["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return found


def commands() -> dict[str, list[str]]:
    return {
        "systemd": shlex.split(value(unit("service"), "ExecStart")),
        "kubernetes": container()["args"],
        **{f"cron {place}": shlex.split(line) for place, line in enumerate(CRON_LINES)},
    }


@pytest.mark.parametrize("name", commands())
def test_retrain_knows_the_words(name):
    command = commands()[name]
    words = command[command.index("pipelines.retrain") + 1 :]
    parsed = tyro.cli(retrain.Arguments, args=words, config=(tyro.conf.OmitArgPrefixes,))
    parsed.settings.check()


def test_the_cron_job_is_one_of_kubernetes():
    for version in ("1.31", "1.34"):
        kubernetes_validate.validate(CRONJOB, version, strict=True)


def test_a_wrong_cron_job_would_be_found():
    wrong = yaml.safe_load((DEPLOY / "retrain-cronjob.yaml").read_text())
    wrong["spec"]["jobTemplate"]["spec"]["backofLimit"] = 3
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.31", strict=True)


def test_the_container_may_write_where_the_home_is_and_nowhere_else():
    mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in
              container()["volumeMounts"]}  # fmt: skip
    words = container()["args"]
    assert mounts[words[words.index("--home") + 1]] is False
    assert mounts[words[words.index("--path") + 1]] is True
    assert container()["securityContext"]["readOnlyRootFilesystem"] is True


def test_systemd_accepts_the_units(tmp_path):
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not here")
    paths = [tmp_path / f"returns-retrain.{kind}" for kind in ("service", "timer")]
    for path in paths:
        # It wants the program to be there.
        text = unit(path.suffix[1:]).replace("/opt/returns/bin/python", sys.executable)
        path.write_text(text)
    verified = subprocess.run([tool, "verify", *paths], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_all_run_on_mondays_at_three():
    cron = [" ".join(line.split()[:5]) for line in CRON_LINES]
    assert cron[0] == CRONJOB["spec"]["schedule"]
    start = datetime(2026, 8, 1, tzinfo=UTC)
    times = [cron_trigger(each, "UTC").get_next_fire_time(None, start) for each in cron]
    assert [f"{time:%a %H:%M}" for time in times] == ["Mon 03:00", "Mon 06:00"]
    calendar = value(unit("timer"), "OnCalendar")
    assert calendar == f"Mon *-*-* 03:00:00 {CRONJOB['spec']['timeZone']}"
