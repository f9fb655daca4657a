"""Each caller, built once."""

import pytest
from languages import LANGUAGES, Language


@pytest.fixture(scope="session", params=LANGUAGES, ids=lambda language: language.name)
def built_caller(request: pytest.FixtureRequest) -> Language:
    language: Language = request.param
    if missing := language.missing():
        pytest.skip(missing)
    language.build()
    return language
