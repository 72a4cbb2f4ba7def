"""A misspelt name of a column that has spaces."""

from ..process import flask


def test_a_misspelt_name_with_spaces_gets_the_nearest(instance, tmp_path):
    (tmp_path / "t.csv").write_text("id,review text\n1,Great\n2,Bad\n")
    (tmp_path / "t.json").write_text('{"user": "Classify: {{review txt}}"}')
    made = flask(instance, "add-config", "a", "--base-url", "http://127.0.0.1:9/v1", "--model", "m")
    assert made.returncode == 0, made.stderr
    options = ("--config", "a", "--template", str(tmp_path / "t.json"), "--no-start")
    refused = flask(instance, "create-job", str(tmp_path / "t.csv"), *options)
    assert refused.returncode == 1
    assert "no column “review txt”; the nearest is “review text”" in refused.stderr
