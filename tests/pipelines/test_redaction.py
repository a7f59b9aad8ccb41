import pytest

from data.validation import InputError
from pipelines.redaction import place_of, told, without_credentials


def test_errors_are_told_without_credentials():
    error = InputError([])
    error.args = ("cannot reach https://user:pass@host/api and http://t0k3n@other\nmore",)
    assert told(error) == "InputError: cannot reach https://***@host/api and http://***@other"
    assert place_of(error).startswith("InputError in ")


@pytest.mark.parametrize("password", ["plain", "with/slash", "with@at", "with:colon"])
def test_no_part_of_a_password_is_left(password):
    text = without_credentials(f"postgresql://user:{password}@host/db does not answer")
    assert text == "postgresql://***@host/db does not answer"


def test_what_holds_no_credentials_stays():
    for text in ("sqlite:////home/me/mlflow.db", "models:/returns@champion", "https://host/api"):
        assert without_credentials(text) == text
