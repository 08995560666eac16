"""Settings: file and environment, bounds, and an error that names the setting."""

from pathlib import Path

import pytest

from localmind.errors import ConfigInvalid
from localmind.paths import Paths
from localmind.settings import Settings


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths.find({"LOCALMIND_HOME": str(tmp_path)})
    found.config.mkdir(parents=True)
    return found


def test_defaults_need_no_file(paths: Paths) -> None:
    settings = Settings.load(paths)
    assert settings.port == 11411
    assert settings.chat_model == "best"


def test_the_environment_wins_over_the_file(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    paths.settings_file.write_text('port = 12000\nallowed_origins = ["http://localhost:3000"]\n')
    assert Settings.load(paths).port == 12000
    assert Settings.load(paths).allowed_origins == ("http://localhost:3000",)
    monkeypatch.setenv("LOCALMIND_PORT", "13000")
    assert Settings.load(paths).port == 13000


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("port = 99999", "'port'"),
        ('threads = "many"', "'threads'"),
        ("prot = 11411", "'prot'"),
        ("port = ", "not TOML"),
        ("context = 10", "'context'"),
    ],
)
def test_a_wrong_value_is_one_clear_error_with_the_place_to_mend(paths: Paths, text: str, named: str) -> None:
    paths.settings_file.write_text(text)
    with pytest.raises(ConfigInvalid, match=named) as caught:
        Settings.load(paths)
    assert caught.value.hint


def test_every_setting_is_documented() -> None:
    import inspect

    source = inspect.getsource(Settings)
    for name in Settings.model_fields:
        declared = source.index(f"    {name}:")
        following = source[declared:].split("\n", 1)[1].lstrip()
        assert following.startswith('"""'), name


def test_a_remote_is_a_table_whose_key_is_shown_nowhere(paths: Paths) -> None:
    assert Settings.load(paths).remotes == {}
    paths.settings_file.write_text('[remotes.work]\nurl = "http://box:8000/"\nkey = "sesame"\n')
    remote = Settings.load(paths).remotes["work"]
    assert (remote.url, remote.files, remote.key.get_secret_value()) == ("http://box:8000/v1", False, "sesame")
    assert "sesame" not in repr(Settings.load(paths))


@pytest.mark.parametrize(
    "text",
    [
        '[remotes.work]\nurl = "box:8000"\n',
        '[remotes.work]\nurl = "http://me:secret@box/v1"\n',
        '[remotes.work]\nurl = "http://box/v1?key=x"\n',
        '[remotes.work]\nurl = "http://box"\nfile = true\n',
        '[remotes."hf.co"]\nurl = "http://box"\n',
    ],
)
def test_a_remote_that_could_be_misread_is_refused(paths: Paths, text: str) -> None:
    paths.settings_file.write_text(text)
    with pytest.raises(ConfigInvalid, match="remotes"):
        Settings.load(paths)


def test_keep_alive_is_a_number_or_a_text(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load(paths).keep_alive_s == 1800
    paths.settings_file.write_text("keep_alive = -1\n")
    assert Settings.load(paths).keep_alive_s == float("inf")
    monkeypatch.setenv("LOCALMIND_KEEP_ALIVE", "90s")
    assert Settings.load(paths).keep_alive_s == 90
    paths.settings_file.write_text('keep_alive = "soon"\n')
    monkeypatch.delenv("LOCALMIND_KEEP_ALIVE")
    with pytest.raises(ConfigInvalid, match=r"'keep_alive'.*10m or 1h30m"):
        Settings.load(paths)
