import pytest

from pipelines.retraining.journal import Journal


def test_a_stage_is_done_once(tmp_path):
    journal, done = Journal(tmp_path / "cycle"), []

    def do():
        done.append(1)
        return {"number": len(done)}

    assert journal.stage("count", do) == {"number": 1}
    assert Journal(tmp_path / "cycle").stage("count", do) == {"number": 1}
    assert journal.result("count") == {"number": 1}
    journal.forget("count")
    assert journal.result("count") is None
    assert journal.stage("count", do) == {"number": 2}


def test_a_stage_that_fails_is_not_done(tmp_path):
    journal = Journal(tmp_path / "cycle")
    with pytest.raises(ZeroDivisionError):
        journal.stage("ratio", lambda: {"value": 1 / 0})
    assert journal.result("ratio") is None


@pytest.mark.parametrize("content", ["", "{", '{"number": '])
def test_a_damaged_result_is_none(tmp_path, content):
    journal = Journal(tmp_path / "cycle")
    journal.stage("count", lambda: {"number": 1})
    (tmp_path / "cycle" / "count.json").write_text(content)
    assert journal.stage("count", lambda: {"number": 2}) == {"number": 2}


def test_closing_removes_all_journals_but_no_file_beside_them(tmp_path):
    for name in ("old", "new"):
        Journal(tmp_path / name).stage("count", dict)
    (tmp_path / "last.json").touch()
    Journal(tmp_path / "new").close()
    assert [path.name for path in tmp_path.iterdir()] == ["last.json"]
