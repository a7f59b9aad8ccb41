import shlex
from dataclasses import replace

import pytest

from pipelines import tracking
from pipelines.command import NotNowError
from pipelines.home import Home
from pipelines.retraining.state import LastCycle, check_database, check_registry

LAST = LastCycle("key", "key-1", "2012-12-10", "2012-12-09", "2012-12-10T03:00", "1", None)


def test_what_to_delete_is_said_for_a_shell(tmp_path):
    home = Home.prepare(tmp_path / "my home")
    with pytest.raises(NotNowError) as raised:
        check_database(home, LAST)
    assert shlex.split(str(raised.value).partition("delete ")[2]) == [
        str(tmp_path / "my home" / "retraining" / "last.json")
    ]


def test_a_store_without_the_model_is_named_without_its_password(home):
    tracking.connect(home)
    elsewhere = replace(home, tracking_uri="postgresql://me:secret@host/db", tracks_here=False)
    with pytest.raises(NotNowError) as raised:
        check_registry(elsewhere, LAST)
    assert "@host/db' knows no model" in str(raised.value)
    assert "secret" not in str(raised.value)
